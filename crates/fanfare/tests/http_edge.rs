//! What every request meets: hosts, origins, sessions, unknown paths; and health, figures and the page.
#![allow(clippy::unwrap_used, reason = "a panic is the report of a test")]
mod http_support;

use std::time::Duration;

use fanfare::{
    config::Config,
    host,
    http::{Options, router},
};
use fanfare_protocol::{Code, SessionId};
use http_support::{CONFIG, Server, key, request, session, until};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

const APP: &str = "origin: https://app.example";

#[tokio::test]
async fn allowed_origins_are_told_so_and_others_are_not() {
    let server = Server::closed();
    for line in ["GET /v1/messages?channel=open:a", "GET /v1/messages?channel=chat:a", "GET /v1/nothing"] {
        let got = server.ask(line, &[APP], "").await;
        assert_eq!(got.header("access-control-allow-origin"), Some("https://app.example"), "{line}");
        assert_eq!(got.header("access-control-allow-credentials"), Some("true"));
        assert_eq!(got.header("access-control-expose-headers"), Some("ETag, Retry-After, Fanfare-Session"));
        assert_eq!(got.header("vary"), Some("Origin"));
        let got = server.ask(line, &["origin: https://evil.example"], "").await;
        assert_eq!(got.header("access-control-allow-origin"), None, "{line}");
        assert_eq!(got.header("access-control-allow-credentials"), None);
    }
    // Only development mode takes this machine's pages for its own; the hub's own origin always may.
    let local = server.ask("GET /v1/messages?channel=open:a", &["origin: http://localhost:5173"], "").await;
    assert_eq!(local.header("access-control-allow-origin"), None);
    let own = server.ask("GET /v1/messages?channel=open:a", &["origin: http://127.0.0.1:8000"], "").await;
    assert_eq!(own.header("access-control-allow-origin"), Some("http://127.0.0.1:8000"));
    let poll = server.ask("GET /v1/poll?channel=open:a", &[APP], "").await;
    assert_eq!(poll.header("access-control-allow-origin"), Some("https://app.example"));
    let sse = server.open(request("GET /v1/sse?channel=open:a", &[APP], "")).await;
    assert_eq!(sse.headers()["access-control-allow-origin"], "https://app.example");
}

#[tokio::test]
async fn a_preflight_is_answered_without_credentials() {
    let server = Server::closed();
    let asked = "access-control-request-method: PUT";
    for path in ["/v1/channels/chat:1/messages", "/v1/sse", "/v1/users/online"] {
        let got = server.ask(&format!("OPTIONS {path}"), &[APP, asked], "").await;
        assert_eq!((got.status.as_u16(), got.body.len()), (204, 0), "{path}");
        assert_eq!(got.header("access-control-allow-origin"), Some("https://app.example"));
        assert_eq!(got.header("access-control-allow-credentials"), Some("true"));
        let methods = got.header("access-control-allow-methods").unwrap();
        assert!(["GET", "POST", "PUT", "DELETE"].iter().all(|method| methods.contains(method)), "{methods}");
        let headers = got.header("access-control-allow-headers").unwrap().to_ascii_lowercase();
        for name in ["authorization", "content-type", "fanfare-session", "last-event-id", "if-none-match"] {
            assert!(headers.contains(name), "{headers}");
        }
    }
    let got = server.ask("OPTIONS /v1/sse", &["origin: https://evil.example", asked], "").await;
    assert_eq!(got.status, 204);
    assert!(got.headers.keys().all(|name| !name.as_str().starts_with("access-control")), "{:?}", got.headers);
}

#[tokio::test]
async fn development_mode_answers_to_this_machine_alone() {
    let server = Server::dev();
    let paths = [
        "/",
        "/web/app.js",
        "/metrics",
        "/health/live",
        "/health/ready",
        "/v1/messages?channel=a",
        "/v1/poll?channel=a",
    ];
    for path in paths {
        for host in ["127.0.0.1:8000", "localhost", "[::1]:8000", "app.localhost"] {
            let got = server.ask(&format!("GET {path}"), &[&format!("host: {host}")], "").await;
            assert_eq!(got.status, 200, "{host}{path}: {}", String::from_utf8_lossy(&got.body));
        }
        for host in ["evil.example", "evil.example:8000", "127.0.0.1.evil.example", "10.0.0.1:8000"] {
            server
                .ask(&format!("GET {path}"), &[&format!("host: {host}")], "")
                .await
                .refused(403, "forbidden");
        }
        let got = server.ask(&format!("GET {path}"), &["origin: https://evil.example"], "").await;
        got.refused(403, "forbidden");
        assert_eq!(got.header("access-control-allow-origin"), None);
    }
    let got =
        server.ask("POST /v1/messages?channel=a", &["origin: http://localhost:5173"], r#"{"data":1}"#).await;
    got.ok();
    assert_eq!(got.header("access-control-allow-origin"), Some("http://localhost:5173"));
    let asked = "access-control-request-method: POST";
    let got = server.ask("OPTIONS /v1/messages", &["origin: http://evil.example", asked], "").await;
    got.refused(403, "forbidden");
}

#[tokio::test]
async fn a_configured_hub_answers_to_any_host() {
    let server = Server::closed();
    server.ask("GET /v1/messages?channel=open:a", &["host: hub.example"], "").await.ok();
}

#[tokio::test]
async fn a_session_that_the_server_made_is_told_and_one_that_was_given_is_not() {
    let server = Server::closed();
    let lines = [
        "GET /v1/messages?channel=open:a",
        "GET /v1/messages?channel=chat:a",
        "GET /v1/presence?channel=open:a",
    ];
    for line in lines {
        let made = server.ask(line, &[], "").await;
        let told = made.header("fanfare-session").unwrap_or_else(|| panic!("{line}: {:?}", made.headers));
        SessionId::parse(told).unwrap();
        assert_ne!(Some(told), server.ask(line, &[], "").await.header("fanfare-session"));
        assert_eq!(server.ask(line, &[&session()], "").await.header("fanfare-session"), None);
    }
    server.ask(lines[0], &["fanfare-session: too short"], "").await.refused(400, "bad_request");
    server.get("/v1/messages?channel=open:a&session=x").await.refused(400, "bad_request");
}

#[tokio::test]
async fn unknown_paths_and_methods_are_problems() {
    let server = Server::closed();
    for path in ["/v1", "/v1/nothing", "/v2/messages", "/favicon.ico", "/web/none.js", "/web/../Cargo.toml"] {
        server.get(path).await.refused(404, "not_found");
    }
    let rows = [
        ("DELETE /v1/messages?channel=open:a", "GET,HEAD,POST"),
        ("POST /v1/snapshot?channel=open:a", "GET,HEAD"),
        ("POST /v1/presence?channel=open:a", "GET,HEAD,PUT,DELETE"),
        ("GET /v1/users/online", "POST"),
        ("PATCH /v1/channels/open:a/messages", "GET,HEAD,POST"),
        ("POST /v1/poll", "GET,HEAD"),
        ("POST /health/live", "GET,HEAD"),
        ("DELETE /", "GET,HEAD"),
    ];
    for (line, allowed) in rows {
        let got = server.ask(line, &[], "").await;
        let problem = got.refused(405, "bad_request");
        assert_eq!(problem["title"], "Method not allowed");
        let mut allow: Vec<_> = got.header("allow").unwrap().split(',').map(str::trim).collect();
        let mut expected: Vec<_> = allowed.split(',').collect();
        allow.sort_unstable();
        expected.sort_unstable();
        assert_eq!(allow, expected, "{line}");
    }
}

#[tokio::test]
async fn errors_are_counted_by_code() {
    let server = Server::closed();
    server.get("/v1/nothing").await;
    server.get("/v1/messages?channel=chat:a").await;
    server.get("/v1/messages?channel=chat:a").await;
    server.get("/v1/poll?channel=chat:a").await;
    let count = |code| server.node.errors.snapshot().find(|(found, _)| *found == code).unwrap().1;
    assert_eq!((count(Code::NotFound), count(Code::Unauthorized), count(Code::Internal)), (1, 3, 0));
}

#[tokio::test]
async fn health_says_whether_messages_are_delivered() {
    let server = Server::closed();
    server.get("/health/live").await.ok();
    for _ in 0..3 {
        server.get("/health/ready").await.ok();
    }
    assert_eq!(server.node.hub.counters().published.get(), 0);
    server.node.drain(0);
    server.get("/health/live").await.ok();
    server.get("/health/ready").await.refused(503, "draining");
}

#[tokio::test]
async fn a_broker_that_takes_nothing_is_not_ready() {
    let server = Server::closed();
    server.node.hub.broker().stop().await.unwrap();
    server.get("/health/live").await.ok();
    server.get("/health/ready").await.refused(503, "unavailable");
}

#[tokio::test]
async fn requests_beyond_the_memory_budget_are_unavailable() {
    let server = Server::closed();
    server.node.hub.budget().set_limit(0);
    server.ask("POST /v1/messages?channel=open:a", &[], r#"{"data":1}"#).await.refused(503, "unavailable");
    server.node.hub.budget().set_limit(1 << 20);
    server.publish("open:a", r#"{"data":1}"#).await;
}

#[tokio::test]
async fn the_figures_are_openmetrics() {
    let server = Server::closed();
    server.publish("open:a", r#"{"data":1}"#).await;
    server.get("/v1/nothing").await;
    let stream = server.open(request("GET /v1/stream?channel=open:a", &[], "")).await;
    let mut body = stream.into_body();
    http_body_util::BodyExt::frame(&mut body).await;
    let got = server.ask("GET /metrics", &[&key()], "").await;
    assert!(got.header("content-type").unwrap().starts_with("application/openmetrics-text"));
    let text = got.text();
    for line in [
        r#"fanfare_build_info{version="1.2.3"} 1"#,
        r#"fanfare_connections{transport="stream"} 1"#,
        r#"fanfare_connections{transport="websocket"} 0"#,
        "fanfare_subscriptions 1",
        "fanfare_published_total 1",
        r#"fanfare_errors_total{code="not_found"} 1"#,
        r#"fanfare_errors_total{code="internal"} 0"#,
        "fanfare_publish_latency_seconds_count 1",
        r#"fanfare_publish_latency_seconds_bucket{le="+Inf"} 1"#,
        "fanfare_recoveries_hit_total 0",
        "fanfare_recoveries_missed_total 0",
        "fanfare_slow_closes_total 0",
        "fanfare_readers_behind 0",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
    }
    for name in [
        "deliveries_total",
        "rounds_total",
        "fan_out_seconds_sum",
        "round_messages_count",
        "tail_bytes",
        "memory_bytes",
        "memory_limit_bytes",
    ] {
        assert!(
            text.lines().any(|line| line.starts_with(&format!("fanfare_{name} "))),
            "{name} is not in\n{text}"
        );
    }
    assert!(text.ends_with("# EOF\n"));
    // Every sample belongs to a family that says what it is, and histograms rise.
    let families: Vec<_> =
        text.lines().filter_map(|line| line.strip_prefix("# HELP ")?.split(' ').next()).collect();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        assert!(families.iter().any(|family| line.starts_with(family)), "{line}");
        let value = line.rsplit(' ').next().unwrap();
        assert!(value.parse::<f64>().is_ok(), "{line}");
    }
}

#[tokio::test]
async fn the_page_is_served_with_its_guards() {
    let server = Server::dev();
    let page = server.get("/").await;
    assert_eq!(page.status, 200);
    assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
    let policy = "default-src 'self'; style-src 'self' 'unsafe-inline'; connect-src 'self'";
    assert_eq!(page.header("content-security-policy"), Some(policy));
    assert_eq!(page.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(page.header("cache-control"), Some("no-cache"));
    // Everything that it refers to is there, by relative addresses.
    let html = page.text().to_owned();
    let referred: Vec<_> =
        html.split(['"']).filter(|part| part.starts_with("web/") && !part.contains(' ')).collect();
    assert!(referred.len() >= 4, "{referred:?}");
    for path in referred {
        let file = server.get(&format!("/{path}")).await;
        assert_eq!(file.status, 200, "{path}");
        let kind = file.header("content-type").unwrap();
        let expected = match path.rsplit_once('.').unwrap().1 {
            "js" => "text/javascript; charset=utf-8",
            "css" => "text/css; charset=utf-8",
            "svg" => "image/svg+xml",
            other => panic!("{other}"),
        };
        assert_eq!(kind, expected);
    }
    let tag = page.header("etag").unwrap().to_owned();
    for known in [tag.clone(), format!("W/{tag}"), format!("\"x\", {tag}")] {
        let got = server.ask("GET /", &[&format!("if-none-match: {known}")], "").await;
        assert_eq!((got.status.as_u16(), got.body.len()), (304, 0), "{known}");
        assert_eq!(got.header("etag"), Some(&*tag));
    }
    let got = server.ask("GET /", &["if-none-match: \"other\""], "").await;
    assert_eq!(got.status, 200);
    assert_eq!(server.ask("HEAD /", &[], "").await.body.len(), 0);
}

#[tokio::test]
async fn what_is_switched_off_is_not_there() {
    let server = Server::closed();
    let bare = router(server.node.clone(), Options::default());
    let server = Server { node: server.node, router: bare };
    for path in ["/", "/web/app.js", "/metrics", "/v1/channels", "/v1/connections"] {
        server.ask(&format!("GET {path}"), &[&key()], "").await.refused(404, "not_found");
    }
    server.get("/health/live").await.ok();
    server.get("/v1/messages?channel=open:a").await.ok();
}

#[tokio::test]
async fn the_hub_can_be_mounted_under_a_path() {
    let server = Server::dev();
    let router = axum::Router::new().nest("/apps/hub", server.router.clone());
    let server = Server { node: server.node, router };
    server.ask("POST /apps/hub/v1/channels/a/messages", &[], r#"{"data":1}"#).await.ok();
    assert_eq!(server.get("/apps/hub/v1/messages?channel=a").await.ok()["offset"], 1);
    server.get("/apps/hub/v1/nothing").await.refused(404, "not_found");
    assert_eq!(server.get("/apps/hub/web/app.js").await.status, 200);
}

#[tokio::test]
async fn this_hosts_figures_are_published() {
    let server = Server::dev();
    let task = host::spawn(server.node.clone());
    let snapshot = until("a sample of each kind", || async {
        let snapshot = server.get("/v1/snapshot?channel=host:metrics").await.ok();
        (snapshot["messages"].as_array().unwrap().len() == 3).then_some(snapshot)
    })
    .await;
    task.abort();
    let of = |key: &str| {
        let messages = snapshot["messages"].as_array().unwrap();
        let message = messages.iter().find(|message| message["key"] == key).unwrap();
        assert_eq!(message["event"], "sample");
        message["data"].clone()
    };
    let percent = of("cpu")["percent"].as_f64().unwrap();
    assert!((0.0..=100.0).contains(&percent));
    assert!(!of("cpu")["cores"].as_array().unwrap().is_empty());
    let memory = of("memory");
    assert!(
        0 < memory["used"].as_u64().unwrap() && memory["used"].as_u64() < memory["total"].as_u64(),
        "{memory}"
    );
    assert!(of("network")["rx"].is_u64() && of("network")["tx"].is_u64());
}

#[tokio::test]
async fn who_sends_too_much_gets_the_answer_before_the_socket_closes() {
    let server = Server::with(Config::from_toml(CONFIG).unwrap(), None);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = server.router.clone();
    let serving = tokio::spawn(async move { axum::serve(listener, router).await });
    let mut socket = TcpStream::connect(address).await.unwrap();
    let size = 9 << 20;
    let head = format!("POST /v1/messages HTTP/1.1\r\nHost: {address}\r\nContent-Length: {size}\r\n\r\n");
    socket.write_all(head.as_bytes()).await.unwrap();
    // Everything is sent before anything is read, as simple clients do.
    socket.write_all(&vec![b' '; size]).await.unwrap();
    let mut answer = vec![0; 4096];
    let read =
        tokio::time::timeout(Duration::from_secs(10), socket.read(&mut answer)).await.unwrap().unwrap();
    let answer = String::from_utf8_lossy(&answer[..read]);
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    assert!(answer.contains("application/problem+json"), "{answer}");
    serving.abort();
}
