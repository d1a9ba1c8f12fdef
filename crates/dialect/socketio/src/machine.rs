//! One connection's namespaces: which are joined, what a packet means there, and what ends the connection.
use crate::{
    assembly::{Assembly, Broken},
    json, msgpack,
    packet::{Kind, Malformed, Packet, decode, event_name},
    wire::Parser,
};

/// Limits of one connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Attachments of one packet.
    pub attachments: usize,
    /// Namespaces joined at once.
    pub namespaces: usize,
    /// Bytes of a packet with its attachments.
    pub packet_bytes: usize,
}

/// Why the connection ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Fatal {
    /// A packet has no form.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// Frames came in a wrong order, or do not fit together.
    #[error(transparent)]
    Broken(#[from] Broken),
    /// A packet for a namespace that was not joined.
    #[error("a packet for a namespace that was not joined")]
    NotJoined,
    /// A CONNECT to a namespace that was joined.
    #[error("a namespace was joined twice")]
    JoinedTwice,
    /// More namespaces than a connection may join.
    #[error("too many namespaces on one connection")]
    Namespaces,
}

/// What a client wants.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Input {
    /// To join a namespace; answer with [`Machine::joined`] or [`Machine::refused`].
    Connect {
        /// Which.
        namespace: Box<str>,
        /// Its credentials and whatever else it sent: an object.
        auth: Option<Box<str>>,
    },
    /// To leave one. It is left already.
    Disconnect {
        /// Which.
        namespace: Box<str>,
    },
    /// Something happened.
    Event {
        /// Where.
        namespace: Box<str>,
        /// The id of the answer that it wants.
        id: Option<u64>,
        /// Its name.
        name: String,
        /// The array of name and arguments, compact.
        array: Box<str>,
    },
    /// The answer to an event of the server's.
    Ack {
        /// Where.
        namespace: Box<str>,
        /// Of which event.
        id: u64,
        /// The array of arguments, compact.
        array: Box<str>,
    },
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Joining,
    Joined,
    /// The server ended it: what the client had sent by then is passed over.
    Ended,
}

/// The namespaces of one connection. The parser is the one of its first packet.
#[derive(Debug)]
pub struct Machine {
    limits: Limits,
    /// Few: mostly one.
    namespaces: Vec<(Box<str>, State)>,
    assembly: Assembly,
    parser: Option<Parser>,
}

impl Machine {
    /// A connection that has joined nothing.
    pub fn new(limits: Limits) -> Self {
        Self { limits, namespaces: Vec::new(), assembly: Assembly::default(), parser: None }
    }

    /// How packets are encoded, once the first has come.
    pub fn parser(&self) -> Parser {
        self.parser.unwrap_or(Parser::Json)
    }

    /// Bytes held of a packet whose attachments are awaited.
    pub fn held(&self) -> usize {
        self.assembly.held()
    }

    /// Whether any namespace is joined or being joined.
    pub fn is_used(&self) -> bool {
        self.namespaces.iter().any(|(_, state)| *state != State::Ended)
    }

    /// A text packet came.
    ///
    /// # Errors
    /// The connection is to be closed.
    pub fn text(&mut self, text: &str) -> Result<Option<Input>, Fatal> {
        if self.parser.get_or_insert(Parser::Json) != &Parser::Json {
            return Err(Malformed::Form.into());
        }
        match self.assembly.packet(decode(text, self.limits.attachments)?)? {
            Some(packet) => self.packet(packet),
            None => Ok(None),
        }
    }

    /// A binary packet came.
    ///
    /// # Errors
    /// The connection is to be closed.
    pub fn binary(&mut self, bytes: Vec<u8>) -> Result<Option<Input>, Fatal> {
        if self.parser.get_or_insert(Parser::MsgPack) == &Parser::MsgPack {
            let packet = msgpack::decode(&bytes)?;
            return self.packet(packet);
        }
        match self.assembly.attachment(bytes, self.limits.packet_bytes)? {
            Some(packet) => self.packet(packet),
            None => Ok(None),
        }
    }

    fn state(&mut self, namespace: &str) -> Option<&mut State> {
        self.namespaces.iter_mut().find(|(name, _)| **name == *namespace).map(|(_, state)| state)
    }

    fn forget(&mut self, namespace: &str) {
        self.namespaces.retain(|(name, _)| **name != *namespace);
    }

    fn packet(&mut self, packet: Packet) -> Result<Option<Input>, Fatal> {
        let Packet { kind, namespace, id, data, .. } = packet;
        let state = self.state(&namespace).map(|state| *state);
        match (kind, state) {
            // Said again before it was answered, as a client does whose `connect()` was called twice: one answer is for both.
            (Kind::Connect, Some(State::Joining)) => Ok(None),
            (Kind::Connect, Some(State::Joined)) => Err(Fatal::JoinedTwice),
            (Kind::Connect, None | Some(State::Ended)) => {
                if state.is_none() && self.namespaces.len() >= self.limits.namespaces {
                    self.namespaces.retain(|(_, state)| *state != State::Ended);
                    if self.namespaces.len() >= self.limits.namespaces {
                        return Err(Fatal::Namespaces);
                    }
                }
                match self.state(&namespace) {
                    Some(state) => *state = State::Joining,
                    None => {
                        self.namespaces.reserve_exact(1);
                        self.namespaces.push((namespace.clone(), State::Joining));
                    }
                }
                Ok(Some(Input::Connect { namespace, auth: data }))
            }
            (_, Some(State::Ended)) => Ok(None),
            (Kind::Disconnect, Some(State::Joined)) => {
                self.forget(&namespace);
                Ok(Some(Input::Disconnect { namespace }))
            }
            (Kind::Event, Some(State::Joined)) => {
                let array = data.ok_or(Malformed::Payload)?;
                let first = json::elements(&array)
                    .and_then(|elements| elements.first().copied().and_then(event_name));
                let name = first.ok_or(Malformed::Payload)?;
                Ok(Some(Input::Event { namespace, id, name, array }))
            }
            (Kind::Ack, Some(State::Joined)) => match (id, data) {
                (Some(id), Some(array)) => Ok(Some(Input::Ack { namespace, id, array })),
                // An answer to nothing.
                _ => Ok(None),
            },
            _ => Err(Fatal::NotJoined),
        }
    }

    /// A CONNECT was granted.
    pub fn joined(&mut self, namespace: &str) {
        if let Some(state) = self.state(namespace) {
            *state = State::Joined;
        }
    }

    /// A CONNECT was refused: another may follow.
    pub fn refused(&mut self, namespace: &str) {
        self.forget(namespace);
    }

    /// The server ended a namespace.
    pub fn ended(&mut self, namespace: &str) {
        if let Some(state) = self.state(namespace) {
            *state = State::Ended;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine() -> Machine {
        Machine::new(Limits { attachments: 10, namespaces: 3, packet_bytes: 1000 })
    }

    fn connected(namespace: &str) -> Machine {
        let mut machine = machine();
        machine.text(&format!("0{namespace},")).unwrap();
        machine.joined(namespace);
        machine
    }

    #[test]
    fn events_come_only_where_the_namespace_was_joined() {
        assert_eq!(machine().text("2[\"e\"]"), Err(Fatal::NotJoined));
        let mut machine = connected("/a");
        assert_eq!(
            machine.text("2/a,5[\"e\",1]"),
            Ok(Some(Input::Event {
                namespace: "/a".into(),
                id: Some(5),
                name: "e".into(),
                array: "[\"e\",1]".into()
            }))
        );
        assert_eq!(machine.text("2[\"e\"]"), Err(Fatal::NotJoined));
        assert_eq!(connected("/a").text("0/a,"), Err(Fatal::JoinedTwice));
        let mut machine = self::machine();
        machine.text("0/a,").unwrap();
        assert_eq!(machine.text("0/a,{\"token\":\"x\"}"), Ok(None), "one answer is for both");
    }

    #[test]
    fn who_leaves_may_come_back_and_who_was_ended_is_passed_over() {
        let mut machine = connected("/a");
        assert_eq!(machine.text("1/a,"), Ok(Some(Input::Disconnect { namespace: "/a".into() })));
        assert_eq!(machine.text("1/a,"), Err(Fatal::NotJoined));
        let mut machine = connected("/a");
        machine.ended("/a");
        assert_eq!(machine.text("2/a,[\"e\"]"), Ok(None));
        assert!(matches!(machine.text("0/a,"), Ok(Some(Input::Connect { .. }))));
    }

    #[test]
    fn namespaces_are_limited_and_refused_ones_do_not_count() {
        let mut machine = machine();
        for name in ["/a", "/b", "/c"] {
            machine.text(&format!("0{name},")).unwrap();
        }
        assert_eq!(machine.text("0/d,"), Err(Fatal::Namespaces));
        machine.refused("/c");
        assert!(machine.text("0/d,").is_ok());
    }

    #[test]
    fn the_first_packet_says_how_the_others_are_encoded() {
        let mut machine = machine();
        let connect = msgpack::encode(Kind::Connect, "/", None, b"{}");
        assert!(matches!(machine.binary(connect), Ok(Some(Input::Connect { .. }))));
        assert_eq!(machine.parser(), Parser::MsgPack);
        assert!(machine.text("0/a,").is_err());
    }
}
