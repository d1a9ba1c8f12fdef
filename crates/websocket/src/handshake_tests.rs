use super::*;

const GOOD: [(&str, &str); 4] = [
    ("Upgrade", "websocket"),
    ("Connection", "Upgrade"),
    ("Sec-WebSocket-Version", "13"),
    ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
];

fn check<'a>(headers: &[(&'a str, &'a str)]) -> Result<Request<'a>, HandshakeError> {
    validate(headers.iter().map(|(name, value)| (*name, value.as_bytes())))
}

fn with<'a>(name: &'a str, value: &'a str) -> Result<Request<'a>, HandshakeError> {
    let mut headers = GOOD.to_vec();
    headers.retain(|(other, _)| !other.eq_ignore_ascii_case(name));
    headers.push((name, value));
    check(&headers)
}

#[test]
fn section_1_3_example_key() {
    assert_eq!(accept_key("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    assert_eq!(accept_key(b"dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
}

#[test]
fn section_4_2_1_accepts_what_browsers_and_proxies_send() {
    let request = check(&GOOD).unwrap();
    assert_eq!(request.accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    assert!(request.subprotocols.is_empty());
    assert!(with("connection", "keep-alive, Upgrade").is_ok());
    assert!(with("CONNECTION", "keep-alive,,  uPGRADE ").is_ok());
    assert!(with("upgrade", "h2c, WebSocket").is_ok());
    assert!(with("Sec-WebSocket-Version", " 13 ").is_ok());
    assert!(with("Sec-WebSocket-Key", "AAAAAAAAAAAAAAAAAAAAAB==").is_ok(), "left-over bits are harmless");
}

#[test]
fn section_4_2_1_lists_may_be_spread_over_several_headers() {
    let mut headers = GOOD.to_vec();
    headers.insert(0, ("Connection", "keep-alive"));
    assert!(check(&headers).is_ok());
}

#[test]
fn section_4_2_1_refusals() {
    for (name, error) in [
        ("Upgrade", HandshakeError::Upgrade),
        ("Connection", HandshakeError::Connection),
        ("Sec-WebSocket-Version", HandshakeError::Version),
        ("Sec-WebSocket-Key", HandshakeError::Key),
    ] {
        let headers: Vec<_> = GOOD.into_iter().filter(|(other, _)| *other != name).collect();
        assert_eq!(check(&headers), Err(error), "without {name}");
        assert_eq!(with(name, ""), Err(error), "empty {name}");
    }
    assert_eq!(with("Upgrade", "websockets"), Err(HandshakeError::Upgrade));
    assert_eq!(with("Connection", "keep-alive"), Err(HandshakeError::Connection));
    assert_eq!(with("Sec-WebSocket-Version", "8"), Err(HandshakeError::Version));
    for key in ["dGhlIHNhbXBsZSBub25jZQ=", "dGhlIHNhbXBsZSBub25jZSE=", "dGhlIHNhbXBsZSBub2!jZQ==", "short"] {
        assert_eq!(with("Sec-WebSocket-Key", key), Err(HandshakeError::Key), "{key}");
    }
    let mut twice = GOOD.to_vec();
    twice.push(GOOD[3]);
    assert_eq!(check(&twice), Err(HandshakeError::Key));
    twice.push(GOOD[3]);
    assert_eq!(check(&twice), Err(HandshakeError::Key), "a third key is no first one");
}

#[test]
fn section_4_4_statuses() {
    assert_eq!(HandshakeError::Version.status(), 426);
    assert_eq!(HandshakeError::Upgrade.status(), 426);
    assert_eq!(HandshakeError::Connection.status(), 400);
    assert_eq!(HandshakeError::Key.status(), 400);
    assert_eq!(HandshakeError::Subprotocol.status(), 400);
}

#[test]
fn section_11_3_4_subprotocols_in_order_without_repeats() {
    let mut headers = GOOD.to_vec();
    headers.push(("Sec-WebSocket-Protocol", "fanfare.v1.json, fanfare.token.a.b-c_d"));
    headers.push(("sec-websocket-protocol", "fanfare.v1.json,, fanfare.v1.msgpack"));
    let request = check(&headers).unwrap();
    assert_eq!(request.subprotocols, ["fanfare.v1.json", "fanfare.token.a.b-c_d", "fanfare.v1.msgpack"]);
    for bad in ["a b", "a\"b", "caf\u{e9}", "a=b", "a/b", "a\tb"] {
        assert_eq!(with("Sec-WebSocket-Protocol", bad), Err(HandshakeError::Subprotocol), "{bad:?}");
        assert_eq!(subprotocols(bad.as_bytes()), None);
    }
    assert_eq!(subprotocols(b" a , b,a"), Some(vec!["a", "b"]));
}

#[test]
fn rfc_8441_needs_only_the_version() {
    let headers = |list: &'static [(&'static str, &'static [u8])]| validate_connect(list.iter().copied());
    let request = headers(&[("sec-websocket-version", b"13"), ("sec-websocket-protocol", b"x")]).unwrap();
    assert_eq!(request.subprotocols, ["x"]);
    assert_eq!(headers(&[]), Err(HandshakeError::Version));
}

#[test]
fn the_response_is_one_complete_head() {
    let mut out = Vec::new();
    check(&GOOD).unwrap().append_response(&mut out, Some("fanfare.v1.json"));
    assert_eq!(
        String::from_utf8(out).unwrap(),
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: fanfare.v1.json\r\n\r\n"
    );
}
