//! Attaching a reader: where it begins, what it is told, and the one step that joins the past to the live messages.
use std::{sync::Arc, time::Duration};

use fanfare_broker::{Bound, Bounds, ChannelPolicy, Keyed, Read};
use fanfare_protocol::{
    ChannelName, ClientId, Code, Epoch, Position, Problem, Start, SubscribeOptions,
    event::{Gap, GapReason},
};

use crate::{
    channel::Channel,
    connection::{Connection, Notice},
    hub::{Hub, Slow},
    place::Place,
    pump::{Fetch, Fetched, Range, Slow as SlowReader},
    reader::{KeyedPhase, Kind, PresentPhase, Reader, State},
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

/// A start worked out against a log's bounds.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Plan {
    /// Read on from here; none means from the head, whatever it is by then.
    pub after: Option<u64>,
    /// The newest per key first.
    pub keyed: Option<KeyedPhase>,
    /// What `since` came to.
    pub recovered: Option<bool>,
    /// Told before the first message.
    pub gap: Option<GapReason>,
}

/// Works out where a reader begins. `tail_from`: the tail still holds everything after this offset.
pub fn plan(start: &Start, bounds: &Bounds, policy: &ChannelPolicy, tail_from: Option<u64>) -> Plan {
    let fresh = |recovered, gap: Option<GapReason>| {
        let mut plan = Plan { after: None, keyed: None, recovered, gap };
        if start.snapshot && policy.keyed {
            plan.after = Some(0);
            plan.keyed = Some(KeyedPhase { until: bounds.head, tombstones_after: bounds.head });
        } else if let Some(last) = start.last {
            plan.after = Some(bounds.head.saturating_sub(last).max(bounds.oldest.saturating_sub(1)));
        } else if gap.is_some() {
            plan.after = Some(bounds.oldest.saturating_sub(1));
        }
        plan
    };
    let Some(since) = start.since else { return fresh(None, None) };
    if since.epoch != bounds.epoch || since.offset > bounds.head {
        return fresh(Some(false), Some(GapReason::Epoch));
    }
    let retained = since.offset + 1 >= bounds.oldest;
    // Without history a cursor is honoured while memory still holds what follows it.
    let in_tail = policy.size == 0 && tail_from.is_some_and(|from| since.offset >= from);
    if retained || in_tail {
        return Plan { after: Some(since.offset), keyed: None, recovered: Some(true), gap: None };
    }
    if start.snapshot && policy.keyed && since.offset >= bounds.tombstones_after {
        let phase = KeyedPhase { until: bounds.head, tombstones_after: since.offset };
        return Plan { after: Some(since.offset), keyed: Some(phase), recovered: Some(true), gap: None };
    }
    fresh(Some(false), Some(GapReason::Expired))
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
            let plan = match *stood {
                Some((epoch, at, keyed)) if options.start == Start::default() && epoch == bounds.epoch => {
                    place = Some(at);
                    Plan { after: Some(at.offset), keyed, recovered: None, gap: None }
                }
                Some((epoch, at, _)) if options.start == Start::default() => {
                    let since = Some(Position { epoch, offset: at.offset });
                    let start = Start { since, ..Start::default() };
                    Plan { recovered: None, ..plan(&start, &bounds, &policy, tail_from) }
                }
                _ => plan(&options.start, &bounds, &policy, tail_from),
            };
            let replay = self.count_replay(name, &plan, &bounds, skip, options.rate.is_some()).await?;
            if let Some(begun) = self.attach(connection, channel, wish, (&plan, place), replay, &bounds)? {
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
        (plan, place): (&Plan, Option<Place>),
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
            plan.after.map_or(head, |after| if after == head.offset { head } else { Place::at(after) });
        let cursor = place.unwrap_or(begins);
        // The broker may be ahead of what was delivered here: what is counted as the past lies up to its head.
        let counted = upto.max(cursor.offset);
        let (told, late) = match tail.messages_after(Place::at(counted)) {
            _ if plan.after.is_none() => (head.offset, 0),
            Some(messages) if skip.is_some() => {
                let others = messages.filter(|(place, m)| place.ephemeral == 0 && skip != m.origin);
                (head.offset.max(counted), others.count() as u64)
            }
            // What cannot be counted any more is live.
            None if skip.is_some() => (counted, 0),
            _ => (head.offset.max(counted), head.offset.saturating_sub(counted)),
        };
        let shard = state.shard(connection.form, Kind::Messages, pace);
        let gap = plan.gap.map(|reason| Gap {
            channel: name.clone(),
            after: Position { epoch, offset: plan.after.unwrap_or(head.offset) },
            reason,
        });
        let key = connection.insert(|generation| Reader {
            name: name.clone(),
            channel: channel.clone(),
            shard: shard.clone(),
            kind: Kind::Messages,
            generation,
            epoch,
            cursor,
            state: State::Held,
            skip,
            keyed: plan.keyed,
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
            recovered: plan.recovered,
            replay: replay + if options.rate.is_some() { 0 } else { late },
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
        let key = connection.insert(|generation| Reader {
            name: of.clone(),
            channel: hidden.clone(),
            shard: shard.clone(),
            kind: Kind::Members,
            generation,
            epoch,
            cursor: Place::default(),
            state: State::Held,
            skip: None,
            keyed: None,
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

    /// How many messages this reader will be sent up to the head, or as far as could be counted: that offset comes second.
    async fn count_replay(
        &self,
        name: &ChannelName,
        plan: &Plan,
        bounds: &Bounds,
        skip: Option<ClientId>,
        conflated: bool,
    ) -> Result<(u64, u64), Problem> {
        let head = bounds.head;
        let Some(after) = plan.after.filter(|after| *after < head) else { return Ok((0, head)) };
        let mine = |m: &Arc<fanfare_protocol::Message>| skip.is_some() && m.origin == skip;
        if let Some(phase) = plan.keyed {
            let (mut after, mut count) = (after, 0);
            while after < phase.until {
                let tombstones_after = phase.tombstones_after;
                let read =
                    Keyed { after, until: phase.until, tombstones_after, limit: 10_000, bytes: 16 << 20 };
                let slice = self.broker.read_keyed(name, read).await?;
                count += slice.messages.iter().filter(|m| !mine(m)).count() as u64;
                after = slice.next;
            }
            // What a seek left unread of the log behind its snapshot.
            return Ok((count + head.saturating_sub(phase.until), head));
        }
        if skip.is_none() && !conflated {
            return Ok((head - after, head));
        }
        let (mut at, mut count) = (after, 0);
        let mut keys = std::collections::HashSet::new();
        while at < head {
            let after = Position { epoch: bounds.epoch, offset: at };
            let read = Read { after, limit: 10_000, bytes: 16 << 20, bound: Bound::Held };
            let messages = match self.broker.read(name, read).await? {
                Ok(slice) => slice.messages,
                // What a reader is owed beyond what the broker holds is in memory alone.
                Err(_) => self.in_tail(name, after, usize::MAX, usize::MAX).unwrap_or_default(),
            };
            let Some(last) = messages.last() else { break };
            at = last.offset;
            for message in messages.iter().filter(|m| m.offset <= head && !mine(m)) {
                count += 1;
                keys.insert(message.key.clone());
            }
        }
        Ok((if conflated { keys.len() as u64 } else { count }, at.min(head)))
    }

    /// Detaches the reader of a channel: when this returns, nothing more of it is written.
    pub fn unsubscribe(&self, connection: &Arc<Connection>, name: &ChannelName) -> bool {
        let removed = connection.remove(name);
        for (key, reader) in &removed {
            self.detach(connection, *key, reader);
        }
        !removed.is_empty()
    }

    /// Answers a connection's [`crate::Pumped::Fetch`].
    ///
    /// # Errors
    /// `unavailable` when the broker cannot be reached: try again later.
    pub async fn fetch(&self, fetch: &Fetch) -> Result<Fetched, Problem> {
        match fetch.range {
            Range::Log(read) => self.broker.read(&fetch.channel, read).await.map(Fetched::Log),
            Range::Keyed(read) => self.broker.read_keyed(&fetch.channel, read).await.map(Fetched::Keyed),
        }
    }

    /// After which offset something is left of a log, in the broker or in memory.
    pub(crate) fn left_after(&self, channel: &ChannelName, bounds: &Bounds) -> u64 {
        let held = bounds.held.saturating_sub(1);
        let in_tail = self.registry.get(channel).and_then(|channel| {
            let state = channel.lock();
            let tail = state.tail.as_ref().filter(|tail| tail.epoch() == bounds.epoch)?;
            Some(tail.start().offset)
        });
        in_tail.map_or(held, |start| start.min(held))
    }

    /// Decides how a reader goes on that fell off the log.
    ///
    /// # Errors
    /// `slow_consumer` when the namespace closes such connections.
    pub async fn fell_off(&self, connection: &Connection, slow: &SlowReader) -> Result<(), Problem> {
        let bounds = if slow.channel.is_internal() || slow.lost.reason == GapReason::Epoch {
            slow.lost.bounds
        } else {
            self.broker.bounds(&slow.channel).await?
        };
        let keyed = self.rules.policy(&slow.channel).keyed;
        let policy = self.rules.slow(&slow.channel);
        let same = slow.at.epoch == bounds.epoch;
        let to = |offset| Position { epoch: bounds.epoch, offset };
        let by_key = slow.snapshot || policy == Slow::Conflate;
        if slow.channel.is_internal() {
            connection.resume(slow, to(0), None, None);
            return Ok(());
        }
        if keyed && by_key && same && slow.at.offset >= bounds.tombstones_after {
            let phase = KeyedPhase { until: bounds.head, tombstones_after: slow.at.offset };
            // Who did not ask for the keyed state hears that messages are missing.
            let told = (!slow.snapshot).then_some(GapReason::Slow);
            connection.resume(slow, slow.at, Some(phase), told);
            return Ok(());
        }
        let reason = if same { GapReason::Slow } else { GapReason::Epoch };
        if keyed && by_key {
            let phase = KeyedPhase { until: bounds.head, tombstones_after: bounds.head };
            connection.resume(slow, to(0), Some(phase), Some(reason));
            return Ok(());
        }
        if policy == Slow::Close && same {
            return Err(Problem::new(
                Code::SlowConsumer,
                format!("the log of {} no longer holds what this reader had not read", slow.channel),
            ));
        }
        connection.resume(slow, to(self.left_after(&slow.channel, &bounds)), None, Some(reason));
        Ok(())
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

#[cfg(test)]
#[path = "subscribe_tests.rs"]
mod tests;
