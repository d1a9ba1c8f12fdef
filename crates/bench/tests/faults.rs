//! A server that loses, repeats and swaps messages on purpose is found out, delivery by delivery; a faultless one is not accused.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot go on should panic")]
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fanfare_bench::{BenchError, Load, Protocol, PublishOver, Report, Settings, Transport};

/// What a server does with the n-th publication (from 1): the numbers of those that it sends out in its place.
type Plan = fn(usize) -> Vec<usize>;

fn settings(address: SocketAddr) -> Settings {
    let mut settings = Settings::new(address);
    settings.protocol = Protocol::Plain;
    settings.subscribers = 3;
    settings.load = Load::Rate(200.0);
    settings.warmup = Duration::ZERO;
    settings.duration = Duration::from_millis(300);
    settings.settle = Duration::ZERO;
    settings
}

fn run(settings: &Settings) -> Result<Report, BenchError> {
    fanfare_bench::run(settings, &AtomicBool::new(false))
}

fn head(socket: &mut TcpStream) -> String {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        socket.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    String::from_utf8(head).unwrap()
}

/// A masked text frame of less than 64 KB.
fn message(socket: &mut TcpStream) -> Option<Vec<u8>> {
    let mut start = [0; 2];
    socket.read_exact(&mut start).ok()?;
    let mut length = usize::from(start[1] & 0x7f);
    if length == 126 {
        let mut long = [0; 2];
        socket.read_exact(&mut long).ok()?;
        length = usize::from(u16::from_be_bytes(long));
    }
    let (mut mask, mut payload) = ([0; 4], vec![0; length]);
    socket.read_exact(&mut mask).ok()?;
    socket.read_exact(&mut payload).ok()?;
    for (byte, mask) in payload.iter_mut().zip(mask.iter().cycle()) {
        *byte ^= mask;
    }
    Some(payload)
}

/// A WebSocket server of two kinds of clients, which sends what `plan` says to every reader.
fn server(plan: Plan) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let readers: Arc<Mutex<Vec<TcpStream>>> = Arc::default();
    std::thread::spawn(move || {
        while let Ok((mut socket, _)) = listener.accept() {
            let head = head(&mut socket);
            socket.write_all(b"HTTP/1.1 101 Switching Protocols\r\n\r\n").unwrap();
            if head.starts_with("GET /publish") {
                let readers = readers.clone();
                std::thread::spawn(move || forward(socket, plan, &readers));
            } else {
                readers.lock().unwrap().push(socket);
            }
        }
    });
    address
}

fn forward(mut publisher: TcpStream, plan: Plan, readers: &Mutex<Vec<TcpStream>>) {
    let mut seen = Vec::new();
    while let Some(payload) = message(&mut publisher) {
        seen.push(payload);
        let mut out = Vec::new();
        for which in plan(seen.len()) {
            let payload: &[u8] = &seen[which - 1];
            out.extend([0x81, 126]);
            out.extend((payload.len() as u16).to_be_bytes());
            out.extend(payload);
        }
        for reader in readers.lock().unwrap().iter_mut() {
            let _ = reader.write_all(&out);
        }
    }
}

#[test]
fn a_faultless_server_is_not_accused() {
    let report = run(&settings(server(|n| vec![n]))).unwrap();
    assert!(report.checks.faults.none() && report.deliveries > 60, "{}", report.human());
    assert!(report.human().contains("everything once and in order"));
}

#[test]
fn losses_are_counted_for_every_reader() {
    let report = run(&settings(server(|n| if n == 3 || n == 10 { vec![] } else { vec![n] }))).unwrap();
    let faults = report.checks.faults;
    assert_eq!((faults.lost, faults.repeated, faults.disordered), (6, 0, 0));
}

#[test]
fn repeats_and_disorder_are_told_apart() {
    // 5 comes twice; 8 comes after 9; 20 is never sent.
    let plan: Plan = |n| match n {
        5 => vec![5, 5],
        8 | 20 => vec![],
        9 => vec![9, 8],
        n => vec![n],
    };
    let report = run(&settings(server(plan))).unwrap();
    let faults = report.checks.faults;
    assert_eq!((faults.lost, faults.repeated, faults.disordered), (3, 3, 3));
    assert!(report.human().contains("3 lost, 3 repeated, 3 out of order"), "{}", report.human());
}

#[test]
fn a_stalled_server_is_charged_for_every_publication_that_it_held_up() {
    // The 20th publication, after 100 ms, waits for 150 ms, and with it all behind it.
    let plan: Plan = |n| {
        if n == 20 {
            std::thread::sleep(Duration::from_millis(150));
        }
        vec![n]
    };
    let report = run(&settings(server(plan))).unwrap();
    let latency = report.latency;
    assert!(report.checks.faults.none(), "{}", report.human());
    // 30 of 60 publications were due while it slept, evenly: a quarter of all waited for 75 ms or more.
    assert!(latency.max_ms > 140.0 && latency.p99_ms > 120.0, "{latency:?}");
    assert!(latency.mean_ms > 20.0, "{latency:?}");
}

#[test]
fn rawlimit_delivers_by_channel_to_all_and_back() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || fanfare_bench::rawlimit::serve(listener));
    let mut shapes = Vec::new();
    let mut usual = settings(address);
    usual.load = Load::InFlight(2);
    shapes.push(Settings { channels: 3, subscribers: 6, ..usual.clone() });
    shapes.push(Settings { channels: 30, channels_per_subscriber: 30, subscribers: 1, ..usual.clone() });
    // Order is promised to each publisher, not between them.
    shapes.push(Settings { publishers: 3, load: Load::InFlight(9), channels: 2, ..usual.clone() });
    shapes.push(Settings { own: true, channels: 3, ..usual });
    for shape in shapes {
        let report = run(&shape).unwrap();
        assert!(report.checks.faults.none() && report.checks.misdelivered == 0, "{}", report.human());
        assert!(report.deliveries > 20 && report.stalls == 0, "{}", report.human());
    }
}

#[test]
fn who_ends_connections_is_told_on() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        while let Ok((mut socket, _)) = listener.accept() {
            head(&mut socket);
            socket.write_all(b"HTTP/1.1 429 Too Many Requests\r\nContent-Length: 4\r\n\r\nfull").unwrap();
        }
    });
    let refused = run(&settings(address)).unwrap_err();
    assert!(
        matches!(&refused, BenchError::Refused { answer, .. } if answer.contains("429") && answer.contains("full")),
        "{refused}"
    );
}

/// An endless stream of events for each of three readers; after that every publication is answered, and its connection ended with the answer.
fn once_a_connection() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let reader = |_| {
            let (mut socket, _) = listener.accept().unwrap();
            assert!(head(&mut socket).starts_with("GET /sub"));
            socket.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
            socket
        };
        let readers: Vec<TcpStream> = (0..3).map(reader).collect();
        while let Ok((publisher, _)) = listener.accept() {
            let readers = readers.iter().map(|reader| reader.try_clone().unwrap()).collect();
            std::thread::spawn(move || answer_once(publisher, readers));
        }
    });
    address
}

fn answer_once(mut socket: TcpStream, readers: Vec<TcpStream>) {
    let mut byte = [0];
    if !matches!(socket.peek(&mut byte), Ok(1)) {
        return;
    }
    let head = head(&mut socket);
    let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: ")).unwrap();
    let mut payload = vec![0; length.parse().unwrap()];
    socket.read_exact(&mut payload).unwrap();
    for mut reader in readers {
        let _ = reader.write_all(&[b"data: ", &payload[..], b"\n\n"].concat());
    }
    let _ = socket.write_all(b"HTTP/1.1 202 Accepted\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
}

#[test]
fn a_server_that_answers_one_request_on_each_connection_is_asked_on_others() {
    let mut settings = settings(once_a_connection());
    settings.protocol = Protocol::Nchan;
    settings.transport = Transport::Sse;
    settings.publish_over = PublishOver::Http;
    let report = run(&settings).unwrap();
    assert!(report.checks.faults.none() && report.deliveries > 60, "{}", report.human());
}
