//! Socket.IO's connections are connections of the hub: listed, limited, ended by whoever ends connections, each end said as its clients need it.
#![allow(clippy::unwrap_used, reason = "tests: a panic is a failure with its place")]
use fanfare_tests::{prelude::*, ws::Ws};

fn config() -> String {
    format!("{}\n[socketio]\nenabled = true\n", config::STANDARD)
}

/// A WebSocket of Engine.IO; its open packet has been taken.
async fn engine(server: &Server) -> Ws {
    let mut ws = Ws::open(server, "/socket.io/?EIO=4&transport=websocket").await;
    let open = ws.packet().await;
    assert!(open.starts_with("0{\"sid\":"), "{open}");
    ws
}

async fn joined(server: &Server, token: &str) -> Ws {
    let mut ws = engine(server).await;
    ws.send_text(&format!("40{{\"token\":\"{token}\"}}")).await;
    let reply = ws.packet().await;
    assert!(reply.starts_with("40{\"sid\":"), "{reply}");
    ws
}

async fn connections(server: &Server, user: &str) -> Vec<Value> {
    let list = server.get(&format!("/v1/connections?user={user}")).bearer(config::API_KEY).send().await.ok();
    list["connections"].as_array().unwrap().clone()
}

#[tokio::test]
async fn a_namespace_is_a_connection_that_is_listed_as_what_it_is() {
    let server = Server::start(&config());
    let ws = joined(&server, &token::of("ada")).await;
    let rows = connections(&server, "ada").await;
    assert_eq!(rows.len(), 1, "{rows:?}");
    assert_eq!(rows[0]["transport"], "socketio");
    ws.cut();
    within(async {
        while !connections(&server, "ada").await.is_empty() {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_client_whose_right_was_taken_away_is_told_not_to_come_back() {
    let server = Server::start(&config());
    let mut ws = joined(&server, &token::of("ada")).await;
    let revoked = server.post("/v1/users/ada/disconnect").bearer(config::API_KEY).send().await;
    assert_eq!(revoked.status, 200);
    assert_eq!(ws.packet().await, "41");
    // The connection stays: somebody else may come in on it.
    ws.send_text(&format!("40{{\"token\":\"{}\"}}", token::of("bob"))).await;
    let reply = ws.packet().await;
    assert!(reply.starts_with("40{"), "{reply}");
}

#[tokio::test]
async fn a_refused_credential_is_a_connect_error_with_code_and_remedy() {
    let server = Server::start(&config());
    let mut ws = engine(&server).await;
    ws.send_text("40{\"token\":\"nonsense\"}").await;
    let refused = ws.packet().await;
    let error: Value = serde_json::from_str(refused.strip_prefix("44").unwrap()).unwrap();
    assert_eq!(error["data"]["code"], "unauthorized");
    assert!(error["data"]["remedy"].is_string() && error["message"].is_string(), "{error}");
}

#[tokio::test]
async fn a_hub_that_stops_closes_the_transport_so_that_clients_come_back() {
    let server = Server::start(&config());
    let mut ws = joined(&server, &token::of("ada")).await;
    let mut idle = engine(&server).await;
    server.terminate();
    for ws in [&mut ws, &mut idle] {
        let ended = ws.ended().await;
        assert_eq!(ended.code, 1012, "{}", ended.reason);
    }
}

#[tokio::test]
async fn a_right_that_is_taken_away_ends_every_way_of_reading_at_once() {
    let server = Server::start(&config());
    let mut ws = joined(&server, &token::of("ada")).await;
    // In two ways, which are two connections of the hub behind one socket.
    for (id, channel) in [(1, json!("open:one")), (2, json!({ "channel": "open:two" }))] {
        ws.send_text(&format!("42{id}[\"subscribe\",{channel}]")).await;
        let answer = ws.packet().await;
        assert!(answer.starts_with(&format!("43{id}[{{\"epoch\"")), "{answer}");
    }
    for channel in ["open:one", "open:two"] {
        let path = format!("/v1/channels/{channel}/messages");
        let post = async || {
            server.post(&path).bearer(config::API_KEY).json(&json!({ "event": "e", "data": 1 })).send().await
        };
        post().await.ok();
        assert!(ws.packet().await.starts_with("42[\"e\""));
    }
    server.post("/v1/users/ada/disconnect").bearer(config::API_KEY).send().await.ok();
    for channel in ["open:one", "open:two"] {
        let path = format!("/v1/channels/{channel}/messages");
        server
            .post(&path)
            .bearer(config::API_KEY)
            .json(&json!({ "event": "late", "data": 1 }))
            .send()
            .await
            .ok();
    }
    assert_eq!(ws.packet().await, "41");
}
