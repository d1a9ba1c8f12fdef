//! A wire form of length-prefixed text, and its decoder: a torn frame cannot pass for a whole one.
use fanfare_hub::{Form, WireForm};
use fanfare_protocol::{
    ChannelName, ClientId, Cursor, Epoch, Event, Message, Position, PresenceAction, Ref, event::GapReason,
};

/// Ends every frame.
const END: u8 = 0xFE;

/// `cursor`: every message and gap is preceded by the positions of all channels.
pub struct TestForm {
    id: u16,
    cursor: bool,
}

/// Messages alone.
pub const PLAIN: Form = Form(&TestForm { id: 901, cursor: false });
/// With cursors.
pub const WIDE: Form = Form(&TestForm { id: 902, cursor: true });

/// What stands on the wire.
#[derive(Clone, PartialEq, Debug)]
pub enum Frame {
    /// Offset 0: ephemeral.
    Message {
        channel: ChannelName,
        at: Position,
        origin: Option<ClientId>,
        serial: u64,
    },
    Gap {
        channel: ChannelName,
        after: Position,
        reason: GapReason,
    },
    Presence {
        channel: ChannelName,
        action: PresenceAction,
        members: Vec<ClientId>,
        more: bool,
        count: u64,
    },
    Subscribed(i64),
    Ended(ChannelName),
    Reply(i64),
    Cursor(Vec<Option<Position>>),
}

fn frame(out: &mut Vec<u8>, body: &str) {
    out.extend((body.len() as u32).to_be_bytes());
    out.extend(body.as_bytes());
    out.push(END);
}

/// The frame that ends a subscription.
pub fn ended(channel: &ChannelName, out: &mut Vec<u8>) {
    frame(out, &format!("u {channel}"));
}

/// The frame that begins one.
pub fn subscribed(number: i64, out: &mut Vec<u8>) {
    frame(out, &format!("s {number}"));
}

/// The answer to anything else.
pub fn reply(number: i64, out: &mut Vec<u8>) {
    frame(out, &format!("r {number}"));
}

impl WireForm for TestForm {
    fn id(&self) -> u16 {
        self.id
    }

    fn message(&self, m: &Message, out: &mut Vec<u8>) {
        let origin = m.origin.map_or("-".to_owned(), |origin| origin.as_str().to_owned());
        let serial = m.id.strip_prefix('s').and_then(|id| id.parse::<u64>().ok()).unwrap_or(0);
        let pad = "x".repeat(m.data.len());
        frame(out, &format!("m {} {} {} {origin} {serial} {pad}", m.channel, m.epoch, m.offset));
    }

    fn event(&self, event: &Event, out: &mut Vec<u8>) {
        match event {
            Event::Gap(gap) => {
                frame(out, &format!("g {} {} {}", gap.channel, gap.after, gap.reason.name()));
            }
            Event::Presence(p) => {
                let members: Vec<_> = p.members.iter().map(|member| member.client.as_str()).collect();
                let (action, members) = (p.action.name(), members.join(","));
                frame(out, &format!("p {} {action} {} {} {members}", p.channel, p.more, p.count));
            }
            Event::Subscribed { reference: Some(Ref::Number(number)), .. } => subscribed(*number, out),
            _ => panic!("the hub wrote {event:?}"),
        }
    }

    fn cursor(&self, cursor: &Cursor, out: &mut Vec<u8>) {
        if self.cursor {
            frame(out, &format!("c {cursor}"));
        }
    }
}

/// Reads frames off a stream.
#[derive(Default)]
pub struct Decoder {
    rest: Vec<u8>,
    /// Bytes of whole frames read so far.
    pub read: usize,
}

impl Decoder {
    /// Every whole frame in what has come, each with the place in the stream where it began.
    pub fn feed(&mut self, bytes: &[u8]) -> Vec<(usize, Frame)> {
        self.rest.extend_from_slice(bytes);
        let mut frames = Vec::new();
        let mut at = 0;
        while let Some(head) = self.rest.get(at..at + 4) {
            let len = u32::from_be_bytes(head.try_into().unwrap()) as usize;
            assert!(len < 1 << 20, "a torn frame at byte {}", self.read + at);
            let Some(whole) = self.rest.get(at + 4..at + 5 + len) else { break };
            assert_eq!(whole.last(), Some(&END), "a torn frame at byte {}", self.read + at);
            let text = std::str::from_utf8(&whole[..len]).expect("a torn frame");
            frames.push((self.read + at, parse(text).unwrap_or_else(|| panic!("a torn frame: {text:?}"))));
            at += len + 5;
        }
        self.rest.drain(..at);
        self.read += at;
        frames
    }
}

fn parse(text: &str) -> Option<Frame> {
    let mut words = text.split(' ');
    let mut word = || words.next();
    let name = |name: &str| ChannelName::parse(name).ok();
    let frame = match word()? {
        "m" => {
            let channel = name(word()?)?;
            let at = Position { epoch: word()?.parse::<Epoch>().ok()?, offset: word()?.parse().ok()? };
            let origin = match word()? {
                "-" => None,
                text => Some(ClientId::parse(text).ok()?),
            };
            let serial = word()?.parse().ok()?;
            word()?.bytes().all(|b| b == b'x').then_some(())?;
            Frame::Message { channel, at, origin, serial }
        }
        "g" => {
            let (channel, after) = (name(word()?)?, word()?.parse().ok()?);
            let reasons = [GapReason::Expired, GapReason::Epoch, GapReason::Slow];
            let reason = word()?;
            let reason = reasons.into_iter().find(|r| r.name() == reason)?;
            Frame::Gap { channel, after, reason }
        }
        "p" => {
            let channel = name(word()?)?;
            let actions = [
                PresenceAction::Present,
                PresenceAction::Enter,
                PresenceAction::Update,
                PresenceAction::Leave,
            ];
            let action = word()?;
            let action = actions.into_iter().find(|a| a.name() == action)?;
            let (more, count) = (word()?.parse::<bool>().ok()?, word()?.parse().ok()?);
            let members = word()?.split(',').filter(|text| !text.is_empty());
            let members = members.map(|text| ClientId::parse(text).ok()).collect::<Option<_>>()?;
            Frame::Presence { channel, action, members, more, count }
        }
        "s" => Frame::Subscribed(word()?.parse().ok()?),
        "u" => Frame::Ended(name(word()?)?),
        "r" => Frame::Reply(word()?.parse().ok()?),
        "c" => {
            let text = word()?;
            let elements = text.split('~').count();
            Frame::Cursor(Cursor::parse(text, elements).ok()?.0)
        }
        _ => return None,
    };
    word().is_none().then_some(frame)
}
