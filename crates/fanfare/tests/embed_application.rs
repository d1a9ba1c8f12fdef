//! The hub mounted in an application that is served by another HTTP server, with a login and an authorizer of its own: the example itself.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should panic")]
#[path = "../../../examples/embed.rs"]
#[allow(dead_code, unreachable_pub, reason = "its main is not run")]
mod embed;
mod serve_support;

use axum::body::Body;
use http::{StatusCode, header};
use serde_json::{Value, json};
use serve_support::*;
use tokio::net::TcpListener;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

/// The shop on a free port.
async fn shop() -> Way {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let way = Way::plain(listener.local_addr().unwrap());
    let router = embed::shop().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    way
}

/// Logs in with the form; the cookie.
async fn log_in(way: &Way, user: &str) -> String {
    let mut http = way.http().await;
    let request = http.request("POST", "/login").header("content-type", "application/x-www-form-urlencoded");
    let response = http.send(request.body(Body::from(format!("user={user}"))).unwrap()).await;
    assert_eq!(response.status(), StatusCode::SEE_OTHER);
    let cookie = response.headers()[header::SET_COOKIE].to_str().unwrap();
    cookie.split(';').next().unwrap().to_owned()
}

async fn ask(way: &Way, cookie: &str, method: &str, path: &str, body: &str) -> (StatusCode, Value) {
    let mut http = way.http().await;
    let request = http.request(method, path).header("cookie", cookie);
    let response = http.send(request.body(Body::from(body.to_owned())).unwrap()).await;
    let status = response.status();
    let bytes = http_body_util::BodyExt::collect(response.into_body()).await.unwrap().to_bytes();
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
}

#[tokio::test]
async fn what_is_bought_reaches_the_buyer_over_every_transport() {
    let way = shop().await;
    let ada = log_in(&way, "ada").await;
    let channel = "channel=orders:ada";

    let mut request = way
        .uri(&format!("/realtime/v1/ws?{channel}"))
        .replacen("http", "ws", 1)
        .into_client_request()
        .unwrap();
    request.headers_mut().insert("cookie", ada.parse().unwrap());
    let mut socket = tokio_tungstenite::client_async(request, way.dial().await).await.unwrap().0;
    assert_eq!(frame(&mut socket).await["user"], "ada");
    frame_of(&mut socket, "subscribed").await;

    let mut http = way.http().await;
    let request = http.request("GET", &format!("/realtime/v1/sse?{channel}")).header("cookie", &ada);
    let mut text = Text::new(http.send(request.body(Body::empty()).unwrap()).await);
    text.until("fanfare.subscribed").await;

    let (_, polled) = ask(&way, &ada, "GET", &format!("/realtime/v1/poll?{channel}"), "").await;
    let cursor = polled["cursor"].as_str().unwrap().to_owned();

    let (status, bought) = ask(&way, &ada, "POST", "/buy", "").await;
    assert_eq!(status, 200, "{bought}");

    let message = frame_of(&mut socket, "message").await;
    assert_eq!((&message["event"], &message["data"]["item"]), (&json!("bought"), &json!("book")));
    text.until("event: bought\ndata: {\"item\":\"book\"").await;
    let path = format!("/realtime/v1/poll?{channel}&wait=10&since={cursor}");
    let (_, polled) = ask(&way, &ada, "GET", &path, "").await;
    assert_eq!(polled["messages"][0]["event"], "bought");
    let (_, page) = ask(&way, &ada, "GET", "/realtime/v1/channels/orders:ada/messages", "").await;
    assert_eq!(page["messages"][0]["event"], "bought");
    let (_, home) = ask(&way, &ada, "GET", "/", "").await;
    assert!(home.as_str().unwrap().contains("orders of ada"));
}

#[tokio::test]
async fn only_the_buyer_reads_them_whichever_way_others_ask() {
    let way = shop().await;
    let ada = log_in(&way, "ada").await;
    assert_eq!(ask(&way, &ada, "POST", "/buy", "").await.0, 200);
    let eve = log_in(&way, "eve").await;
    for path in [
        "sse?channel=orders:ada",
        "sse?channel=orders:eve&channel=orders:ada",
        "stream?channel=orders:ada",
        "poll?channel=orders:ada&last=1",
        "channels/orders:ada/messages",
        "messages?channel=orders:ada",
    ] {
        let (status, problem) = ask(&way, &eve, "GET", &format!("/realtime/v1/{path}"), "").await;
        assert_eq!((status.as_u16(), &problem["code"]), (403, &json!("forbidden")), "{path}: {problem}");
        let (status, problem) = ask(&way, "", "GET", &format!("/realtime/v1/{path}"), "").await;
        assert_eq!((status.as_u16(), &problem["code"]), (401, &json!("unauthorized")), "{path}: {problem}");
    }
    let mut request = way.uri("/realtime/v1/ws").replacen("http", "ws", 1).into_client_request().unwrap();
    request.headers_mut().insert("cookie", eve.parse().unwrap());
    let mut socket = tokio_tungstenite::client_async(request, way.dial().await).await.unwrap().0;
    assert_eq!(frame(&mut socket).await["user"], "eve");
    say(&mut socket, json!({ "type": "subscribe", "ref": 1, "channel": "orders:ada", "last": 1 })).await;
    say(&mut socket, json!({ "type": "history", "ref": 2, "channel": "orders:ada" })).await;
    for reference in [1, 2] {
        let error = frame(&mut socket).await;
        assert_eq!((&error["code"], &error["ref"]), (&json!("forbidden"), &json!(reference)), "{error}");
    }
}

#[tokio::test]
async fn who_comes_after_the_hub_has_stopped_is_told_to_come_back() {
    let hub = fanfare::Fanfare::builder().open().build().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let way = Way::plain(listener.local_addr().unwrap());
    let router = axum::Router::new().nest("/realtime", hub.router());
    tokio::spawn(async move { axum::serve(listener, router).await });
    hub.shutdown().await;
    let mut socket = way.websocket("/realtime/v1/ws?channel=a").await;
    let (frames, close) = end_of(&mut socket).await;
    assert_eq!((frames.len(), &frames[0]["code"], close), (1, &json!("draining"), 1012));
    assert!(frames[0]["retry_after_ms"].as_u64().unwrap() >= 1000);
    // An EventSource comes back after an end, never after a 503.
    let text = Text::new(way.http().await.get("/realtime/v1/sse?channel=a").await).rest().await;
    assert!(text.contains("retry: ") && text.contains("event: fanfare.disconnect"), "{text:?}");
    let lines = Text::new(way.http().await.get("/realtime/v1/stream?channel=a").await).rest().await;
    assert!(lines.contains("\"draining\""), "{lines:?}");
}
