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

/// Over which transport, how a client begins, what it waits for, and how many bytes the server may hold for it: what that is now and a
/// fifth.
const TRANSPORTS: [(&str, &str, &str, usize); 4] = [
    ("websocket", "/v1/ws?channel=a", "\"subscribed\"", 2650),
    ("sse", "/v1/sse?channel=a", "fanfare.subscribed", 2650),
    ("stream", "/v1/stream?channel=a", "\"subscribed\"", 2650),
    ("poll", "/v1/poll?channel=a&wait=60&since=", "", 6700),
];

const UPGRADE: &str = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

/// Asks, and reads until that comes; an empty one comes at once.
fn ask(address: SocketAddr, target: &str, headers: &str, until: &str) -> (TcpStream, String) {
    let mut socket = TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    write!(socket, "GET {target} HTTP/1.1\r\nHost: {address}\r\n{headers}\r\n").unwrap();
    let (mut seen, mut buffer) = (String::new(), [0; 4096]);
    while !seen.contains(until) {
        let n = socket.read(&mut buffer).unwrap();
        assert!(n > 0, "closed after {seen}");
        seen += &String::from_utf8_lossy(&buffer[..n]);
    }
    (socket, seen)
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
        Fanfare::builder().default_namespace(move |n| n.anonymous = all).build().unwrap()
    };
    runtime.spawn(async move { fanfare.serve(listener).await });
    for (transport, target, until, limit) in TRANSPORTS {
        let mut target = target.to_owned();
        if transport == "poll" {
            let (_, now) = ask(address, "/v1/poll?channel=a", "Connection: close\r\n", "\"poll_after_ms\"");
            target += now.split("\"cursor\":\"").nth(1).unwrap().split('"').next().unwrap();
        }
        let headers = if transport == "websocket" { UPGRADE } else { "" };
        let mut open = Vec::with_capacity(CONNECTIONS + 1);
        // What is made once, and lists that grow, are not one connection's.
        open.push(ask(address, &target, headers, until).0);
        until_open(address, transport, 1);
        let region = Region::new(ALLOCATOR);
        for _ in 0..CONNECTIONS {
            open.push(ask(address, &target, headers, until).0);
        }
        until_open(address, transport, CONNECTIONS + 1);
        let held = each(&region);
        println!("{transport}: {held} bytes");
        assert!((100..=limit).contains(&held), "{held} bytes are held for an idle {transport} connection");
        drop(open);
        until_open(address, transport, 0);
    }
}
