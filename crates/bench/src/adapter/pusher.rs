//! The Pusher protocol, version 7, and its HTTP API: public channels, signed publications.

use std::fmt::Write as _;
use std::time::{SystemTime, UNIX_EPOCH};

use md5::{Digest as _, Md5};
use ring::hmac;

use super::{Adapter, Heard, Names, Opening, Place, has, words};
use crate::settings::Settings;

/// The event under which payloads are published.
const EVENT: &str = "m";

/// A server of the Pusher protocol.
pub struct Pusher {
    names: Names,
    host: String,
    app: String,
    key: String,
    secret: hmac::Key,
}

impl Pusher {
    /// The application is `APP:KEY:SECRET` in the settings' token.
    pub fn new(settings: &Settings, names: Names) -> Self {
        let token = settings.token.clone().unwrap_or_default();
        let mut parts = token.splitn(3, ':').map(str::to_owned);
        let mut part = || parts.next().unwrap_or_default();
        let (app, key, secret) = (part(), part(), part());
        Self {
            names,
            host: settings.host.clone(),
            app,
            key,
            secret: hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()),
        }
    }

    /// The request's target with its signature: HMAC-SHA256 over method, path and sorted parameters, one a line.
    fn signed(&self, body: &str, unix_seconds: u64) -> String {
        let path = format!("/apps/{}/events", self.app);
        let query = format!(
            "auth_key={}&auth_timestamp={unix_seconds}&auth_version=1.0&body_md5={}",
            self.key,
            hex(&Md5::digest(body.as_bytes()))
        );
        let signature = hmac::sign(&self.secret, format!("POST\n{path}\n{query}").as_bytes());
        format!("{path}?{query}&auth_signature={}", hex(signature.as_ref()))
    }
}

impl Adapter for Pusher {
    fn open(&self, place: &Place) -> Opening {
        let target = format!("/app/{}?protocol=7&client=bench&version=1", self.key);
        Opening { target, ready: place.channels.len() as u32, ..Opening::default() }
    }

    fn hear(&self, place: &Place, unit: &[u8]) -> Heard {
        if has(unit, "pusher:connection_established") {
            let subscribe = |channel| {
                let name = self.names.of(channel);
                format!("{{\"event\":\"pusher:subscribe\",\"data\":{{\"channel\":\"{name}\"}}}}")
            };
            Heard::Reply(place.channels.clone().map(subscribe).collect())
        } else if has(unit, "pusher_internal:subscription_succeeded") {
            Heard::Ready(None)
        } else if has(unit, "pusher:ping") {
            Heard::Reply(vec!["{\"event\":\"pusher:pong\",\"data\":{}}".into()])
        } else if has(unit, "pusher:error") || has(unit, "subscription_error") {
            Heard::Refused(words(unit))
        } else {
            Heard::Nothing
        }
    }

    fn publish(&self, channel: u32, payload: &str, out: &mut String) {
        let name = self.names.of(channel);
        let body = format!("{{\"name\":\"{EVENT}\",\"channels\":[\"{name}\"],\"data\":\"{payload}\"}}");
        let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs());
        let target = self.signed(&body, seconds);
        let _ = write!(
            out,
            "POST {target} HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            self.host,
            body.len()
        );
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pusher(token: &str) -> Pusher {
        let mut settings = Settings::new(([127, 0, 0, 1], 1).into());
        settings.token = Some(token.into());
        Pusher::new(&settings, Names::new("r"))
    }

    #[test]
    fn the_signature_is_that_of_pushers_documentation() {
        // The worked example of pusher.com/docs/channels/library_auth_reference/rest-api, "Worked authentication example".
        let body = r#"{"name":"foo","channels":["project-3"],"data":"{\"some\":\"data\"}"}"#;
        let target = pusher("3:278d425bdf160c739803:7ad3773142a6692b25b8").signed(body, 1_353_088_179);
        assert!(target.contains("body_md5=ec365a775a4cd0599faeb73354201b6f"), "{target}");
        assert!(
            target
                .ends_with("auth_signature=da454824c97ba181a32ccc17a72625ba02771f50b50e1e7430e47a1f3f457e6c"),
            "{target}"
        );
    }

    #[test]
    fn a_reader_subscribes_when_greeted_and_answers_pings() {
        let place = Place { channels: 5..6, resume: None };
        let pusher = pusher("app:key:secret");
        let greeted = pusher.hear(&place, br#"{"event":"pusher:connection_established","data":"{}"}"#);
        assert!(
            matches!(&greeted, Heard::Reply(frames) if frames.len() == 1 && frames[0].contains("bench.r.5")),
            "{greeted:?}"
        );
        assert_eq!(
            pusher.hear(&place, br#"{"event":"pusher_internal:subscription_succeeded"}"#),
            Heard::Ready(None)
        );
        assert!(matches!(pusher.hear(&place, br#"{"event":"pusher:ping"}"#), Heard::Reply(_)));
        assert!(matches!(
            pusher.hear(&place, br#"{"event":"pusher:error","data":{"code":4001}}"#),
            Heard::Refused(_)
        ));
    }
}
