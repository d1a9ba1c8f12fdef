//! The application's own handlers, called by native clients: over a WebSocket, and over HTTP.
#![allow(clippy::unwrap_used, reason = "tests: a panic is a failure with its place")]
use std::{
    net::SocketAddr,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use fanfare::{Admission, Binary, Code, Context, End, Fanfare, FromArgs, Problem, schema::SchemaFile};
use fanfare_tests::prelude::*;
use tokio::{net::TcpStream, sync::Notify};

struct Name(String);

/// A hub on a free port, whose namespaces a test fills.
async fn hub() -> (Fanfare, SocketAddr) {
    let fanfare =
        Fanfare::builder().open().set(|config| config.limits.commands_per_second = 0).build().unwrap();
    let address = serve(&fanfare).await;
    (fanfare, address)
}

async fn serve(fanfare: &Fanfare) -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serving = fanfare.clone();
    tokio::spawn(async move { serving.serve(listener).await });
    address
}

async fn ws(address: SocketAddr, headers: &[(&str, &str)]) -> Ws {
    let stream = TcpStream::connect(address).await.unwrap();
    let mut ws = Ws::over(stream, "/v1/ws", headers).await.unwrap();
    ws.expect("welcome").await;
    ws
}

fn call(event: &str, data: Value) -> Value {
    json!({ "type": "call", "event": event, "data": data })
}

async fn post(address: SocketAddr, body: &Value) -> Reply {
    Request::new(address, "POST", "/v1/call").json(body).send().await
}

/// Calls, and returns the frame of this kind that comes beside the `ok`, before it or after.
async fn beside(client: &mut Ws, mut command: Value, kind: &str) -> Value {
    command["ref"] = json!("beside");
    client.send(&command).await;
    let (mut ok, mut found) = (false, None);
    while !ok || found.is_none() {
        let frame = client.recv().await;
        assert_ne!(frame["type"], "error", "{frame}");
        if frame["type"] == kind {
            found = Some(frame);
        } else {
            ok |= frame["ref"] == "beside";
        }
    }
    found.unwrap()
}

/// A chat: who names itself in a header may come in.
fn chat(fanfare: &Fanfare) {
    fanfare
        .events("/chat")
        .authorise(|handshake| async move {
            let name = handshake.header("x-name").map(str::to_owned);
            let name = name.ok_or_else(|| Problem::new(Code::Unauthorized, "say your name"))?;
            Ok(Admission::new().user(name.as_str()).data(Name(name)))
        })
        .on("JOIN", |ctx, (room,): (String,)| async move {
            ctx.join(&room).await?;
            ctx.to(&room).emit("JOINED", ctx.user().unwrap()).await?;
            Ok(ctx.members(&room).len())
        })
        .on("LEAVE", |ctx, room: String| async move { ctx.leave(&room).await })
        .on("SAY", |ctx, (room, text): (String, String)| async move {
            ctx.to(&room).emit("SAID", (ctx.data::<Name>().unwrap().0.clone(), text)).await?;
            ctx.emit("CONFIRMED", room).await?;
            Ok(())
        })
        .on_disconnecting(|ctx, why| async move {
            for room in ctx.rooms() {
                ctx.to(&room).emit("LEFT", (ctx.user().unwrap(), why.name())).await.unwrap();
            }
        });
}

fn in_chat(event: &str, data: Value) -> Value {
    json!({ "type": "call", "namespace": "/chat", "event": event, "data": data })
}

#[tokio::test]
async fn a_call_is_answered_with_what_its_handler_returns() {
    let (fanfare, address) = hub().await;
    fanfare
        .events("/")
        .on("ADD", |_, (a, b): (i64, i64)| async move { Ok(a + b) })
        .on("TWO", |_, ()| async { Ok(("one", Binary(bytes::Bytes::from_static(&[1, 2, 3])))) })
        .on("QUIET", |_, _: Value| async {})
        .on("REFUSE", |_, ()| async { Err::<(), _>(Problem::new(Code::Conflict, "no").remedy("later")) })
        .on_any(|ctx, args| async move { Ok((ctx.event().to_owned(), args.len())) });
    let mut client = ws(address, &[]).await;
    assert_eq!(client.ok(call("ADD", json!([1, 2]))).await["data"], json!([3]));
    assert_eq!(client.ok(call("TWO", json!([]))).await["data"], json!(["one", { "$bytes": "AQID" }]));
    assert_eq!(client.ok(call("QUIET", json!([{}]))).await["data"], json!([]));
    assert_eq!(client.ok(call("OTHER", json!([1, 2, 3]))).await["data"], json!(["OTHER", 3]));
    let refused = client.refused(call("REFUSE", json!([])), "conflict").await;
    assert_eq!((&refused["detail"], &refused["remedy"]), (&json!("no"), &json!("later")));
    let unfit = client.refused(call("ADD", json!([1, "two"])), "bad_request").await;
    assert!(unfit["detail"].as_str().unwrap().contains("argument 2"), "{unfit}");
    let mut elsewhere = call("ADD", json!([]));
    elsewhere["namespace"] = json!("/elsewhere");
    client.refused(elsewhere, "not_found").await;

    // The same over HTTP.
    let answer = post(address, &json!({ "event": "ADD", "data": [20, 22] })).await;
    assert_eq!(answer.ok(), json!({ "data": [42] }));
    post(address, &json!({ "event": "REFUSE" })).await.problem(409, "conflict");
    post(address, &json!({ "event": "ADD", "data": 7 })).await.problem(400, "bad_request");
    post(address, &json!({ "event": "ADD", "namespace": "/elsewhere" })).await.problem(404, "not_found");
    post(address, &json!({ "data": [] })).await.problem(400, "bad_request");
    fanfare.shutdown().await;
}

#[tokio::test]
async fn a_middleware_decides_and_its_data_is_the_handlers() {
    let (fanfare, address) = hub().await;
    chat(&fanfare);
    let mut stranger = ws(address, &[]).await;
    let refused = stranger.refused(in_chat("JOIN", json!(["lobby"])), "unauthorized").await;
    assert_eq!(refused["detail"], "say your name");
    // It may try again.
    stranger.refused(in_chat("JOIN", json!(["lobby"])), "unauthorized").await;
    stranger.alive().await;
    let over_http = Request::new(address, "POST", "/v1/call")
        .header("x-name", "ada")
        .json(&json!({ "namespace": "/chat", "event": "JOIN", "data": ["lobby"] }));
    let problem = over_http.send().await.problem(400, "bad_request");
    assert!(problem["remedy"].as_str().unwrap().contains("WebSocket"), "{problem}");
}

#[tokio::test]
async fn a_room_is_a_channel_and_every_reader_hears_it() {
    let (fanfare, address) = hub().await;
    chat(&fanfare);
    let mut ada = ws(address, &[("x-name", "ada")]).await;
    let mut bob = ws(address, &[("x-name", "bob")]).await;
    let request = Request::new(address, "GET", "/v1/sse?channel=chat:lobby&envelope=1");
    let (mut reader, _) = Sse::subscribed(request).await;

    ada.send(&json!({ "type": "call", "ref": 1, "namespace": "/chat", "event": "JOIN", "data": ["lobby"] }))
        .await;
    // The subscription is told before the answer, and without a reference.
    let subscribed = ada.expect("subscribed").await;
    assert_eq!((&subscribed["channel"], subscribed.get("ref")), (&json!("chat:lobby"), None));
    assert_eq!(ada.expect("ok").await["data"], json!([1]));
    assert_eq!(bob.ok(in_chat("JOIN", json!(["lobby"]))).await["data"], json!([2]));
    let joined = ada.find("message").await;
    assert_eq!(
        (&joined["event"], &joined["data"], &joined["user"]),
        (&json!("JOINED"), &json!("bob"), &json!("bob"))
    );

    let confirmed = beside(&mut bob, in_chat("SAY", json!(["lobby", "hi"])), "message").await;
    assert_eq!((&confirmed["event"], &confirmed["data"]), (&json!("CONFIRMED"), &json!("lobby")));
    assert!(confirmed["channel"].as_str().unwrap().starts_with("$to:"), "{confirmed}");
    let said = ada.find("message").await;
    assert_eq!((&said["event"], &said["data"]), (&json!("SAID"), &json!(["bob", "hi"])));
    assert_eq!(said["tags"], json!({ "args": "2" }));
    // Who said it does not hear it: the next that it hears is another's.
    let confirmed = beside(&mut ada, in_chat("SAY", json!(["lobby", "ho"])), "message").await;
    assert_eq!(confirmed["event"], "CONFIRMED");
    let said = bob.find("message").await;
    assert_eq!((&said["channel"], &said["data"]), (&json!("chat:lobby"), &json!(["ada", "ho"])));
    // Somebody who only reads the channel heard all of it.
    let mut events = Vec::new();
    while events.len() < 4 {
        events.push(reader.event().await.unwrap().json()["event"].clone());
    }
    assert_eq!(events, ["JOINED", "JOINED", "SAID", "SAID"]);

    let over = beside(&mut bob, in_chat("LEAVE", json!(["lobby"])), "unsubscribed").await;
    assert_eq!((&over["channel"], &over["code"]), (&json!("chat:lobby"), &json!("revoked")));
    assert_eq!(fanfare.events("/chat").members("lobby").len(), 1);
    ada.cut();
    let left = reader.event().await.unwrap().json();
    assert_eq!((&left["event"], &left["data"]), (&json!("LEFT"), &json!(["ada", End::Lost.name()])));
    within(async {
        while !fanfare.events("/chat").members("lobby").is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn calls_of_one_client_keep_their_order_unless_a_handler_is_concurrent() {
    let (fanfare, address) = hub().await;
    let gate = Arc::new(Notify::new());
    let (held, opened) = (gate.clone(), gate.clone());
    let count = Arc::new(AtomicUsize::new(0));
    let counted = count.clone();
    fanfare
        .events("/")
        .on("WAIT", move |_, ()| {
            let gate = held.clone();
            async move { gate.notified().await }
        })
        .on("NUMBER", move |_, ()| {
            let n = counted.fetch_add(1, Ordering::SeqCst);
            async move { Ok(n) }
        })
        .on_concurrent("OPEN", move |_, ()| {
            let gate = opened.clone();
            async move { gate.notify_one() }
        });
    let mut client = ws(address, &[]).await;
    client.send(&json!({ "type": "call", "ref": 1, "event": "WAIT" })).await;
    for n in 0..20 {
        client.send(&json!({ "type": "call", "ref": 100 + n, "event": "NUMBER" })).await;
    }
    // Another client is not held up.
    assert_eq!(ws(address, &[]).await.ok(call("NUMBER", json!([]))).await["data"], json!([0]));
    client.send(&json!({ "type": "call", "ref": 2, "event": "OPEN" })).await;
    let mut told = Vec::new();
    for _ in 0..22 {
        let ok = client.expect("ok").await;
        told.push((ok["ref"].as_i64().unwrap(), ok["data"].clone()));
    }
    let open = told.iter().position(|(reference, _)| *reference == 2).unwrap();
    told.remove(open);
    assert_eq!(told.remove(0), (1, json!([])));
    let expected: Vec<_> = (0..20).map(|n| (100 + n, json!([n + 1]))).collect();
    assert_eq!(told, expected);
}

#[tokio::test]
async fn a_panic_and_a_deadline_are_the_errors_of_one_call() {
    let (fanfare, address) = hub().await;
    fanfare
        .events("/")
        .deadline(Duration::from_millis(50))
        .on("PANIC", |_, ()| async {
            if true {
                panic!("a handler's own fault")
            }
        })
        .on("SLOW", |_, ()| std::future::pending::<()>())
        .on("FINE", |_, ()| async { Ok("fine") });
    let mut client = ws(address, &[]).await;
    client.refused(call("PANIC", json!([])), "internal").await;
    let late = client.refused(call("SLOW", json!([])), "unavailable").await;
    assert!(late["detail"].as_str().unwrap().contains("50 ms"), "{late}");
    assert_eq!(client.ok(call("FINE", json!([]))).await["data"], json!(["fine"]));
    fanfare.events("/strict").authorise(|_| async {
        if true {
            panic!("a middleware's own fault");
        }
        Ok(())
    });
    let mut strict = call("FINE", json!([]));
    strict["namespace"] = json!("/strict");
    client.refused(strict, "internal").await;
    client.alive().await;
}

#[tokio::test]
async fn an_event_can_be_answered_by_one_and_by_many() {
    let (fanfare, address) = hub().await;
    fanfare.events("/").on("JOIN", |ctx, ()| async move {
        ctx.join("all").await?;
        Ok(ctx.sid().to_owned())
    });
    let mut clients = Vec::new();
    let mut sids = Vec::new();
    for _ in 0..3 {
        let mut client = ws(address, &[]).await;
        sids.push(client.ok(call("JOIN", json!([]))).await["data"][0].as_str().unwrap().to_owned());
        clients.push(client);
    }
    let events = fanfare.events("/");
    let asked = tokio::spawn(async move {
        events.to("all").emit_with_ack::<i64>("HOW MANY?", "please", Duration::from_secs(2)).await.unwrap()
    });
    // Two answer, each once; the third does not.
    for (n, client) in clients.iter_mut().enumerate() {
        let question = client.find("message").await;
        assert_eq!((&question["event"], &question["data"]), (&json!("HOW MANY?"), &json!("please")));
        let id = question["tags"]["answer"].clone();
        if n < 2 {
            client.ok(json!({ "type": "answer", "id": id, "data": [n] })).await;
            client.refused(json!({ "type": "answer", "id": id, "data": [n] }), "not_found").await;
        }
    }
    let mut acks = within(asked).await.unwrap();
    acks.answers.sort_by_key(|(_, answer)| *answer);
    assert_eq!(acks.answers, [(sids[0].clone(), 0), (sids[1].clone(), 1)]);
    assert_eq!(acks.missing, [sids[2].clone()]);

    let one = fanfare.events("/").socket(&sids[0]).unwrap();
    let asked =
        tokio::spawn(
            async move { one.emit_with_ack::<(String, u8)>("WHO?", (), Duration::from_secs(5)).await },
        );
    let question = clients[0].find("message").await;
    clients[0].ok(json!({ "type": "answer", "id": question["tags"]["answer"], "data": ["ada", 7] })).await;
    assert_eq!(within(asked).await.unwrap(), Ok(("ada".to_owned(), 7)));
}

#[tokio::test]
async fn everybody_but_some() {
    let (fanfare, address) = hub().await;
    fanfare
        .events("/")
        .on("JOIN", |ctx, rooms: Vec<String>| async move {
            for room in rooms {
                ctx.join(&room).await?;
            }
            Ok(ctx.sid().to_owned())
        })
        .on("ALL", |ctx, text: String| async move { ctx.broadcast("TOLD", text).await.map(drop) })
        .on("BOTH", |ctx, text: String| async move {
            ctx.events().to("a").to("b").emit("TOLD", text).await.map(drop)
        })
        .on(
            "SOME",
            |ctx, text: String| async move { ctx.to("a").except("b").emit("TOLD", text).await.map(drop) },
        );
    let mut one = ws(address, &[]).await;
    let mut two = ws(address, &[]).await;
    let mut three = ws(address, &[]).await;
    let sid = one.ok(call("JOIN", json!([["a"]]))).await["data"][0].as_str().unwrap().to_owned();
    two.ok(call("JOIN", json!([["a", "b"]]))).await;
    three.ok(call("JOIN", json!([["a"]]))).await;
    async fn next(client: &mut Ws) -> Value {
        client.find("message").await["data"].clone()
    }
    one.ok(call("ALL", json!(["everybody"]))).await;
    assert_eq!(next(&mut two).await, "everybody");
    assert_eq!(next(&mut three).await, "everybody");
    // Who is in both rooms hears it once.
    one.ok(call("BOTH", json!(["both"]))).await;
    for client in [&mut one, &mut two, &mut three] {
        assert_eq!(next(client).await, "both");
    }
    one.ok(call("SOME", json!(["some"]))).await;
    assert_eq!(next(&mut three).await, "some");
    fanfare.events("/").to(&sid).emit("TOLD", "alone").await.unwrap();
    assert_eq!(next(&mut one).await, "alone");
    fanfare.events("/").broadcast("TOLD", "last").await.unwrap();
    for client in [&mut one, &mut two, &mut three] {
        assert_eq!(next(client).await, "last");
    }
    fanfare.events("/").socket(&sid).unwrap().disconnect_all();
    let over = one.find("disconnect").await;
    assert_eq!(over["code"], "revoked");
}

#[tokio::test]
async fn rooms_of_another_namespace_are_its_own() {
    let (fanfare, address) = hub().await;
    chat(&fanfare);
    async fn join(ctx: Context, room: String) -> Result<(), Problem> {
        ctx.join(&room).await
    }
    fanfare.events("/").on("JOIN", join);
    let mut client = ws(address, &[]).await;
    client.refused(call("JOIN", json!(["chat:lobby"])), "forbidden").await;
    client.ok(call("JOIN", json!(["news:today"]))).await;
    let subscribed = beside(&mut client, call("JOIN", json!(["with a space"])), "subscribed").await;
    assert_eq!(subscribed["channel"], "with%20a%20space");
    assert_eq!(String::from_args(fanfare::Args::default()).unwrap_err().code, Code::BadRequest);
}

#[tokio::test]
async fn what_a_namespace_s_schema_does_not_allow_reaches_no_handler() {
    let text =
        r#"{ "events": { "ADD": { "type": "array", "items": { "type": "integer" } } }, "others": "refuse" }"#;
    let schema = SchemaFile::compile(Path::new("sums.schema.json"), text.to_owned()).unwrap();
    let fanfare = Fanfare::builder()
        .open()
        .namespace("sums", |sums| sums.schema = Some(Arc::new(schema)))
        .build()
        .unwrap();
    let address = serve(&fanfare).await;
    let sums = fanfare.events("/sums");
    sums.on("ADD", |_, (a, b): (i64, i64)| async move { Ok(a + b) }).on("OTHER", |_, ()| async {});
    let sum = |event: &str, data: Value| json!({ "type": "call", "namespace": "/sums", "event": event, "data": data });
    let mut client = ws(address, &[]).await;
    assert_eq!(client.ok(sum("ADD", json!([1, 2]))).await["data"], json!([3]));
    let refused = client.refused(sum("ADD", json!([1, "two"])), "bad_request").await;
    assert!(refused["detail"].as_str().unwrap().starts_with("data at /1: "), "{refused}");
    client.refused(sum("OTHER", json!([])), "bad_request").await;
}
