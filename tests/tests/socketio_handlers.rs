//! Socket.IO clients and the application's own handlers: what is said arrives in the order in which it was said.
#![allow(clippy::unwrap_used, reason = "tests: a panic is a failure with its place")]
use std::{net::SocketAddr, time::Duration};

use fanfare::{Context, Fanfare, Problem};
use fanfare_tests::{prelude::*, ws::Ws};
use tokio::net::TcpStream;

async fn hub() -> (Fanfare, SocketAddr) {
    hub_that_remembers(Duration::from_secs(120)).await
}

/// Who is cut off may come back for so long.
async fn hub_that_remembers(recovery_window: Duration) -> (Fanfare, SocketAddr) {
    let fanfare = Fanfare::builder()
        .open()
        .set(move |config| {
            config.limits.commands_per_second = 0;
            config.socketio.enabled = true;
            config.socketio.recovery_window = recovery_window;
        })
        .build()
        .unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serving = fanfare.clone();
    tokio::spawn(async move { serving.serve(listener).await });
    (fanfare, address)
}

/// A client of `/`: its id there.
async fn joined(address: SocketAddr) -> (Ws, String) {
    let stream = TcpStream::connect(address).await.unwrap();
    let mut ws = Ws::over(stream, "/socket.io/?EIO=4&transport=websocket", &[]).await.unwrap();
    assert!(ws.packet().await.starts_with("0{\"sid\":"));
    ws.send_text("40").await;
    let reply = ws.packet().await;
    let sid: Value = serde_json::from_str(reply.strip_prefix("40").unwrap()).unwrap();
    (ws, sid["sid"].as_str().unwrap().to_owned())
}

/// What a packet says without its type, ids and position: `e1`, `ack 3`, `question 7`.
fn told(packet: &str) -> String {
    let body = packet.find('[').unwrap_or(packet.len());
    let array: Value = serde_json::from_str(&packet[body..]).unwrap_or_default();
    match &packet[..2] {
        "42" if body > 2 => format!("question {}", array[0].as_str().unwrap()),
        "42" => array[0].as_str().unwrap().to_owned(),
        "43" => format!("ack {}", &packet[2..body]),
        kind => kind.to_owned(),
    }
}

async fn say_much(ctx: Context, n: u64) -> Result<u64, Problem> {
    ctx.emit("own", n).await?;
    ctx.events().to("everyone").emit("room", n).await?;
    ctx.events().broadcast("all", n).await?;
    ctx.emit_volatile("volatile", n).await?;
    Ok(n)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_handler_says_before_its_answer_arrives_before_it() {
    let (fanfare, address) = hub().await;
    let enter = async |ctx: Context| drop(ctx.join("everyone").await);
    fanfare.events("/").on_connect(enter).on("SAY", say_much).on_concurrent("SAY_BESIDE", say_much);
    let (mut ws, _) = joined(address).await;
    let (mut other, _) = joined(address).await;
    let calls = 300_u64;
    for n in 0..calls {
        let event = if n % 3 == 0 { "SAY_BESIDE" } else { "SAY" };
        ws.send_text(&format!("42{n}[\"{event}\",{n}]")).await;
        other.send_text(&format!("42[\"SAY\",{}]", calls + n)).await;
    }
    let mut said = std::collections::BTreeMap::<u64, Vec<String>>::new();
    let mut checked = 0;
    while checked < calls {
        let packet = ws.packet().await;
        let array: Value = serde_json::from_str(&packet[packet.find('[').unwrap()..]).unwrap();
        if packet.starts_with("42") {
            said.entry(array[1].as_u64().unwrap()).or_default().push(told(&packet));
            continue;
        }
        let n = array[0].as_u64().unwrap();
        let mut before = said.remove(&n).unwrap_or_default();
        before.sort();
        assert_eq!(before, ["all", "own", "room", "volatile"], "before the answer to {n}");
        checked += 1;
    }
}

#[tokio::test]
async fn questions_and_goodbyes_come_behind_what_was_said_before() {
    let (fanfare, address) = hub().await;
    fanfare
        .events("/")
        .on("ASK", async |ctx: Context, (): ()| {
            ctx.emit("first", 1).await?;
            let answer: String = ctx.emit_with_ack("sure?", (), Duration::from_secs(5)).await?;
            ctx.emit("then", answer).await.map(drop)
        })
        .on("BYE", async |ctx: Context, (): ()| {
            ctx.emit("farewell", "x".repeat(30_000)).await?;
            ctx.disconnect();
            Ok::<_, Problem>("gone")
        })
        .on("BYE_ALL", async |ctx: Context, (): ()| {
            ctx.emit("farewell", 1).await?;
            ctx.disconnect_all();
            Ok::<_, Problem>(())
        });
    let (mut ws, _) = joined(address).await;
    // Handlers of one client run one after the other, so the question must be answered by an event of its own kind.
    ws.send_text("420[\"ASK\"]").await;
    assert_eq!(told(&ws.packet().await), "first");
    let question = ws.packet().await;
    assert_eq!(told(&question), "question sure?");
    let id = &question[2..question.find('[').unwrap()];
    ws.send_text(&format!("43{id}[\"yes\"]")).await;
    let mut rest = Vec::new();
    for _ in 0..2 {
        rest.push(told(&ws.packet().await));
    }
    assert_eq!(rest, ["then", "ack 0"]);
    ws.send_text("421[\"BYE\"]").await;
    ws.send_text("422[\"ASK\"]").await;
    let mut rest = Vec::new();
    while rest.last().is_none_or(|last| last != "41") {
        rest.push(told(&ws.packet().await));
    }
    // Its answer, said behind the goodbye, may come or not; what was said before it comes, and what the client asks behind it is not heard.
    rest.retain(|told| told != "ack 1");
    assert_eq!(rest, ["farewell", "41"]);
    // The transport stays: the client may come again.
    ws.send_text("40").await;
    loop {
        if ws.packet().await.starts_with("40") {
            break;
        }
    }
    ws.send_text("42[\"BYE_ALL\"]").await;
    assert_eq!([told(&ws.packet().await), told(&ws.packet().await)], ["farewell", "41"]);
    // Its client closes the connection; where it does not, the hub does.
    ws.ended().await;
}

#[tokio::test]
async fn what_a_handler_joined_and_what_the_client_subscribed_to_end_apart() {
    let (fanfare, address) = hub().await;
    fanfare
        .events("/")
        .on("JOIN", async |ctx: Context, room: String| ctx.join(&room).await)
        .on("LEAVE", async |ctx: Context, room: String| ctx.leave(&room).await);
    let (mut ws, _) = joined(address).await;
    let said = async |ws: &mut Ws, n: u32| {
        fanfare.publish("both", n).event("e").await.unwrap();
        ws.send_text("429[\"JOIN\",\"other\"]").await;
        let mut lengths = Vec::new();
        loop {
            let packet = ws.packet().await;
            if packet.starts_with("439") {
                lengths.sort_unstable();
                return lengths;
            }
            let array: Value = serde_json::from_str(&packet[2..]).unwrap();
            assert_eq!((&array[0], &array[1]), (&json!("e"), &json!(n)));
            lengths.push(array.as_array().unwrap().len());
        }
    };
    let ask = async |ws: &mut Ws, what: &str| {
        ws.send_text(&format!("421{what}")).await;
        let answer = ws.packet().await;
        assert!(answer.starts_with("431["), "{answer}");
        answer
    };
    assert_eq!(said(&mut ws, 0).await, [0_usize; 0]);
    ask(&mut ws, "[\"JOIN\",\"both\"]").await;
    assert_eq!(said(&mut ws, 1).await, [3], "as a room");
    // What handlers joined is not the client's to leave.
    assert!(ask(&mut ws, "[\"unsubscribe\",\"both\"]").await.contains("not_found"));
    assert_eq!(said(&mut ws, 2).await, [3]);
    ask(&mut ws, "[\"subscribe\",\"both\"]").await;
    settle(&mut ws, &fanfare).await;
    ask(&mut ws, "[\"LEAVE\",\"both\"]").await;
    settle(&mut ws, &fanfare).await;
    fanfare.publish("both", 9).event("e").await.unwrap();
    let array: Value = serde_json::from_str(&ws.packet().await[2..]).unwrap();
    assert_eq!(
        (&array[1], array.as_array().unwrap().len()),
        (&json!(9), 4),
        "as the client subscribed, and so alone"
    );
    ask(&mut ws, "[\"unsubscribe\",\"both\"]").await;
    assert_eq!(said(&mut ws, 10).await, [0_usize; 0]);
}

/// Takes what is on its way: nothing that was published before comes later.
async fn settle(ws: &mut Ws, fanfare: &Fanfare) {
    for channel in ["settle:a"] {
        ws.send_text(&format!("427[\"subscribe\",\"{channel}\"]")).await;
        while !ws.packet().await.starts_with("437") {}
        fanfare.publish(channel, 0).event("settled").await.unwrap();
        while !ws.packet().await.contains("settled") {}
        ws.send_text(&format!("427[\"unsubscribe\",\"{channel}\"]")).await;
        while !ws.packet().await.starts_with("437") {}
    }
}

#[tokio::test]
async fn several_rooms_and_exceptions_reach_everybody_once() {
    let (fanfare, address) = hub().await;
    let events = fanfare.events("/").on("JOIN", async |ctx: Context, rooms: Vec<String>| {
        for room in rooms {
            ctx.join(&room).await?;
        }
        Ok::<_, Problem>(())
    });
    let mut clients = Vec::new();
    for rooms in [json!(["a"]), json!(["b"]), json!(["a", "b"]), json!(["a", "b", "c"]), json!([])] {
        let (mut ws, sid) = joined(address).await;
        ws.send_text(&format!("420[\"JOIN\",{rooms}]")).await;
        assert!(ws.packet().await.starts_with("430"));
        clients.push((ws, sid));
    }
    let sid = clients[0].1.clone();
    events.to("a").to("b").emit("both", 0).await.unwrap();
    events.to("a").to("b").except("c").emit("no c", 0).await.unwrap();
    events.to("a").except(&sid).emit("no first", 0).await.unwrap();
    events.to(&sid).to("a").emit("first too", 0).await.unwrap();
    let mut heard = Vec::new();
    for (ws, _) in &mut clients {
        // The answer to this comes behind everything that was said before.
        ws.send_text("421[\"JOIN\",[]]").await;
        let mut all = Vec::new();
        loop {
            let told = told(&ws.packet().await);
            if told == "ack 1" {
                break;
            }
            all.push(told);
        }
        all.sort();
        heard.push(all.join(", "));
    }
    let expected = [
        "both, first too, no c",
        "both, no c",
        "both, first too, no c, no first",
        "both, first too, no first",
        "",
    ];
    assert_eq!(heard, expected);
}

#[tokio::test]
async fn an_interrupted_client_keeps_its_rooms_however_often_it_is_cut() {
    let (fanfare, address) = hub().await;
    let (gone, mut is_gone) = tokio::sync::mpsc::unbounded_channel();
    fanfare
        .events("/")
        .on("JOIN", async |ctx: Context, (): ()| {
            ctx.join("room").await?;
            // Its private channel, too, is one that it goes on reading.
            ctx.emit("welcome", ctx.members("room").len()).await.map(drop)
        })
        .on("SAY", async |ctx: Context, n: u64| ctx.to("room").emit("said", n).await.map(drop))
        .on("WHO", async |ctx: Context, (): ()| Ok::<_, Problem>(ctx.members("room").len()))
        .on_disconnecting(move |ctx, _| {
            let gone = gone.clone();
            async move { drop(gone.send(ctx.rooms())) }
        });
    let (mut other, _) = joined(address).await;
    let stream = TcpStream::connect(address).await.unwrap();
    let mut ws = Ws::over(stream, "/socket.io/?EIO=4&transport=websocket", &[]).await.unwrap();
    ws.packet().await;
    ws.send_text("40").await;
    let connect: Value = serde_json::from_str(&ws.packet().await[2..]).unwrap();
    let mut offset = Value::Null;
    for ws in [&mut other, &mut ws] {
        ws.send_text("420[\"JOIN\"]").await;
        let welcome: Value = serde_json::from_str(&ws.packet().await[2..]).unwrap();
        offset = welcome[2].clone();
        assert_eq!(told(&ws.packet().await), "ack 0");
    }
    for n in 0..5_u64 {
        ws.cut();
        assert_eq!(within(is_gone.recv()).await.unwrap(), ["room"], "its visit has ended, {n}");
        other.send_text(&format!("421[\"SAY\",{n}]")).await;
        assert_eq!(told(&other.packet().await), "ack 1");
        let stream = TcpStream::connect(address).await.unwrap();
        ws = Ws::over(stream, "/socket.io/?EIO=4&transport=websocket", &[]).await.unwrap();
        ws.packet().await;
        ws.send_text(&format!("40{}", json!({ "pid": connect["pid"], "offset": offset }))).await;
        let again: Value = serde_json::from_str(&ws.packet().await[2..]).unwrap();
        assert_eq!(again, connect, "the same client again, {n}");
        let said = ws.packet().await;
        let array: Value = serde_json::from_str(&said[2..]).unwrap();
        assert_eq!((&array[0], &array[1]), (&json!("said"), &json!(n)), "{said}");
        offset = array[2].clone();
        ws.send_text("422[\"WHO\"]").await;
        assert_eq!(ws.packet().await, "432[2]", "both are members, {n}");
    }
}

/// Connects again in the place of a client that was cut off, which received that last. What its CONNECT was answered with.
async fn came_back(address: SocketAddr, connect: &Value, offset: &Value) -> (Ws, Value) {
    let stream = TcpStream::connect(address).await.unwrap();
    let mut ws = Ws::over(stream, "/socket.io/?EIO=4&transport=websocket", &[]).await.unwrap();
    ws.packet().await;
    ws.send_text(&format!("40{}", json!({ "pid": connect["pid"], "offset": offset }))).await;
    let reply = serde_json::from_str(&ws.packet().await[2..]).unwrap();
    (ws, reply)
}

#[tokio::test]
async fn what_an_interrupted_client_is_told_alone_it_hears_when_it_comes_back() {
    let (fanfare, address) = hub().await;
    let events = fanfare.events("/");
    let (gone, mut is_gone) = tokio::sync::mpsc::unbounded_channel();
    let enter = async |ctx: Context, rooms: Vec<String>| {
        for room in &rooms {
            ctx.join(room).await?;
        }
        Ok::<_, Problem>(())
    };
    let events = events.on("ENTER", enter).on_disconnecting(move |ctx, _| {
        let gone = gone.clone();
        async move { drop(gone.send(ctx.socket().clone())) }
    });
    let (mut other, other_sid) = joined(address).await;
    let (mut third, third_sid) = joined(address).await;
    let mut ws =
        Ws::over(TcpStream::connect(address).await.unwrap(), "/socket.io/?EIO=4&transport=websocket", &[])
            .await
            .unwrap();
    ws.packet().await;
    ws.send_text("40").await;
    let connect: Value = serde_json::from_str(&ws.packet().await[2..]).unwrap();
    let sid = connect["sid"].as_str().unwrap();
    for ws in [&mut other, &mut third, &mut ws] {
        ws.send_text("420[\"ENTER\",[\"a\",\"b\"]]").await;
        assert_eq!(told(&ws.packet().await), "ack 0");
    }
    let mut offset = Value::Null;
    for n in 0..3_u64 {
        ws.cut();
        let socket = within(is_gone.recv()).await.unwrap();
        while events.socket(sid).is_some() {
            tokio::task::yield_now().await;
        }
        assert_eq!(events.members("a").len(), 2, "it is no member while it is away");
        // By its name, as itself, one by one because it is in both rooms or others are left out, and with everybody.
        events.to(sid).emit("named", n).await.unwrap();
        socket.emit("itself", n).await.unwrap();
        socket.emit_volatile("volatile", n).await.unwrap();
        let answers =
            events.to(sid).emit_with_ack::<u64>("question", n, Duration::from_secs(9)).await.unwrap();
        assert_eq!((answers.answers, answers.missing), (vec![], vec![sid.to_owned()]));
        events.to("a").to("b").emit("both", n).await.unwrap();
        events.to("a").except(&other_sid).except(&third_sid).emit("but two", n).await.unwrap();
        events.to("a").except(sid).emit("but it", n).await.unwrap();
        events.broadcast("all", n).await.unwrap();
        let (back, again) = came_back(address, &connect, &offset).await;
        ws = back;
        assert_eq!(again, connect, "the same client again, {n}");
        let mut heard = Vec::new();
        for _ in 0..5 {
            let packet = ws.packet().await;
            let array: Value = serde_json::from_str(&packet[2..]).unwrap();
            assert_eq!(array[1], n, "{packet}");
            heard.push(array[0].as_str().unwrap().to_owned());
        }
        let alone: Vec<_> = heard.iter().filter(|event| !["all", "both"].contains(&&***event)).collect();
        assert_eq!(alone, ["named", "itself", "but two"], "in the order in which it was said, {n}");
        heard.sort();
        assert_eq!(heard, ["all", "both", "but two", "itself", "named"], "{n}");
        events.to(sid).emit("live", n).await.unwrap();
        let live = ws.packet().await;
        assert_eq!(told(&live), "live");
        let array: Value = serde_json::from_str(&live[2..]).unwrap();
        offset = array[2].clone();
    }
    // Who does not come back is told nothing, and that is said.
    ws.send_text("41").await;
    let socket = within(is_gone.recv()).await.unwrap();
    assert_eq!(socket.emit("late", ()).await.unwrap_err().code, fanfare::Code::Unavailable);
}

#[tokio::test]
async fn who_is_cut_while_a_middleware_decides_is_not_remembered_for_ever() {
    let (fanfare, address) = hub_that_remembers(Duration::from_millis(300)).await;
    let (gone, mut is_gone) = tokio::sync::mpsc::unbounded_channel();
    let (asked, mut is_asked) = tokio::sync::mpsc::unbounded_channel();
    let decide = move |handshake: fanfare::Handshake| {
        let asked = asked.clone();
        async move {
            if handshake.recovered {
                let _ = asked.send(());
                std::future::pending::<()>().await;
            }
            Ok::<_, Problem>(fanfare::Admission::new())
        }
    };
    fanfare.events("/").authorise(decide).on_disconnecting(move |ctx, _| {
        let gone = gone.clone();
        async move { drop(gone.send(ctx.socket().clone())) }
    });
    let stream = TcpStream::connect(address).await.unwrap();
    let mut ws = Ws::over(stream, "/socket.io/?EIO=4&transport=websocket", &[]).await.unwrap();
    ws.packet().await;
    ws.send_text("40").await;
    let connect: Value = serde_json::from_str(&ws.packet().await[2..]).unwrap();
    ws.cut();
    let socket = within(is_gone.recv()).await.unwrap();
    socket.emit("early", ()).await.unwrap();
    let stream = TcpStream::connect(address).await.unwrap();
    let mut ws = Ws::over(stream, "/socket.io/?EIO=4&transport=websocket", &[]).await.unwrap();
    ws.packet().await;
    ws.send_text(&format!("40{}", json!({ "pid": connect["pid"] }))).await;
    within(is_asked.recv()).await.unwrap();
    ws.cut();
    // It does not come back again, and that becomes known.
    within(async {
        while socket.emit("late", ()).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}
