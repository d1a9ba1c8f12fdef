//! Who may what, until when: credentials, tokens, grants, expiry, renewal, revocation, origins.
#![allow(clippy::unwrap_used, reason = "tests: a panic is a failure with its place")]
use std::time::Duration;

use fanfare_tests::{http::Lines, prelude::*, wait::unix_ms, ws};
use tokio_tungstenite::tungstenite::Error;

const ALL: &[&str] = &["subscribe", "publish", "presence", "enter", "history"];

#[tokio::test]
async fn credentials_are_found_where_they_may_be_and_the_first_wins() {
    let server = Server::shared();
    let (ada, bob) = (token::of("ada"), token::of("bob"));
    let bearer = format!("Bearer {ada}");
    let cookie = format!("a=b; fanfare_token={bob}");
    let subprotocol = format!("fanfare.token.{ada}, fanfare.v1.json");
    for (target, headers, user) in [
        ("/v1/ws".to_owned(), vec![("Authorization", &*bearer)], Some("ada")),
        (format!("/v1/ws?token={bob}"), vec![("Authorization", &*bearer)], Some("ada")),
        (format!("/v1/ws?token={bob}"), vec![("Sec-WebSocket-Protocol", &*subprotocol)], Some("ada")),
        (format!("/v1/ws?token={bob}"), vec![], Some("bob")),
        ("/v1/ws".to_owned(), vec![("Cookie", &*cookie), ("Origin", config::ORIGIN)], Some("bob")),
        ("/v1/ws".to_owned(), vec![("Cookie", &*cookie), ("Sec-Fetch-Site", "same-origin")], Some("bob")),
        (
            format!("/v1/ws?token={ada}"),
            vec![("Cookie", &*cookie), ("Origin", "https://evil.example")],
            Some("ada"),
        ),
        ("/v1/ws".to_owned(), vec![("Origin", "https://evil.example")], None),
    ] {
        let mut ws = Ws::with(server, &target, &headers).await;
        let welcome = ws.expect("welcome").await;
        assert_eq!(welcome["user"].as_str(), user, "{target} {headers:?}");
        assert_eq!(welcome["expires_at"].as_u64().is_some(), user.is_some());
    }
    let own = format!("http://{}", server.address());
    let mut ws = Ws::with(server, "/v1/ws", &[("Cookie", &cookie), ("Origin", &own)]).await;
    assert_eq!(ws.expect("welcome").await["user"], "bob");
    // A foreign page with the browser's cookie is refused before any upgrade.
    let refused =
        Ws::try_with(server, "/v1/ws", &[("Cookie", &cookie), ("Origin", "https://evil.example")]).await;
    let Err(error) = refused else { panic!("a foreign page got in") };
    assert!(matches!(&*error, Error::Http(response) if response.status() == 403), "{error}");
    let poll = server
        .get("/v1/poll?channel=member:x")
        .header("Cookie", &cookie)
        .header("Origin", "https://evil.example");
    poll.send().await.problem(403, "forbidden");
    let poll =
        server.get("/v1/poll?channel=member:x").header("Cookie", &cookie).header("Origin", config::ORIGIN);
    poll.send().await.ok();
    server.get(&format!("/v1/poll?channel=member:x&token={bob}")).send().await.ok();
}

/// A token and why it is bad, with the HTTP code that it gets.
fn bad_tokens() -> Vec<(&'static str, String, &'static str)> {
    let now = unix_ms() / 1000;
    let good = token::of("ada");
    let claims = json!({ "sub": "ada", "exp": now + 3600 });
    let signed = |header: Value, claims: &Value| {
        use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
        let unsigned = token::forged(&header, claims, b"");
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, config::SECRET.as_bytes());
        let signature = ring::hmac::sign(&key, unsigned.trim_end_matches('.').as_bytes());
        format!("{unsigned}{}", URL_SAFE_NO_PAD.encode(signature))
    };
    let hs = json!({ "alg": "HS256", "typ": "JWT" });
    vec![
        ("not a token", "garbage".into(), "unauthorized"),
        ("three empty parts", "..".into(), "unauthorized"),
        ("expired", token::sign(&token::claims("ada").exp(now - 1)), "token_expired"),
        ("not yet valid", token::sign(&token::claims("ada").nbf(now + 60)), "unauthorized"),
        ("no exp", signed(hs.clone(), &json!({ "sub": "ada" })), "unauthorized"),
        ("alg none", token::forged(&json!({ "alg": "none" }), &claims, b""), "unauthorized"),
        ("alg None", token::forged(&json!({ "alg": "None" }), &claims, b""), "unauthorized"),
        ("RS256 header over an HMAC signature", signed(json!({ "alg": "RS256" }), &claims), "unauthorized"),
        ("HS512 header over an HS256 signature", signed(json!({ "alg": "HS512" }), &claims), "unauthorized"),
        (
            "other secret",
            {
                let claims = token::claims("ada");
                claims
                    .sign(
                        &fanfare_auth::Secret::from("another-secret-of-more-than-32-bytes!"),
                        fanfare_auth::Algorithm::Hs256,
                    )
                    .unwrap()
            },
            "unauthorized",
        ),
        ("cut", good.get(..good.len() - 2).unwrap().to_owned(), "unauthorized"),
        ("no signature", format!("{}.", good.rsplit_once('.').unwrap().0), "unauthorized"),
        ("exp is text", signed(hs, &json!({ "sub": "ada", "exp": "tomorrow" })), "unauthorized"),
        ("a wrong API key", "backend-key-0123456780".into(), "unauthorized"),
    ]
}

#[tokio::test]
async fn a_bad_token_is_told_inside_a_websocket_and_is_401_elsewhere() {
    let server = Server::shared();
    for (why, token, code) in bad_tokens() {
        let number = if code == "token_expired" { 4402 } else { 4401 };
        let mut ws =
            Ws::with(server, "/v1/ws?channel=open:x", &[("Authorization", &format!("Bearer {token}"))]).await;
        let disconnect = ws.expect("disconnect").await;
        assert_eq!(disconnect["code"], code, "{why}");
        assert!(!disconnect.to_string().contains(&*token) || token.len() < 10, "{why}");
        assert_eq!(ws.ended().await.code, number, "{why}");
        for request in [
            server.get("/v1/poll?channel=open:x"),
            server.get("/v1/sse?channel=open:x"),
            server.get("/v1/stream?channel=open:x"),
            server.get("/v1/channels/open:x/messages"),
            server.post("/v1/channels/open:x/messages").json(&json!({ "data": 1 })),
            server.get("/v1/channels"),
        ] {
            let reply = request.bearer(&token).send().await;
            reply.problem(401, code);
            assert!(!reply.text().contains(&*token), "{why}");
        }
        let encoded = fanfare_tests::http::encode(&token);
        server.get(&format!("/v1/poll?channel=open:x&token={encoded}")).send().await.problem(401, code);
    }
    assert!(!server.log().contains("backend-key-0123456780"));
}

#[tokio::test]
async fn a_missing_right_is_unauthorized_without_credentials_and_forbidden_with() {
    let server = Server::shared();
    let channel = unique("closed:");
    let ada = token::of("ada");
    let path = format!("/v1/channels/{channel}");
    let requests = || {
        vec![
            server.get(&format!("/v1/poll?channel={channel}")),
            server.get(&format!("/v1/sse?channel={channel}")),
            server.get(&format!("/v1/stream?channel={channel}")),
            server.get(&format!("{path}/messages")),
            server.get(&format!("{path}/presence")),
            server.post(&format!("{path}/messages")).json(&json!({ "data": 1 })),
            server
                .request("PUT", &format!("{path}/presence"))
                .header("Fanfare-Session", config::SESSION)
                .json(&json!({})),
            server.get("/v1/channels"),
            server.get("/v1/connections"),
            server.post("/v1/users/online").json(&json!({ "users": [] })),
            server.post("/v1/users/ada/disconnect"),
        ]
    };
    for request in requests() {
        request.clone().send().await.problem(401, "unauthorized");
        request.bearer(&ada).send().await.problem(403, "forbidden");
    }
    let (mut anonymous, _) = Ws::welcomed(server, "/v1/ws").await;
    let mut user = Ws::as_user(server, &ada).await;
    for command in [
        json!({ "type": "subscribe", "channel": channel }),
        json!({ "type": "publish", "channel": channel, "data": 1 }),
        json!({ "type": "history", "channel": channel }),
        json!({ "type": "members", "channel": channel }),
        json!({ "type": "enter", "channel": channel }),
    ] {
        anonymous.refused(command.clone(), "unauthorized").await;
        user.refused(command, "forbidden").await;
    }
    // A channel in the address that may not be read is an error inside; the connection stays.
    let (mut ws, _) = Ws::welcomed(server, &format!("/v1/ws?channel={channel}&channel=open:ok")).await;
    let (one, two) = (ws.recv().await, ws.recv().await);
    assert!([&one, &two].iter().any(|frame| frame["code"] == "unauthorized"), "{one} {two}");
    assert!(
        [&one, &two].iter().any(|frame| frame["type"] == "subscribed" && frame["channel"] == "open:ok"),
        "{one} {two}"
    );
    ws.alive().await;
}

#[tokio::test]
async fn each_right_is_its_own() {
    let server = Server::shared();
    for right in ALL {
        let channel = unique("closed:");
        server.publish(&channel, json!({ "data": 1 })).await;
        let mut ws = Ws::as_user(server, &token::granting("ada", &channel, &[right])).await;
        for (command, needs) in [
            (json!({ "type": "subscribe", "channel": channel }), &["subscribe"][..]),
            (json!({ "type": "subscribe", "channel": channel, "last": 1 }), &["subscribe", "history"]),
            (
                json!({ "type": "subscribe", "channel": channel, "presence": true }),
                &["subscribe", "presence"],
            ),
            (json!({ "type": "publish", "channel": channel, "data": 1 }), &["publish"]),
            (json!({ "type": "history", "channel": channel }), &["history"]),
            (json!({ "type": "members", "channel": channel }), &["presence"]),
            (json!({ "type": "enter", "channel": channel }), &["enter"]),
        ] {
            if needs == [*right] {
                assert_ne!(ws.call(command).await["type"], "error");
            } else {
                ws.refused(command, "forbidden").await;
            }
        }
    }
}

#[tokio::test]
async fn patterns_and_events_narrow_a_grant() {
    let server = Server::shared();
    let claims = token::claims("a*")
        .grant(&["closed:room.*", "closed:me.{sub}", "closed:{sub}.x"], &["subscribe"])
        .grant_events(&["closed:room.*"], &["publish"], &["say", "typing"]);
    let mut ws = Ws::as_user(server, &token::sign(&claims)).await;
    for (channel, may) in [
        ("closed:room.", true),
        ("closed:room.1", true),
        ("closed:room", false),
        ("Closed:room.1", false),
        ("closed:me.ab", false),
        ("closed:me.", false),
        ("closed:other", false),
    ] {
        let answer = ws.call(json!({ "type": "subscribe", "channel": channel })).await;
        assert_eq!(answer["type"] == "subscribed", may, "{channel}: {answer}");
    }
    for (event, may) in [("say", true), ("typing", true), ("message", false), ("sayx", false)] {
        let answer = ws
            .call(json!({ "type": "publish", "channel": "closed:room.1", "event": event, "data": 1 }))
            .await;
        assert_eq!(answer["type"] == "ok", may, "{event}: {answer}");
    }
    let grant = token::claims("ada").grant(&["closed:me.{sub}"], &["subscribe"]);
    let mut ws = Ws::as_user(server, &token::sign(&grant)).await;
    ws.subscribe("closed:me.ada", json!({})).await;
    ws.refused(json!({ "type": "subscribe", "channel": "closed:me.bob" }), "forbidden").await;
    ws.refused(json!({ "type": "subscribe", "channel": "closed:me.{sub}" }), "bad_request").await;
}

#[tokio::test]
async fn a_token_subscribes_its_channels_and_shrinking_grants_end_them() {
    let server = Server::shared();
    let (a, b) = (unique("closed:a"), unique("closed:b"));
    let token = token::sign(
        &token::claims("ada").channels(&[&a, &b, "closed:of.{sub}"]).grant(&["closed:*"], &["subscribe"]),
    );
    let mut ws = Ws::as_user(server, &token).await;
    let mut channels = Vec::new();
    for _ in 0..3 {
        channels.push(ws.expect("subscribed").await["channel"].as_str().unwrap().to_owned());
    }
    channels.sort();
    let mut expected = vec![a.clone(), b.clone(), "closed:of.ada".to_owned()];
    expected.sort();
    assert_eq!(channels, expected);
    let smaller = token::sign(&token::claims("ada").grant(&[&a], &["subscribe"]));
    ws.send(&json!({ "type": "auth", "ref": 1, "token": smaller })).await;
    let mut ended = Vec::new();
    while ended.len() < 2 {
        let frame = ws.recv().await;
        match frame["type"].as_str() {
            Some("unsubscribed") => {
                ended.push((frame["channel"].as_str().unwrap().to_owned(), frame["code"].clone()))
            }
            _ => assert_eq!((&frame["type"], &frame["user"]), (&json!("ok"), &json!("ada")), "{frame}"),
        }
    }
    ended.sort_by(|x, y| x.0.cmp(&y.0));
    assert_eq!(
        ended.iter().map(|(channel, _)| &**channel).collect::<Vec<_>>(),
        expected[1..].iter().map(|c| &**c).collect::<Vec<_>>()
    );
    server.publish(&b, json!({ "data": "b" })).await;
    server.publish(&a, json!({ "data": "a" })).await;
    assert_eq!(ws.find("message").await["data"], "a");
    ws.quiet(Duration::from_millis(50)).await;
}

#[tokio::test]
async fn auth_in_band_makes_a_user_renews_and_refuses_another() {
    let server = Server::shared();
    let channel = unique("member:");
    let (mut ws, _) = Ws::welcomed(server, "/v1/ws").await;
    ws.refused(json!({ "type": "subscribe", "channel": channel }), "unauthorized").await;
    let ok = ws.ok(json!({ "type": "auth", "token": token::of("ada") })).await;
    assert_eq!(ok["user"], "ada");
    assert!(ok["expires_at"].as_u64().unwrap() > unix_ms());
    ws.subscribe(&channel, json!({})).await;
    ws.refused(json!({ "type": "auth", "token": token::of("eve") }), "conflict").await;
    for (why, bad, code) in bad_tokens() {
        let answer = ws.call(json!({ "type": "auth", "token": bad })).await;
        ws::check_error(&answer, code, why);
    }
    // The first identity stays.
    ws.ok(json!({ "type": "publish", "channel": channel, "data": 1 })).await;
    let message = ws.ok(json!({ "type": "history", "channel": channel })).await["messages"][0].clone();
    assert_eq!(message["user"], "ada");
}

#[tokio::test]
async fn nothing_comes_after_a_token_has_expired() {
    let server = Server::shared();
    let channel = unique("member:");
    let token = token::sign(&token::claims_for("ada", 3));
    let expires = unix_ms() / 1000 * 1000 + 3000;
    let mut ws = Ws::as_user(server, &token).await;
    ws.subscribe(&channel, json!({})).await;
    let (mut sse, _) =
        Sse::subscribed(server.get(&format!("/v1/sse?channel={channel}")).bearer(&token)).await;
    let mut lines =
        Lines::new(server.get(&format!("/v1/stream?channel={channel}")).bearer(&token).open().await);
    lines.expect("subscribed").await;
    let head = server.get(&format!("/v1/poll?channel={channel}")).bearer(&token).send().await.ok();
    let cursor = head["cursor"].as_str().unwrap();
    let poll =
        server.get(&format!("/v1/poll?channel={channel}&since={cursor}&wait=30")).bearer(&token).send();
    let other = async {
        let renewed = token::sign(&token::claims_for("ada", 3));
        let mut ws = Ws::as_user(server, &renewed).await;
        ws.subscribe(&channel, json!({})).await;
        ws.ok(json!({ "type": "auth", "token": token::of("ada") })).await;
        ws
    };
    let ends = async {
        ws.disconnected("token_expired", 4402).await;
        let late = unix_ms();
        assert!((expires - 50..expires + 2500).contains(&late), "{late} instead of {expires}");
        assert_eq!(sse.expect("fanfare.disconnect").await.json()["code"], "token_expired");
        assert_eq!(sse.event().await, None);
        assert_eq!(lines.expect("disconnect").await["code"], "token_expired");
        assert_eq!(lines.frame().await, None);
    };
    let (reply, mut renewed, ()) = tokio::join!(poll, other, ends);
    reply.problem(401, "token_expired");
    // The one that was renewed in time goes on.
    server.publish(&channel, json!({ "data": "still here" })).await;
    assert_eq!(renewed.data(1).await, ["still here"]);
}

#[tokio::test]
async fn a_token_for_one_channel_adds_its_grants_until_it_expires() {
    let server = Server::shared();
    let channel = unique("closed:");
    let mut ws = Ws::as_user(server, &token::of("ada")).await;
    ws.refused(json!({ "type": "subscribe", "channel": channel }), "forbidden").await;
    let foreign = token::granting("eve", &channel, ALL);
    let answer = ws.call(json!({ "type": "subscribe", "channel": channel, "token": foreign })).await;
    assert_eq!(answer["type"], "error", "of another sub: {answer}");
    let own = token::sign(&token::claims_for("ada", 3).grant(&[&channel], &["subscribe", "publish"]));
    let subscribed = ws.call(json!({ "type": "subscribe", "channel": channel, "token": own })).await;
    assert_eq!(subscribed["type"], "subscribed", "{subscribed}");
    let other = unique("closed:");
    ws.refused(json!({ "type": "subscribe", "channel": other, "token": own }), "forbidden").await;
    server.publish(&channel, json!({ "data": 1 })).await;
    assert_eq!(ws.data(1).await, [1]);
    let ended = ws.find("unsubscribed").await;
    assert_eq!((&ended["channel"], &ended["code"]), (&json!(channel), &json!("token_expired")));
    server.publish(&channel, json!({ "data": 2 })).await;
    ws.quiet(Duration::from_millis(100)).await;
    ws.refused(json!({ "type": "subscribe", "channel": channel }), "forbidden").await;
}

#[tokio::test]
async fn a_revoked_user_is_out_everywhere_and_a_newer_token_is_in() {
    let server = Server::shared();
    let channel = unique("member:");
    let user = unique("user");
    let old = token::sign(&token::claims(&user).iat(unix_ms() / 1000 - 10));
    let mut ws = Ws::as_user(server, &old).await;
    ws.subscribe(&channel, json!({})).await;
    let mut witness = Ws::as_user(server, &token::of("witness")).await;
    witness.subscribe(&channel, json!({})).await;
    let (mut sse, _) = Sse::subscribed(server.get(&format!("/v1/sse?channel={channel}")).bearer(&old)).await;
    let head = server.get(&format!("/v1/poll?channel={channel}")).bearer(&old).send().await.ok();
    let target = format!("/v1/poll?channel={channel}&since={}&wait=30", head["cursor"].as_str().unwrap());
    let poll = server.get(&target).bearer(&old).send();
    let revoking = async {
        // So that the poll is parked; the answer is the same when it is not.
        tokio::time::sleep(Duration::from_millis(200)).await;
        let revoke = server.post(&format!("/v1/users/{user}/disconnect")).bearer(config::API_KEY);
        revoke.send().await.ok();
        server.publish(&channel, json!({ "data": "after" })).await;
    };
    let (reply, ()) = tokio::join!(poll, revoking);
    assert_eq!(reply.status, 401, "a parked poll: {}", reply.text());
    assert_eq!(ws.expect("disconnect").await["code"], "revoked", "and no message before it");
    assert_eq!(ws.ended().await.code, 4411);
    let last = sse.event().await.unwrap();
    assert_eq!(
        (last.event.as_deref(), &last.json()["code"]),
        (Some("fanfare.disconnect"), &json!("revoked"))
    );
    assert_eq!(sse.event().await, None);
    assert_eq!(witness.data(1).await, ["after"]);
    let reply = server.get(&format!("/v1/poll?channel={channel}")).bearer(&old).send().await;
    assert!([401, 403].contains(&reply.status), "{}", reply.text());
    assert_eq!(reply.json()["code"], "revoked");
    let mut again = Ws::with(server, "/v1/ws", &[("Authorization", &format!("Bearer {old}"))]).await;
    again.disconnected("revoked", 4411).await;
    let newer = token::sign(&token::claims(&user).iat(unix_ms() / 1000 + 2));
    Ws::as_user(server, &newer).await.subscribe(&channel, json!({})).await;
}

#[tokio::test]
async fn configured_audiences_and_issuers_are_checked() {
    let config = config::STANDARD.replace("[auth]", "[auth]\naudience = [\"fanfare\"]\nissuer = \"me\"");
    let server = Server::start(&config);
    for (audience, issuer, good) in [
        (json!("fanfare"), json!("me"), true),
        (json!(["x", "fanfare"]), json!("me"), true),
        (json!("other"), json!("me"), false),
        (Value::Null, json!("me"), false),
        (json!("fanfare"), json!("you"), false),
        (json!("fanfare"), Value::Null, false),
    ] {
        let mut claims = token::claims("ada");
        if !audience.is_null() {
            claims = claims.claim("aud", audience.clone());
        }
        if !issuer.is_null() {
            claims = claims.claim("iss", issuer.clone());
        }
        let reply = server.get("/v1/poll?channel=member:x").bearer(&token::sign(&claims)).send().await;
        assert_eq!(reply.status, if good { 200 } else { 401 }, "{audience} {issuer}");
    }
    // Where none are configured nobody looks.
    let claims = token::claims("ada").claim("aud", "anybody").claim("iss", "anybody");
    Server::shared().get("/v1/poll?channel=member:x").bearer(&token::sign(&claims)).send().await.ok();
}
