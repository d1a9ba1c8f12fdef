//! `[hooks]`: an application in another process, asked over HTTP about what clients do.
#![allow(clippy::unwrap_used, reason = "tests: a panic is a failure with its place")]
use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use fanfare_tests::prelude::*;
use ring::hmac;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    sync::mpsc,
};

const SECRET: &str = "a secret that only the two of us know";

/// What the application answers: a status and a body; a body of `hang` is never sent.
type Answers = Arc<dyn Fn(&Value) -> (u16, Value) + Send + Sync>;

/// The application: answers signed questions, and keeps them for the test.
struct Application {
    address: SocketAddr,
    asked: mpsc::UnboundedReceiver<Value>,
    connections: Arc<AtomicUsize>,
}

impl Application {
    async fn start(answers: impl Fn(&Value) -> (u16, Value) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (tell, asked) = mpsc::unbounded_channel();
        let connections = Arc::new(AtomicUsize::new(0));
        let (counted, answers): (_, Answers) = (connections.clone(), Arc::new(answers));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(serve(stream, tell.clone(), answers.clone()));
            }
        });
        Self { address, asked, connections }
    }

    /// The configuration of a hub that asks it.
    fn config(&self, rest: &str) -> String {
        let all = r#"["subscribe", "publish", "presence", "enter", "history"]"#;
        format!(
            "{rest}\n[hooks]\nurl = \"http://{}/hook\"\nsecret = {SECRET:?}\nprivate_addresses = true\n\
             namespaces = [\"chat\", \"default\"]\ntimeout = \"1s\"\nfailures = 2\npause = \"400ms\"\n\
             events = [\"connect\", \"subscribe\", \"publish\", \"call\", \"disconnect\"]\nopen = [\"subscribe\"]\n\
             [namespaces.default]\nanonymous = {all}\nauthenticated = {all}\n\
             [namespaces.chat]\nanonymous = {all}\nauthenticated = {all}\n\
             [namespaces.free]\nanonymous = {all}\nauthenticated = {all}\n",
            self.address
        )
    }

    /// The next question of this kind.
    async fn next(&mut self, kind: &str) -> Value {
        within(async {
            loop {
                let question = self.asked.recv().await.unwrap();
                if question["type"] == kind {
                    return question;
                }
            }
        })
        .await
    }
}

/// One connection, kept alive. A request that is not signed as told is a failure of the test.
async fn serve(stream: TcpStream, tell: mpsc::UnboundedSender<Value>, answers: Answers) {
    let mut stream = BufReader::new(stream);
    loop {
        let (mut length, mut timestamp, mut signature, mut hook) =
            (0, String::new(), String::new(), String::new());
        let mut line = String::new();
        if stream.read_line(&mut line).await.unwrap_or(0) == 0 {
            return;
        }
        assert_eq!(line, "POST /hook HTTP/1.1\r\n");
        loop {
            line.clear();
            stream.read_line(&mut line).await.unwrap();
            let Some((name, value)) = line.trim_end().split_once(": ") else { break };
            match name.to_ascii_lowercase().as_str() {
                "content-length" => length = value.parse().unwrap(),
                "fanfare-timestamp" => timestamp = value.to_owned(),
                "fanfare-signature" => signature = value.to_owned(),
                "fanfare-hook" => hook = value.to_owned(),
                _ => {}
            }
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await.unwrap();
        let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes());
        let signed = [timestamp.as_bytes(), b".", &body].concat();
        let expected: String =
            hmac::sign(&key, &signed).as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(signature, format!("v1={expected}"));
        assert!(fanfare_tests::wait::unix_ms() / 1000 - timestamp.parse::<u64>().unwrap() < 30);
        let question: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(question["type"], hook);
        let (status, answer) = answers(&question);
        let _ = tell.send(question);
        if answer == "hang" {
            std::future::pending::<()>().await;
        }
        let text = answer.to_string();
        let response = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\n\r\n{text}", text.len());
        stream.get_mut().write_all(response.as_bytes()).await.unwrap();
    }
}

fn publish(channel: &str, data: Value) -> Value {
    json!({ "type": "publish", "channel": channel, "event": "say", "data": data })
}

#[tokio::test]
async fn a_publication_is_allowed_refused_or_replaced_and_channels_elsewhere_are_not_asked_about() {
    let mut application = Application::start(|question| match question["data"].as_str() {
        Some("refuse") => {
            (200, json!({ "error": { "code": "conflict", "detail": "not now", "remedy": "later" } }))
        }
        Some("deny") => (200, json!({ "allow": false })),
        Some("replace") => (
            200,
            json!({ "data": { "said": "better" },
            "actions": [{ "do": "publish", "channel": "free:log", "event": "audit", "data": 1 }] }),
        ),
        _ => (200, json!({})),
    })
    .await;
    let server = Server::start(&application.config(""));
    let (mut ws, welcome) = Ws::welcomed(&server, "/v1/ws").await;
    application.next("connect").await;
    ws.subscribe("chat:1", json!({})).await;
    let asked = application.next("subscribe").await;
    assert_eq!((&asked["channel"], &asked["client"]), (&json!("chat:1"), &welcome["client"]));
    ws.ok(publish("chat:1", json!("fine"))).await;
    let asked = application.next("publish").await;
    assert_eq!(
        (&asked["channel"], &asked["event"], &asked["data"]),
        (&json!("chat:1"), &json!("say"), &json!("fine"))
    );
    let refused = ws.refused(publish("chat:1", json!("refuse")), "conflict").await;
    assert_eq!((&refused["detail"], &refused["remedy"]), (&json!("not now"), &json!("later")));
    ws.refused(publish("chat:1", json!("deny")), "forbidden").await;
    ws.send(&publish("chat:1", json!("replace"))).await;
    let message = ws.find("message").await;
    let message = if message["data"] == "fine" { ws.find("message").await } else { message };
    assert_eq!(message["data"], json!({ "said": "better" }));
    let log = server.get("/v1/channels/free:log/messages").send().await.ok();
    assert_eq!(log["messages"][0]["event"], "audit");
    // The same over HTTP.
    let post =
        |data: Value| server.request("POST", "/v1/channels/chat:1/messages").json(&json!({ "data": data }));
    post(json!("refuse")).send().await.problem(409, "conflict");
    post(json!("fine")).send().await.ok();
    while application.asked.try_recv().is_ok() {}
    ws.ok(publish("free:1", json!("refuse"))).await;
    ws.subscribe("free:1", json!({})).await;
    assert!(application.asked.try_recv().is_err(), "what is not asked about is not delayed");
    assert_eq!(application.connections.load(Ordering::SeqCst), 1, "one connection, kept alive");
    let metrics = server.get("/metrics").send().await.text();
    assert!(metrics.contains("fanfare_hook_refusals_total 3"), "{metrics}");
    ws.close().await;
    assert_eq!(application.next("disconnect").await["transport"], "websocket");
}

#[tokio::test]
async fn a_call_is_replied_to_and_acted_upon() {
    let mut application = Application::start(|question| match question["event"].as_str() {
        Some("JOIN") => (
            200,
            json!({ "reply": ["welcome", question["data"].as_array().unwrap().len()], "actions": [
            { "do": "join", "room": question["data"][0] },
            { "do": "emit", "event": "HELLO", "data": ["you"] },
            { "do": "emit", "event": "CAME", "to": question["data"][0], "data": [question["user"]] },
        ] }),
        ),
        Some("LEAVE") => (200, json!({ "actions": [{ "do": "leave", "room": "lobby" }] })),
        Some("BYE") => (200, json!({ "actions": [{ "do": "disconnect" }] })),
        Some("WRONG") => (200, json!({ "actions": [{ "do": "dance" }] })),
        Some("REFUSE") => (200, json!({ "error": { "code": "not_found" } })),
        _ => match question["headers"]["x-forwarded-for"].as_str() {
            Some(user) => (200, json!({ "user": user, "channels": ["free:mine"] })),
            None => (200, json!({})),
        },
    })
    .await;
    let server = Server::start(&application.config(""));
    let mut ada = Ws::with(&server, "/v1/ws", &[("X-Forwarded-For", "ada")]).await;
    assert_eq!(ada.expect("welcome").await["user"], "ada");
    assert_eq!(ada.expect("subscribed").await["channel"], "free:mine");
    let call = |event: &str, data: Value| json!({ "type": "call", "namespace": "/chat", "event": event, "data": data });
    let answer = ada.ok(call("JOIN", json!(["lobby", 1]))).await;
    assert_eq!(answer["data"], json!(["welcome", 2]));
    let asked = application.next("call").await;
    assert_eq!(
        (&asked["user"], &asked["namespace"], &asked["data"]),
        (&json!("ada"), &json!("/chat"), &json!(["lobby", 1]))
    );
    let (mut bob, _) = Ws::welcomed(&server, "/v1/ws").await;
    bob.ok(call("JOIN", json!(["lobby"]))).await;
    let mut heard = ada.find("message").await;
    if heard["event"] == "HELLO" {
        heard = ada.find("message").await;
    }
    assert_eq!((&heard["channel"], &heard["event"]), (&json!("chat:lobby"), &json!("CAME")));
    bob.refused(call("REFUSE", json!([])), "not_found").await;
    bob.refused(call("WRONG", json!([])), "internal").await;
    bob.send(&call("BYE", json!([]))).await;
    assert_eq!(bob.find("disconnect").await["code"], "revoked");
    // A call of the namespace that has no table goes to `/`; one that nobody is asked about has no handler.
    let over_http = json!({ "event": "JOIN", "data": ["lobby"] });
    server.request("POST", "/v1/call").json(&over_http).send().await.problem(400, "bad_request");
    let elsewhere = json!({ "namespace": "/free", "event": "JOIN" });
    server.request("POST", "/v1/call").json(&elsewhere).send().await.problem(404, "not_found");
}

#[tokio::test]
async fn while_nobody_answers_what_is_open_is_allowed_and_the_rest_refused() {
    let mut application = Application::start(|question| match question["data"].as_str() {
        Some("hang") => (200, json!("hang")),
        Some("fail") => (500, json!({})),
        Some("nonsense") => (200, json!({ "alow": false })),
        _ if question["type"] == "subscribe" => (302, json!({})),
        _ => (200, json!({})),
    })
    .await;
    let server = Server::start(&application.config(""));
    let (mut ws, _) = Ws::welcomed(&server, "/v1/ws").await;
    // Open: allowed, although it answers with a redirect, which is not followed.
    ws.subscribe("chat:1", json!({})).await;
    let refused = ws.refused(publish("chat:1", json!("nonsense")), "unavailable").await;
    assert_eq!(refused["retryable"], true);
    ws.refused(publish("chat:1", json!("fail")), "unavailable").await;
    // Two in a row: nothing more is sent for a while.
    while application.asked.try_recv().is_ok() {}
    ws.refused(publish("chat:1", json!("fine")), "unavailable").await;
    assert!(application.asked.try_recv().is_err(), "it was asked during the pause");
    // Afterwards one question finds out.
    within(async {
        while ws.call(publish("chat:1", json!("fine"))).await["type"] == "error" {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    })
    .await;
    // What hangs is given up at the deadline, and holds up nobody elsewhere.
    ws.send(&publish("chat:1", json!("hang"))).await;
    ws.send(&json!({ "type": "publish", "ref": "free", "channel": "free:1", "data": "at once" })).await;
    let mut first = ws.recv().await;
    while first["type"] == "message" {
        first = ws.recv().await;
    }
    assert_eq!((&first["type"], &first["ref"]), (&json!("ok"), &json!("free")), "not behind what hangs");
    assert_eq!(ws.find("error").await["code"], "unavailable");
    let metrics = server.get("/metrics").send().await.text();
    assert!(metrics.contains("fanfare_hook_failures_total") && metrics.contains("fanfare_hook_pauses_total"));
}

#[tokio::test]
async fn addresses_that_are_not_public_are_not_called() {
    let application = Application::start(|_| (200, json!({}))).await;
    // A number is a fault of the configuration.
    let config = application.config("").replace("private_addresses = true\n", "");
    let home = std::env::temp_dir().join(unique("fanfare-hooks").replace(':', "-"));
    std::fs::create_dir_all(&home).unwrap();
    std::fs::write(home.join("fanfare.toml"), &config).unwrap();
    let output = Server::command(&home).arg("check").output().unwrap();
    std::fs::remove_dir_all(&home).unwrap();
    let told = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(
        !output.status.success() && told.contains("hooks.url") && told.contains("private_addresses"),
        "{told}"
    );
    // A name is judged by what it resolves to, when it is called.
    let server = Server::start(&config.replace("127.0.0.1", "localhost").replace("\"connect\", ", ""));
    let (mut ws, _) = Ws::welcomed(&server, "/v1/ws").await;
    ws.refused(publish("chat:1", json!(1)), "unavailable").await;
    assert_eq!(application.connections.load(Ordering::SeqCst), 0);
    assert!(server.log().contains("no public address"), "{}", server.log());
}

/// What the application of the next test answers.
fn acting(question: &Value) -> Value {
    let (room, other) = (json!("lobby"), json!("elsewhere"));
    match (question["type"].as_str().unwrap(), question["data"].as_str()) {
        ("connect", _) => match question["headers"]["x-forwarded-for"].as_str() {
            Some(user) => json!({
                "user": user,
                "grants": [{ "channels": ["closed:{sub}"], "allow": ["subscribe"] }],
                "actions": [
                    { "do": "join", "room": "lobby", "namespace": "/chat" },
                    { "do": "emit", "event": "WELCOME", "data": ["you", user] },
                    { "do": "emit", "event": "CAME", "to": "log", "namespace": "/free", "data": [user] },
                ],
            }),
            None => json!({}),
        },
        ("subscribe", _) if question["channel"] == "chat:door" => {
            json!({ "actions": [{ "do": "emit", "event": "DOOR", "data": 1 }, { "do": "join", "room": other }] })
        }
        ("publish", Some("leave")) => json!({ "actions": [{ "do": "leave", "room": room }] }),
        ("publish", Some("shout")) => {
            json!({ "actions": [{ "do": "emit", "event": "SHOUTED", "to": room, "data": ["!", 2] }] })
        }
        // What the application has no word for is the hub's: its own words for Socket.IO clients among it.
        ("call", _) if question["event"] == "publish" => json!({ "error": { "code": "not_found" } }),
        ("call", _) => json!({ "reply": [question["rooms"]] }),
        ("disconnect", _) if question["user"] == "ada" => {
            json!({ "actions": [{ "do": "emit", "event": "WENT", "to": "log", "namespace": "/free" }] })
        }
        _ => json!({}),
    }
}

#[tokio::test]
async fn answers_act_on_the_client_whatever_was_asked() {
    let mut application = Application::start(|question| (200, acting(question))).await;
    let config = application.config("[socketio]\nenabled = true\n") + "[namespaces.closed]\n";
    let server = Server::start(&config);
    let (mut log, _) = Ws::welcomed(&server, "/v1/ws").await;
    log.subscribe("free:log", json!({})).await;

    // A native client: welcomed, in a room that it did not ask for, with rights that its answer gave.
    let mut ada = Ws::with(&server, "/v1/ws", &[("X-Forwarded-For", "ada")]).await;
    ada.expect("welcome").await;
    let welcome = ada.find("message").await;
    assert_eq!((&welcome["event"], &welcome["data"]), (&json!("WELCOME"), &json!(["you", "ada"])));
    assert_eq!(log.find("message").await["event"], "CAME");
    ada.subscribe("closed:ada", json!({})).await;
    ada.refused(json!({ "type": "subscribe", "channel": "closed:bob" }), "forbidden").await;
    ada.refused(json!({ "type": "publish", "channel": "closed:ada", "data": 1 }), "forbidden").await;
    log.ok(publish("chat:lobby", json!("shout"))).await;
    let heard = [ada.find("message").await["event"].clone(), ada.find("message").await["event"].clone()];
    assert!(heard.contains(&json!("SHOUTED")) && heard.contains(&json!("say")), "{heard:?}");
    ada.subscribe("chat:door", json!({})).await;
    assert_eq!(ada.find("message").await["event"], "DOOR");
    log.ok(publish("chat:elsewhere", json!("heard"))).await;
    assert_eq!(ada.find("message").await["channel"], "chat:elsewhere");
    ada.ok(publish("chat:lobby", json!("leave"))).await;
    log.ok(publish("chat:lobby", json!("not heard"))).await;
    log.ok(publish("chat:elsewhere", json!("heard too"))).await;
    let next = ada.find("message").await;
    let next = if next["data"] == "leave" { ada.find("message").await } else { next };
    assert_eq!(next["data"], "heard too", "{next}");
    ada.close().await;
    assert_eq!(log.find("message").await["event"], "WENT");

    // The same for Socket.IO, whose CONNECT the application is told of: its token is that of the packet.
    while application.asked.try_recv().is_ok() {}
    let mut bob =
        Ws::with(&server, "/socket.io/?EIO=4&transport=websocket", &[("X-Forwarded-For", "bob")]).await;
    bob.packet().await;
    bob.send_text("40/chat,{\"token\":\"of.bob.x\",\"name\":\"Bob\"}").await;
    let asked = application.next("connect").await;
    assert_eq!((&asked["namespace"], &asked["auth"]["name"]), (&json!("/chat"), &json!("Bob")));
    assert_eq!(asked["headers"]["authorization"], "Bearer of.bob.x");
    assert!(bob.packet().await.starts_with("40/chat,{\"sid\""));
    let welcome = bob.packet().await;
    assert!(welcome.starts_with("42/chat,[\"WELCOME\",\"you\",\"bob\","), "{welcome}");
    bob.send_text("42/chat,1[\"ROOMS\"]").await;
    assert_eq!(bob.packet().await, "43/chat,1[[\"lobby\"]]", "as its handlers know");
    bob.send_text("42/chat,2[\"publish\",\"lobby\",\"say\",\"leave\"]").await;
    let answer = bob.packet().await;
    assert!(answer.starts_with("43/chat,2[{\"epoch\""), "{answer}");
    bob.send_text("42/chat,3[\"ROOMS\"]").await;
    assert_eq!(bob.packet().await, "43/chat,3[[]]");
    while application.asked.try_recv().is_ok() {}
    bob.cut();
    assert_eq!(application.next("disconnect").await["transport"], "socketio");

    // Who does not stay connected cannot be spoken to.
    let poll = server.get("/v1/poll?channel=free:1").header("X-Forwarded-For", "eve");
    poll.send().await.problem(500, "internal");
    // One client went, though it had read in two ways: what was asked last about is the poll.
    assert_eq!(application.next("connect").await["path"], "/v1/poll");
    assert!(application.asked.try_recv().is_err());
}
