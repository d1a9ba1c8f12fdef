//! A team chat as Socket.IO tutorials write it, whose rooms every other client reads too: `cargo run --example team_chat`, then open the address
//! that it prints.
use std::collections::HashMap;

use axum::response::{Html, IntoResponse};
use axum::{Router, extract::Query, http::StatusCode, http::header::CONTENT_TYPE, routing::get};
use fanfare::{Admission, Code, Context, Fanfare, Problem, Right, Socket, StartError, config::Secret};
use fanfare_auth::{Algorithm, mint::Claims};
use serde::{Deserialize, Serialize};

const SECRET: &str = "a secret of this example, 32 bytes or more";
const PAGE: &str = include_str!("team_chat/index.html");
const SOCKET_IO: &str = include_str!("team_chat/socket.io.min.js");

/// What the middleware learns of a client, and handlers find in `ctx.data`.
struct Member(String);

#[derive(Serialize, Deserialize, Clone)]
struct Message {
    salle: String,
    texte: String,
    #[serde(default)]
    de: String,
}

fn name(socket: &Socket) -> String {
    socket.data::<Member>().map_or_else(|| "?".into(), |member| member.0.clone())
}

async fn join(ctx: Context, salle: String) -> Result<Vec<String>, Problem> {
    ctx.join(&salle).await?;
    let members: Vec<String> = ctx.members(&salle).iter().map(name).collect();
    // To everyone in the room, the one who joined too.
    ctx.events().to(&salle).emit("MEMBRE_REJOINT", (name(&ctx), &members)).await?;
    Ok(members)
}

async fn message(ctx: Context, mut message: Message) -> Result<Message, Problem> {
    message.de = name(&ctx);
    ctx.to(&message.salle).emit("MESSAGE", &message).await?;
    // Who calls over HTTP has the answer alone.
    if ctx.is_connected() {
        ctx.emit("MESSAGE_CONFIRME", &message).await?;
    }
    Ok(message)
}

/// The chat: a hub with the namespace `/chat`, and the pages.
pub fn team_chat() -> Result<Router, StartError> {
    let fanfare = Fanfare::builder()
        .hmac_secret(SECRET)
        .namespace("chat", |chat| chat.anonymous = [Right::Subscribe, Right::History].into_iter().collect())
        // The demos bring the browser's fanfare-client, which the page uses.
        .set(|config| (config.socketio.enabled, config.demos.enabled) = (true, true))
        .build()?;
    fanfare
        .events("/chat")
        .authorise(|handshake| async move {
            let user = handshake.user().map(str::to_owned);
            let user = user.ok_or_else(|| {
                Problem::new(Code::Unauthorized, "jeton invalide").remedy("ask /token for one")
            })?;
            Ok(Admission::new().data(Member(user)))
        })
        .on("REJOINDRE_SALLE", join)
        .on("MESSAGE", message)
        .on_disconnecting(|ctx, _| async move {
            for salle in ctx.rooms() {
                ctx.to(&salle).emit("MEMBRE_PARTI", name(&ctx)).await.ok();
            }
        });
    Ok(Router::new()
        .route("/", get(async || Html(PAGE)))
        .route("/token", get(token))
        .route("/socket.io.min.js", get(async || ([(CONTENT_TYPE, "text/javascript")], SOCKET_IO)))
        .merge(fanfare.router()))
}

/// A token for whoever asks: this is an example.
async fn token(Query(query): Query<HashMap<String, String>>) -> Result<String, impl IntoResponse> {
    let user = query.get("name").filter(|name| !name.is_empty()).map_or("anonyme", String::as_str);
    let in_a_day =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |now| now.as_secs())
            + 86_400;
    let token = Claims::new().user(user).exp(in_a_day).sign(&Secret::new(SECRET), Algorithm::Hs256);
    token.map_err(|error| (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
    println!("listening on http://{}", listener.local_addr()?);
    Ok(axum::serve(listener, team_chat()?).await?)
}
