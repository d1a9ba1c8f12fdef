//! Attaching a reader: where it begins, what it is told, and the one step that joins the past to the live messages.
use std::{sync::Arc, time::Duration};

use fanfare_broker::Bounds;
use fanfare_protocol::{
    ChannelName, ClientId, Code, Epoch, Position, Problem, Start, SubscribeOptions, event::Gap,
};

use crate::{
    beginning::{Beginning, beginning},
    channel::Channel,
    connection::{Connection, Notice},
    hub::Hub,
    place::Place,
    reader::{KeyedPhase, Kind, Paced, PresentPhase, Reader, State},
    replay::Sent,
    shard::Pace,
};

/// Member events are gathered so long into one frame an action.
pub const PRESENCE_TICK: Duration = Duration::from_millis(100);

/// Where a subscription begins, as its `subscribed` says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Begun {
    /// The head at that moment: up to it the past, above it live.
    pub head: Position,
    /// Whether everything after `since` follows; none when `since` was not given.
    pub recovered: Option<bool>,
    /// How many messages of the past follow.
    pub replay: u64,
    /// What follows is what comes after this position.
    pub after: Position,
}

impl Hub {
    /// Attaches a reader, or moves the one that is attached (a seek: without a start it goes on from where it is). The reader is held until
    /// [`Connection::release`]; queue the `subscribed` first.
    ///
    /// # Errors
    /// `unavailable` when the broker cannot be reached.
    pub async fn subscribe(
        &self,
        connection: &Arc<Connection>,
        name: &ChannelName,
        options: &SubscribeOptions,
        element: Option<usize>,
    ) -> Result<Begun, Problem> {
        let joined = self.join(name).await?;
        let members = match options.presence {
            true => Some(self.join(&ChannelName::internal("presence", name)).await?),
            false => None,
        };
        let wish = Wish { name, options, element, skip: (!options.echo).then_some(connection.client) };
        let mut stood = None;
        let begun = self.begin(connection, &joined.0, &wish, &mut stood).await;
        let begun = begun.and_then(|begun| {
            if let Some(members) = &members {
                let attached = self.attach_members(connection, &members.0, name);
                attached.inspect_err(|_| {
                    self.take_out(connection, name);
                })?;
            }
            Ok(begun)
        });
        let begun = begun.inspect_err(|problem| {
            if stood.is_some() {
                connection.notify(Notice::Ended(name.clone(), problem.code));
            }
        })?;
        match begun.recovered {
            Some(true) => self.counters.recovered.inc(),
            Some(false) => self.counters.missed.inc(),
            None => {}
        }
        Ok(begun)
    }

    /// Works out where the reader begins and attaches it; again, when the channel was reset meanwhile. `stood`: where the reader stood that
    /// this one replaces, once that is taken out.
    async fn begin(
        &self,
        connection: &Arc<Connection>,
        channel: &Arc<Channel>,
        wish: &Wish<'_>,
        stood: &mut Option<Stood>,
    ) -> Result<Begun, Problem> {
        const ATTEMPTS: u32 = 8;
        let Wish { name, options, skip, .. } = *wish;
        for _ in 0..ATTEMPTS {
            let bounds = self.broker.bounds(name).await?;
            let policy = self.rules.policy(name);
            let tail_from = channel.lock().tail.as_ref().map(|tail| tail.start().offset);
            // From here on the old reader writes nothing, so that a seek goes on exactly where it stood.
            *stood = self.take_out(connection, name).or(*stood);
            let mut place = None;
            let beginning = match *stood {
                Some((epoch, at, keyed)) if options.start == Start::default() && epoch == bounds.epoch => {
                    place = Some(at);
                    Beginning { after: Some(at.offset), keyed, recovered: None, gap: None }
                }
                Some((epoch, at, _)) if options.start == Start::default() => {
                    let since = Some(Position { epoch, offset: at.offset });
                    let start = Start { since, ..Start::default() };
                    Beginning { recovered: None, ..beginning(&start, &bounds, &policy, tail_from) }
                }
                _ => beginning(&options.start, &bounds, &policy, tail_from),
            };
            let sent = Sent { skip, conflated: options.rate.is_some() };
            let replay = self.count_replay(name, &beginning, &bounds, sent).await?;
            if let Some(begun) =
                self.attach(connection, channel, wish, (&beginning, place), replay, &bounds)?
            {
                return Ok(begun);
            }
        }
        Err(Problem::new(Code::Unavailable, "the channel is losing its past: try again"))
    }

    /// Takes the readers of a channel out; tells where the one of its messages stood.
    fn take_out(&self, connection: &Arc<Connection>, name: &ChannelName) -> Option<Stood> {
        let mut stood = None;
        for (key, reader) in connection.remove(name) {
            if reader.kind == Kind::Messages {
                stood = Some((reader.epoch, reader.cursor, reader.keyed));
            }
            self.detach(connection, key, &reader);
        }
        stood
    }

    /// Registers the reader and reads the head in one step under channel and shard lock. None when the log's bounds are of an epoch that the
    /// channel is not in (any more).
    fn attach(
        &self,
        connection: &Arc<Connection>,
        channel: &Arc<Channel>,
        wish: &Wish<'_>,
        (beginning, place): (&Beginning, Option<Place>),
        (replay, upto): (u64, u64),
        bounds: &Bounds,
    ) -> Result<Option<Begun>, Problem> {
        let Wish { name, options, skip, element } = *wish;
        let pace = options.rate.map_or(Pace::Live, |rate| Pace::Every(window(rate)));
        let mut state = channel.lock();
        let Some(tail) = &state.tail else {
            return Err(Problem::new(Code::Unavailable, "the channel is not ready"));
        };
        let (epoch, head) = (tail.epoch(), tail.head());
        if epoch != bounds.epoch {
            return Ok(None);
        }
        let begins =
            beginning.after.map_or(head, |after| if after == head.offset { head } else { Place::at(after) });
        let cursor = place.unwrap_or(begins);
        // The broker may be ahead of what was delivered here: what is counted as the past lies up to its head.
        let counted = upto.max(cursor.offset);
        let (told, late) = match tail.messages_after(Place::at(counted)) {
            _ if beginning.after.is_none() => (head.offset, 0),
            // What came since may replace what was counted.
            _ if options.rate.is_some() => (counted, 0),
            Some(messages) if skip.is_some() => {
                let others = messages.filter(|(place, m)| place.ephemeral == 0 && skip != m.origin);
                (head.offset.max(counted), others.count() as u64)
            }
            // What cannot be counted any more is live.
            None if skip.is_some() => (counted, 0),
            _ => (head.offset.max(counted), head.offset.saturating_sub(counted)),
        };
        let shard = state.shard(connection.form, Kind::Messages, pace);
        let gap = beginning.gap.map(|reason| Gap {
            channel: name.clone(),
            after: Position { epoch, offset: beginning.after.unwrap_or(head.offset) },
            reason,
        });
        let key = connection.insert(cursor == head, |generation| Reader {
            name: name.clone(),
            channel: channel.clone(),
            shard: shard.clone(),
            kind: Kind::Messages,
            generation,
            epoch,
            cursor,
            state: State::Held,
            kept_up: 0,
            skip,
            keyed: beginning.keyed,
            paced: shard.window().map(|window| Box::new(Paced::new(window))),
            present: None,
            snapshot: options.start.snapshot,
            gap,
            until: u64::MAX,
            element,
        });
        let Some(key) = key else { return Err(gone()) };
        state.attach(&shard, connection, key);
        self.counters.subscriptions.inc();
        Ok(Some(Begun {
            head: Position { epoch, offset: told },
            recovered: beginning.recovered,
            replay: replay + late,
            after: Position { epoch, offset: cursor.offset },
        }))
    }

    fn attach_members(
        &self,
        connection: &Arc<Connection>,
        hidden: &Arc<Channel>,
        of: &ChannelName,
    ) -> Result<(), Problem> {
        let mut state = hidden.lock();
        let shard = state.shard(connection.form, Kind::Members, Pace::Every(PRESENCE_TICK));
        let Some(tail) = &state.tail else {
            return Err(Problem::new(Code::Unavailable, "presence is not ready"));
        };
        let epoch = tail.epoch();
        let key = connection.insert(false, |generation| Reader {
            name: of.clone(),
            channel: hidden.clone(),
            shard: shard.clone(),
            kind: Kind::Members,
            generation,
            epoch,
            cursor: Place::default(),
            state: State::Held,
            kept_up: 0,
            skip: None,
            keyed: None,
            paced: None,
            present: Some(PresentPhase::default()),
            snapshot: false,
            gap: None,
            until: u64::MAX,
            element: None,
        });
        let Some(key) = key else { return Err(gone()) };
        state.attach(&shard, connection, key);
        Ok(())
    }

    /// Detaches the reader of a channel: when this returns, nothing more of it is written.
    pub fn unsubscribe(&self, connection: &Arc<Connection>, name: &ChannelName) -> bool {
        let removed = connection.remove(name);
        for (key, reader) in &removed {
            self.detach(connection, *key, reader);
        }
        !removed.is_empty()
    }
}

/// What is subscribed to.
struct Wish<'a> {
    name: &'a ChannelName,
    options: &'a SubscribeOptions,
    element: Option<usize>,
    skip: Option<ClientId>,
}

/// Where a reader stood.
type Stood = (Epoch, Place, Option<KeyedPhase>);

/// The time between two deliveries at a rate a second; a day for rates that are nearly nothing.
fn window(rate: f64) -> Duration {
    const LONGEST: Duration = Duration::from_secs(24 * 3600);
    Duration::try_from_secs_f64(1.0 / rate).map_or(LONGEST, |window| window.min(LONGEST))
}

fn gone() -> Problem {
    Problem::new(Code::Unavailable, "the connection has ended")
}
