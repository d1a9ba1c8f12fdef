//! What an idle connection holds on the heap, counted by the allocator, over each transport. One test in this binary, so that nothing else
//! allocates meanwhile; the clients are bare sockets, which hold nothing there.
#![allow(clippy::unwrap_used, reason = "a panic is the report of a test")]
use std::{
    alloc::System,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use fanfare::{Fanfare, Right};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const CONNECTIONS: usize = 200;

/// How a client comes to hear a channel on which nothing happens.
type Open = fn(SocketAddr) -> TcpStream;

/// How a client begins, over which transport the hub counts it, and how many bytes the server may hold for it: what that is now and a
/// fifth.
const CLIENTS: [(&str, Open, &str, usize); 6] = [
    ("websocket", websocket, "websocket", 2650),
    ("sse", sse, "sse", 2650),
    ("stream", stream, "stream", 2650),
    ("poll", poll, "poll", 5000),
    ("Socket.IO over WebSocket", socketio_websocket, "socketio", 5500),
    ("Socket.IO that polls", socketio_poll, "socketio", 8300),
];

const UPGRADE: &str = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

/// Reads until that comes; an empty one comes at once.
fn hear(socket: &mut TcpStream, until: &str) -> String {
    socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let (mut seen, mut buffer) = (String::new(), [0; 4096]);
    while !seen.contains(until) {
        let n = socket.read(&mut buffer).unwrap();
        assert!(n > 0, "closed after {seen}");
        seen += &String::from_utf8_lossy(&buffer[..n]);
    }
    seen
}

/// Asks, and reads until that comes.
fn ask(address: SocketAddr, target: &str, headers: &str, until: &str) -> (TcpStream, String) {
    let mut socket = TcpStream::connect(address).unwrap();
    write!(socket, "GET {target} HTTP/1.1\r\nHost: {address}\r\n{headers}\r\n").unwrap();
    let seen = hear(&mut socket, until);
    (socket, seen)
}

fn websocket(address: SocketAddr) -> TcpStream {
    ask(address, "/v1/ws?channel=a", UPGRADE, "\"subscribed\"").0
}

fn sse(address: SocketAddr) -> TcpStream {
    ask(address, "/v1/sse?channel=a", "", "fanfare.subscribed").0
}

fn stream(address: SocketAddr) -> TcpStream {
    ask(address, "/v1/stream?channel=a", "", "\"subscribed\"").0
}

fn poll(address: SocketAddr) -> TcpStream {
    let (_, now) = ask(address, "/v1/poll?channel=a", "Connection: close\r\n", "\"poll_after_ms\"");
    let cursor = now.split("\"cursor\":\"").nth(1).unwrap().split('"').next().unwrap();
    ask(address, &format!("/v1/poll?channel=a&wait=60&since={cursor}"), "", "").0
}

/// Joins a namespace and subscribes, as `socket.io-client` does and `emit("subscribe", "a", ack)`.
const SAID: [&str; 2] = ["40", "420[\"subscribe\",\"a\"]"];
const HEARD: [&str; 2] = ["40{", "430[{\"epoch\""];

fn socketio_websocket(address: SocketAddr) -> TcpStream {
    let (mut socket, _) = ask(address, "/socket.io/?EIO=4&transport=websocket", UPGRADE, "\"sid\"");
    for (said, until) in SAID.into_iter().zip(HEARD) {
        let mut frame = vec![0x81, 0x80 | said.len() as u8, 0, 0, 0, 0];
        frame.extend_from_slice(said.as_bytes());
        socket.write_all(&frame).unwrap();
        hear(&mut socket, until);
    }
    socket
}

fn socketio_poll(address: SocketAddr) -> TcpStream {
    const TARGET: &str = "/socket.io/?EIO=4&transport=polling";
    const CLOSE: &str = "Connection: close\r\n";
    let (_, opened) = ask(address, TARGET, CLOSE, "maxPayload");
    let sid = opened.split("\"sid\":\"").nth(1).unwrap().split('"').next().unwrap();
    let target = format!("{TARGET}&sid={sid}");
    for (said, until) in SAID.into_iter().zip(HEARD) {
        let mut socket = TcpStream::connect(address).unwrap();
        let head =
            format!("POST {target} HTTP/1.1\r\nHost: {address}\r\n{CLOSE}Content-Length: {}", said.len());
        write!(socket, "{head}\r\n\r\n{said}").unwrap();
        hear(&mut socket, "\r\n\r\nok");
        ask(address, &target, CLOSE, until);
    }
    ask(address, &target, "", "").0
}

/// Waits until the hub counts so many connections of a transport.
fn until_open(address: SocketAddr, transport: &str, count: usize) {
    let line = format!("fanfare_connections{{transport=\"{transport}\"}} {count}\n");
    let began = Instant::now();
    loop {
        let (mut socket, mut page) = ask(address, "/metrics", "Connection: close\r\n", "\r\n\r\n");
        socket.read_to_string(&mut page).unwrap();
        if page.contains(&line) || (count == 0 && !page.contains(&format!("transport=\"{transport}\"}} "))) {
            return;
        }
        assert!(began.elapsed() < Duration::from_secs(60), "never {line}{page}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Bytes held for each of so many connections, when nobody does anything any more.
fn each(region: &Region<'_, System>) -> usize {
    let mut last = usize::MAX;
    loop {
        std::thread::sleep(Duration::from_millis(300));
        let change = region.change();
        let held = change.bytes_allocated.saturating_sub(change.bytes_deallocated) / CONNECTIONS;
        if held == last {
            return held;
        }
        last = held;
    }
}

#[test]
fn an_idle_connection_holds_no_more_than_it_did() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
    let address = listener.local_addr().unwrap();
    let fanfare = {
        let _entered = runtime.enter();
        let all = [Right::Subscribe, Right::Publish].into_iter().collect();
        let builder = Fanfare::builder().default_namespace(move |n| n.anonymous = all);
        builder.set(|config| config.socketio.enabled = true).build().unwrap()
    };
    runtime.spawn(async move { fanfare.serve(listener).await });
    for (client, begin, transport, limit) in CLIENTS {
        let mut open = Vec::with_capacity(CONNECTIONS + 1);
        // What is made once, and lists that grow, are not one connection's.
        open.push(begin(address));
        until_open(address, transport, 1);
        let region = Region::new(ALLOCATOR);
        for _ in 0..CONNECTIONS {
            open.push(begin(address));
        }
        until_open(address, transport, CONNECTIONS + 1);
        let held = each(&region);
        println!("{client}: {held} bytes");
        assert!((100..=limit).contains(&held), "{held} bytes are held for an idle client, {client}");
        drop(open);
        until_open(address, transport, 0);
    }
}
