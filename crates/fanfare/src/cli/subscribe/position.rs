//! Where each channel stands, so that the next connection goes on from there.
use fanfare_protocol::{ChannelName, Cursor, Epoch, Position};
use serde_json::Value;

/// A position for each channel, and the whole as the hub told it, for transports that carry cursors.
#[derive(Debug)]
pub struct Positions {
    channels: Vec<Standing>,
    /// The newest cursor of an event stream or poll.
    pub cursor: Option<String>,
}

#[derive(Debug)]
struct Standing {
    channel: ChannelName,
    /// The channel's epoch, which messages do not carry.
    epoch: Option<Epoch>,
    position: Option<Position>,
}

impl Positions {
    /// Begins where the user said.
    pub fn new(channels: &[ChannelName], since: Cursor) -> Self {
        let cursor = since.0.iter().any(Option::is_some).then(|| since.to_string());
        let standing = |(channel, position): (&ChannelName, Option<Position>)| Standing {
            channel: channel.clone(),
            epoch: position.map(|position| position.epoch),
            position,
        };
        Self { channels: channels.iter().zip(since.0).map(standing).collect(), cursor }
    }

    /// After which message the channel goes on; none: as the first time.
    pub fn of(&self, channel: &ChannelName) -> Option<Position> {
        self.channels.iter().find(|standing| standing.channel == *channel)?.position
    }

    /// Learns from a frame.
    pub fn note(&mut self, kind: &str, frame: &Value) {
        let channel = frame.get("channel").and_then(Value::as_str).unwrap_or_default();
        let Some(standing) = self.channels.iter_mut().find(|standing| *standing.channel == *channel) else {
            return;
        };
        let offset = frame.get("offset").and_then(Value::as_u64);
        let epoch = frame.get("epoch").and_then(Value::as_str).and_then(|epoch| epoch.parse().ok());
        match (kind, epoch, offset) {
            ("subscribed", Some(epoch), Some(offset)) => {
                standing.epoch = Some(epoch);
                // What is replayed has not been seen yet: only a subscription without a past begins at the head.
                let replay = frame.get("replay").and_then(Value::as_u64).unwrap_or(0);
                let lost = frame.get("recovered") == Some(&Value::Bool(false));
                if replay == 0 && !lost {
                    standing.position = Some(Position { epoch, offset });
                }
            }
            ("gap", Some(epoch), Some(offset)) => {
                standing.epoch = Some(epoch);
                standing.position = Some(Position { epoch, offset });
            }
            // Ephemeral messages have no offset, and move nothing.
            ("message", _, Some(offset)) => {
                standing.position = standing.epoch.map(|epoch| Position { epoch, offset });
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn at(positions: &Positions, channel: &str) -> String {
        positions.of(&ChannelName::parse(channel).unwrap()).map(|p| p.to_string()).unwrap_or_default()
    }

    #[test]
    fn a_replay_moves_the_position_message_by_message() {
        let channels = ["a", "b"].map(|name| ChannelName::parse(name).unwrap());
        let mut positions = Positions::new(&channels, Cursor::parse("e1-4~", 2).unwrap());
        assert_eq!(positions.cursor.as_deref(), Some("e1-4~"));
        positions
            .note("subscribed", &json!({"channel":"a","epoch":"e1","offset":9,"recovered":true,"replay":5}));
        assert_eq!(at(&positions, "a"), "e1-4", "the replay has not come yet");
        positions.note("message", &json!({"channel":"a","offset":5}));
        positions.note("message", &json!({"channel":"a"}));
        assert_eq!(at(&positions, "a"), "e1-5");
        positions.note("subscribed", &json!({"channel":"b","epoch":"e1","offset":3,"replay":0}));
        assert_eq!(at(&positions, "b"), "e1-3", "from now on is from the head");
    }

    #[test]
    fn a_gap_moves_to_where_the_rest_begins() {
        let channels = [ChannelName::parse("a").unwrap()];
        let mut positions = Positions::new(&channels, Cursor::parse("old-4", 1).unwrap());
        positions.note(
            "subscribed",
            &json!({"channel":"a","epoch":"new","offset":9,"recovered":false,"replay":0}),
        );
        assert_eq!(at(&positions, "a"), "old-4");
        positions.note("gap", &json!({"channel":"a","epoch":"new","offset":9,"reason":"epoch"}));
        assert_eq!(at(&positions, "a"), "new-9");
        positions.note("message", &json!({"channel":"a","offset":10}));
        assert_eq!(at(&positions, "a"), "new-10");
        positions.note("message", &json!({"channel":"unknown","offset":11}));
        assert_eq!(at(&positions, "a"), "new-10");
    }
}
