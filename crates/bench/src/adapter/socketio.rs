//! Socket.IO 4 over a WebSocket (engine.io 4), against a server that knows three events: `join` with an acknowledging `joined`, `pub`, and `m`; or
//! against a hub, whose words are `subscribe`, acknowledged as Socket.IO does, and `publish`.

use std::fmt::Write as _;

use super::{Adapter, Heard, Names, Opening, Place, has, words};

/// A Socket.IO server.
pub struct SocketIo {
    names: Names,
    is_hub: bool,
}

impl SocketIo {
    pub fn new(names: Names, is_hub: bool) -> Self {
        Self { names, is_hub }
    }

    fn join(&self, channel: u32) -> String {
        let name = self.names.of(channel);
        match self.is_hub {
            true => format!("42{channel}[\"subscribe\",\"{name}\"]"),
            false => format!("42[\"join\",\"{name}\"]"),
        }
    }
}

impl Adapter for SocketIo {
    fn open(&self, place: &Place) -> Opening {
        // A publisher is ready with its namespace's answer, a reader with its last room's.
        let ready = place.channels.len().max(1) as u32;
        Opening { target: "/socket.io/?EIO=4&transport=websocket".into(), ready, ..Opening::default() }
    }

    /// Packets: engine.io's type (0 open, 2 ping, 3 pong, 4 message), for messages then Socket.IO's (0 connect, 2 event, 4 refused).
    fn hear(&self, place: &Place, unit: &[u8]) -> Heard {
        match unit {
            [b'0', ..] => Heard::Reply(vec!["40".into()]),
            [b'2', ..] => Heard::Reply(vec!["3".into()]),
            [b'4', b'0', ..] if place.channels.is_empty() => Heard::Ready(None),
            [b'4', b'0', ..] => {
                Heard::Reply(place.channels.clone().map(|channel| self.join(channel)).collect())
            }
            [b'4', b'3', ..] if has(unit, "[{\"error\"") => Heard::Refused(words(unit)),
            [b'4', b'3', ..] => Heard::Ready(None),
            [b'4', b'2', rest @ ..] if rest.starts_with(b"[\"fanfare.error\"") => Heard::Refused(words(unit)),
            [b'4', b'2', rest @ ..] if rest.starts_with(b"[\"joined\"") => Heard::Ready(None),
            [b'4', b'4', ..] | [b'1', ..] => Heard::Refused(words(unit)),
            _ => Heard::Nothing,
        }
    }

    fn publish(&self, channel: u32, payload: &str, out: &mut String) {
        let name = self.names.of(channel);
        let _ = match self.is_hub {
            true => write!(out, "42[\"publish\",\"{name}\",\"m\",\"{payload}\"]"),
            false => write!(out, "42[\"pub\",\"{name}\",\"{payload}\"]"),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_conversation_goes_through_both_layers() {
        let server = SocketIo::new(Names::new("r"), false);
        let reader = Place { channels: 0..2, resume: None };
        let publisher = Place { channels: 0..0, resume: None };
        assert_eq!(server.open(&reader).ready, 2);
        assert_eq!(
            server.hear(&reader, br#"0{"sid":"x","pingInterval":25000}"#),
            Heard::Reply(vec!["40".into()])
        );
        let joins = vec![r#"42["join","bench.r.0"]"#.to_owned(), r#"42["join","bench.r.1"]"#.to_owned()];
        assert_eq!(server.hear(&reader, br#"40{"sid":"y"}"#), Heard::Reply(joins));
        assert_eq!(server.hear(&reader, br#"42["joined"]"#), Heard::Ready(None));
        assert_eq!(server.hear(&publisher, b"40"), Heard::Ready(None));
        assert_eq!(server.hear(&reader, b"2"), Heard::Reply(vec!["3".into()]));
        assert!(matches!(server.hear(&reader, br#"44{"message":"no"}"#), Heard::Refused(_)));
    }

    #[test]
    fn a_hub_acknowledges_and_refuses() {
        let hub = SocketIo::new(Names::new("r"), true);
        let reader = Place { channels: 3..4, resume: None };
        let subscribe = vec![r#"423["subscribe","bench.r.3"]"#.to_owned()];
        assert_eq!(hub.hear(&reader, br#"40{"sid":"y"}"#), Heard::Reply(subscribe));
        assert_eq!(
            hub.hear(&reader, br#"433[{"epoch":"k","offset":0,"recovered":false}]"#),
            Heard::Ready(None)
        );
        assert!(matches!(hub.hear(&reader, br#"433[{"error":{"code":"forbidden"}}]"#), Heard::Refused(_)));
        assert!(matches!(hub.hear(&reader, br#"42["fanfare.error",{"code":"x"}]"#), Heard::Refused(_)));
        let mut out = String::new();
        hub.publish(3, "x", &mut out);
        assert_eq!(out, r#"42["publish","bench.r.3","m","x"]"#);
    }
}
