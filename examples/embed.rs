//! A shop with a login of its own and the hub inside it: `cargo run --example embed`, then open the address that it prints.
use std::{collections::HashMap, sync::Arc};

use axum::http::{HeaderMap, header::SET_COOKIE, request::Parts};
use axum::response::{Html, IntoResponse, Redirect};
use axum::{Form, Router, extract::State, routing::get, routing::post};
use fanfare::{Asker, Authorizer, ChannelName, Code, Decision, Fanfare, Identity, Problem};
use fanfare::{Rights, StartError, SubscribeOptions};
use parking_lot::Mutex;

const PAGE: &str = "<!doctype html><title>Shop</title><form action=/login method=post><input name=user><button>Log in\
 </button></form><button onclick=\"fetch('/buy', { method: 'POST' })\">Buy a book</button> orders of {user}: <ol></ol>
<script>new EventSource('/realtime/v1/sse?last=20&channel=orders:{user}').addEventListener('bought', event =>
  document.querySelector('ol').append(Object.assign(document.createElement('li'), { textContent: event.data })))</script>";

/// Who is logged in: the cookie's value to the user's name.
#[derive(Clone, Default)]
struct Logins(Arc<Mutex<HashMap<String, String>>>);

impl Logins {
    fn user(&self, headers: &HeaderMap) -> Option<String> {
        let cookies = headers.get("cookie")?.to_str().ok()?;
        let login = cookies.split("; ").find_map(|cookie| cookie.strip_prefix("login="))?;
        self.0.lock().get(login).cloned()
    }
}

/// What the hub asks the shop: who is this, and may they read that?
impl Authorizer for Logins {
    fn connect<'a>(&'a self, request: &'a Parts) -> Decision<'a, Option<Identity>> {
        let user =
            self.user(&request.headers).ok_or_else(|| Problem::new(Code::Unauthorized, "log in first"));
        Box::pin(async { Ok(Some(Identity { user: Some(user?.into()), ..Identity::default() })) })
    }

    #[rustfmt::skip]
    fn subscribe<'a>(&'a self, asker: &'a Asker, channel: &'a ChannelName, _: &'a SubscribeOptions) -> Decision<'a, ()> {
        let theirs = channel.strip_prefix("orders:") == asker.identity.user.as_deref();
        Box::pin(async move { theirs.then_some(()).ok_or_else(|| Problem::new(Code::Forbidden, "not your orders")) })
    }
}

type Shop = State<(Fanfare, Logins)>;

async fn home(State((_, logins)): Shop, headers: HeaderMap) -> Html<String> {
    Html(PAGE.replace("{user}", &logins.user(&headers).unwrap_or_else(|| "nobody".into())))
}

async fn login(State((_, logins)): Shop, Form(form): Form<HashMap<String, String>>) -> impl IntoResponse {
    let login = [(); 2].map(|()| format!("{:016x}", getrandom::u64().expect("random bytes"))).concat();
    let user = form.get("user").map(|user| user.chars().filter(char::is_ascii_alphanumeric).collect());
    logins.0.lock().insert(login.clone(), user.unwrap_or_default());
    ([(SET_COOKIE, format!("login={login}; Path=/; HttpOnly; SameSite=Lax"))], Redirect::to("/"))
}

async fn buy(State((fanfare, logins)): Shop, headers: HeaderMap) -> Result<String, String> {
    let user = logins.user(&headers).ok_or("log in first")?;
    let order = serde_json::json!({ "item": "book", "price": 12 });
    let bought = fanfare.publish(&format!("orders:{user}"), order).event("bought").await;
    bought.map(|bought| format!("order {}", bought.id)).map_err(|problem| problem.to_string())
}

/// The shop's pages, and the hub under `/realtime`.
pub fn shop() -> Result<Router, StartError> {
    let logins = Logins::default();
    let hub = Fanfare::builder().namespace("orders", |orders| orders.authenticated = Rights::ALL);
    let hub = hub.authorizer(logins.clone()).build()?;
    let pages = Router::new().route("/", get(home)).route("/login", post(login)).route("/buy", post(buy));
    Ok(pages.with_state((hub.clone(), logins)).nest("/realtime", hub.router()))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
    println!("listening on http://{}", listener.local_addr()?);
    Ok(axum::serve(listener, shop()?).await?)
}
