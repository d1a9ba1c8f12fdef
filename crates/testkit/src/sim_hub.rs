//! A hub in memory that takes its time: calls of one channel take effect in order, everything else in any order.
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

use fanfare_protocol::{
    ChannelName, Code, Epoch, Event, Identity, Message, Position, Problem, Publish, SubscribeOptions,
    event::{Gap, GapReason, HistoryPage, MembersPage, Published},
};
use fanfare_session::{Author, HubCall, HubEvent, Subscribed};

use crate::Random;

/// Names a connection of the simulated hub.
pub type ConnectionId = u64;

#[derive(Default, Debug)]
struct Log {
    head: u64,
    messages: VecDeque<Arc<Message>>,
}

impl Log {
    /// The last offset that is gone.
    fn floor(&self) -> u64 {
        self.head - self.messages.len() as u64
    }
}

#[derive(Debug)]
struct Reader {
    /// The last offset handed over.
    cursor: u64,
    gap: Option<Gap>,
    /// Data may flow: `subscribed` was sent.
    open: bool,
}

#[derive(Debug)]
struct Connection {
    calls: BTreeMap<ChannelName, VecDeque<HubCall>>,
    verifying: Vec<HubCall>,
    answers: Vec<HubEvent>,
    readers: BTreeMap<ChannelName, Reader>,
    members: BTreeSet<ChannelName>,
}

/// Verifies a token.
pub type Verify = fn(&str) -> Result<Identity, Problem>;

/// The simulated hub.
#[derive(Debug)]
pub struct SimHub {
    epoch: Epoch,
    verify: Verify,
    logs: BTreeMap<ChannelName, Log>,
    connections: BTreeMap<ConnectionId, Connection>,
    /// So many of a hundred calls fail with `unavailable`.
    pub failing: u64,
}

impl SimHub {
    /// An empty hub; `verify` stands for auth.
    pub fn new(seed: u64, verify: Verify) -> Self {
        Self {
            epoch: Epoch::from_random(seed),
            verify,
            logs: BTreeMap::new(),
            connections: BTreeMap::new(),
            failing: 0,
        }
    }

    /// A connection begins.
    pub fn connect(&mut self, id: ConnectionId) {
        let new = Connection {
            calls: BTreeMap::new(),
            verifying: Vec::new(),
            answers: Vec::new(),
            readers: BTreeMap::new(),
            members: BTreeSet::new(),
        };
        self.connections.insert(id, new);
    }

    /// A connection is gone. What it published and was not carried out still is: it had been sent.
    pub fn disconnect(&mut self, id: ConnectionId) {
        let Some(gone) = self.connections.remove(&id) else { return };
        for call in gone.calls.into_values().flatten() {
            if let HubCall::Publish { publish, author, .. } = call {
                self.append(&publish, &author);
            }
        }
    }

    /// The session of a connection asks for something.
    pub fn call(&mut self, id: ConnectionId, call: HubCall) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        match call {
            HubCall::Unsubscribe { channel } => {
                connection.readers.remove(&channel);
                // A subscribe that is still on its way is overtaken: it will find nothing to attach to.
                for waiting in connection.calls.entry(channel).or_default() {
                    if let HubCall::Subscribe { ticket, .. } = waiting {
                        let gone = Problem::new(Code::NotFound, "unsubscribed meanwhile");
                        connection.answers.push(HubEvent::Subscribed(*ticket, Err(gone)));
                    }
                }
                for waiting in connection.calls.values_mut() {
                    waiting.retain(|call| !answered(call, &connection.answers));
                }
            }
            HubCall::Identify { .. } | HubCall::Until { .. } => {}
            // No application here: a call is answered with what it said.
            HubCall::Call { ticket, args, .. } => connection.answers.push(HubEvent::Called(ticket, Ok(args))),
            HubCall::Answer { ticket, .. } => connection.answers.push(HubEvent::Answered(ticket, Ok(()))),
            HubCall::Authenticate { .. } => connection.verifying.push(call),
            HubCall::Publish { ref publish, .. } => {
                connection.calls.entry(publish.channel.clone()).or_default().push_back(call);
            }
            HubCall::Subscribe { ref channel, .. }
            | HubCall::History { ref channel, .. }
            | HubCall::Members { ref channel, .. }
            | HubCall::Enter { ref channel, .. }
            | HubCall::Leave { ref channel, .. } => {
                connection.calls.entry(channel.clone()).or_default().push_back(call);
            }
        }
    }

    /// `subscribed` was handed to the transport.
    pub fn open(&mut self, id: ConnectionId, channel: &ChannelName) {
        let connection = self.connections.get_mut(&id);
        if let Some(reader) = connection.and_then(|connection| connection.readers.get_mut(channel)) {
            reader.open = true;
        }
    }

    /// Carries out one of the calls that wait; false when there is none.
    pub fn work(&mut self, random: &mut Random) -> bool {
        let mut choices = Vec::new();
        for (id, connection) in &self.connections {
            choices.extend((0..connection.verifying.len()).map(|_| (*id, None)));
            let busy = connection.calls.iter().filter(|(_, calls)| !calls.is_empty());
            choices.extend(busy.map(|(channel, _)| (*id, Some(channel.clone()))));
        }
        let Some((id, channel)) = random.pick(&choices).cloned() else { return false };
        let Some(connection) = self.connections.get_mut(&id) else { return false };
        let call = match &channel {
            Some(channel) => connection.calls.get_mut(channel).and_then(VecDeque::pop_front),
            None => Some(connection.verifying.swap_remove(random.index(connection.verifying.len()))),
        };
        let Some(call) = call else { return false };
        let fails = random.percent(self.failing);
        let answer = self.carry_out(id, call, fails);
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.answers.extend(answer);
        }
        true
    }

    fn carry_out(&mut self, id: ConnectionId, call: HubCall, fails: bool) -> Option<HubEvent> {
        let refused = || Problem::new(Code::Unavailable, "the simulated hub is out of reach");
        Some(match call {
            HubCall::Authenticate { ticket, token } => {
                HubEvent::Authenticated(ticket, (self.verify)(&token.0).map(Arc::new))
            }
            HubCall::Subscribe { ticket, .. } if fails => HubEvent::Subscribed(ticket, Err(refused())),
            HubCall::Subscribe { ticket, channel, options } => {
                HubEvent::Subscribed(ticket, Ok(self.attach(id, channel, &options)))
            }
            HubCall::Publish { ticket, .. } if fails => HubEvent::Published(ticket, Err(refused())),
            HubCall::Publish { ticket, publish, author } => {
                HubEvent::Published(ticket, Ok(self.append(&publish, &author)))
            }
            HubCall::History { ticket, channel, .. } => HubEvent::History(ticket, Ok(self.history(&channel))),
            HubCall::Members { ticket, .. } => {
                let page = MembersPage { members: Vec::new(), count: 0, users: 0, next: None };
                HubEvent::Members(ticket, Ok(page))
            }
            HubCall::Enter { ticket, .. } if fails => HubEvent::Entered(ticket, Err(refused())),
            HubCall::Enter { ticket, channel, .. } => {
                self.connections.get_mut(&id)?.members.insert(channel);
                HubEvent::Entered(ticket, Ok(()))
            }
            HubCall::Leave { ticket, channel, .. } => {
                let was = self.connections.get_mut(&id)?.members.remove(&channel);
                let none = || Problem::new(Code::NotFound, "no member");
                HubEvent::Entered(ticket, if was { Ok(()) } else { Err(none()) })
            }
            HubCall::Unsubscribe { .. }
            | HubCall::Until { .. }
            | HubCall::Identify { .. }
            | HubCall::Call { .. }
            | HubCall::Answer { .. } => return None,
        })
    }

    fn append(&mut self, publish: &Publish, author: &Author) -> Published {
        let log = self.logs.entry(publish.channel.clone()).or_default();
        log.head += 1;
        let id: Arc<str> = publish.id.clone().unwrap_or_else(|| format!("{}", log.head).into());
        let message = Message {
            channel: publish.channel.clone(),
            epoch: self.epoch,
            offset: log.head,
            event: publish.event.clone(),
            data: publish.data.clone(),
            id: id.clone(),
            time: 0,
            key: publish.key.clone(),
            user: author.user.clone(),
            client: author.client,
            origin: author.client,
            tags: publish.tags.clone(),
        };
        log.messages.push_back(Arc::new(message));
        Published { position: Some(Position { epoch: self.epoch, offset: log.head }), id, duplicate: false }
    }

    fn history(&mut self, channel: &ChannelName) -> HistoryPage {
        let messages =
            self.logs.get(channel).map_or_else(Vec::new, |log| log.messages.iter().cloned().collect());
        HistoryPage { messages, head: self.head(channel), more: false, gap: false }
    }

    fn attach(&mut self, id: ConnectionId, channel: ChannelName, options: &SubscribeOptions) -> Subscribed {
        let head = self.head(&channel);
        let floor = self.logs.get(&channel).map_or(0, Log::floor);
        let Some(connection) = self.connections.get_mut(&id) else {
            return Subscribed { head, recovered: None, replay: 0 };
        };
        let known = connection.readers.get(&channel).map(|reader| reader.cursor);
        let (mut cursor, mut gap, mut recovered) = (known.unwrap_or(head.offset), None, None);
        if let Some(since) = options.start.since {
            let same = since.epoch == head.epoch && since.offset <= head.offset;
            recovered = Some(same && since.offset >= floor);
            cursor = if recovered == Some(true) { since.offset } else { floor };
            if recovered == Some(false) {
                let reason = if same { GapReason::Expired } else { GapReason::Epoch };
                let after = Position { epoch: self.epoch, offset: floor };
                gap = Some(Gap { channel: channel.clone(), after, reason });
            }
        } else if let Some(last) = options.start.last {
            cursor = head.offset.saturating_sub(last).max(floor);
        }
        let replay = head.offset - cursor.min(head.offset);
        connection.readers.insert(channel, Reader { cursor, gap, open: false });
        // A seek from where it is owes what it had not handed over yet, which is not of the past.
        let replay = if options.start.since.is_none() && options.start.last.is_none() { 0 } else { replay };
        Subscribed { head, recovered, replay }
    }

    /// One of the answers that wait, and for whom.
    pub fn answer(&mut self, random: &mut Random) -> Option<(ConnectionId, HubEvent)> {
        let waiting: Vec<_> =
            self.connections.iter().filter(|(_, c)| !c.answers.is_empty()).map(|(id, _)| *id).collect();
        let id = *random.pick(&waiting)?;
        let answers = &mut self.connections.get_mut(&id)?.answers;
        let at = random.index(answers.len());
        // What is said of readers keeps its order.
        let about_reader = |event: &HubEvent| matches!(event, HubEvent::Subscribed(..) | HubEvent::Ended(..));
        let at = if answers.get(at).is_some_and(about_reader) {
            answers.iter().position(about_reader).unwrap_or(at)
        } else {
            at
        };
        Some((id, answers.remove(at)))
    }

    /// What one reader of a connection is handed next: at most so many frames.
    pub fn read(&mut self, id: ConnectionId, random: &mut Random, most: usize) -> Vec<Event> {
        let Some(connection) = self.connections.get_mut(&id) else { return Vec::new() };
        let logs = &self.logs;
        let ready = |channel: &ChannelName, reader: &Reader| {
            reader.open
                && (reader.gap.is_some() || logs.get(channel).is_some_and(|log| log.head > reader.cursor))
        };
        let mut readers: Vec<_> =
            connection.readers.iter_mut().filter(|(channel, reader)| ready(channel, reader)).collect();
        let at = random.index(readers.len());
        let Some((channel, reader)) = readers.get_mut(at) else { return Vec::new() };
        let mut frames: Vec<Event> = reader.gap.take().map(Event::Gap).into_iter().collect();
        let Some(log) = logs.get(*channel) else { return frames };
        if reader.cursor < log.floor() {
            let after = Position { epoch: self.epoch, offset: log.floor() };
            frames.push(Event::Gap(Gap { channel: channel.clone(), after, reason: GapReason::Slow }));
            reader.cursor = log.floor();
        }
        let from = (reader.cursor - log.floor()) as usize;
        for message in log.messages.iter().skip(from).take(most) {
            reader.cursor = message.offset;
            frames.push(Event::Message(message.clone()));
        }
        frames
    }

    /// Retention: every log keeps at most so many messages.
    pub fn trim(&mut self, keep: usize) {
        for log in self.logs.values_mut() {
            while log.messages.len() > keep {
                log.messages.pop_front();
            }
        }
    }

    /// Ends some subscription, as an operator would.
    pub fn end_one(&mut self, random: &mut Random) {
        let all: Vec<_> = self
            .connections
            .iter()
            .flat_map(|(id, connection)| connection.readers.keys().map(|channel| (*id, channel.clone())))
            .collect();
        let Some((id, channel)) = random.pick(&all).cloned() else { return };
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.readers.remove(&channel);
            connection.answers.push(HubEvent::Ended(channel, Code::Revoked));
        }
    }

    /// Where a channel stands.
    pub fn head(&self, channel: &ChannelName) -> Position {
        Position { epoch: self.epoch, offset: self.logs.get(channel).map_or(0, |log| log.head) }
    }

    /// What a channel holds.
    pub fn messages(&self, channel: &ChannelName) -> Vec<Arc<Message>> {
        self.logs.get(channel).map_or_else(Vec::new, |log| log.messages.iter().cloned().collect())
    }

    /// Who is a member of a channel, by connection.
    pub fn is_member(&self, id: ConnectionId, channel: &ChannelName) -> bool {
        self.connections.get(&id).is_some_and(|connection| connection.members.contains(channel))
    }

    /// The channels that a connection reads.
    pub fn reads(&self, id: ConnectionId) -> Vec<ChannelName> {
        self.connections.get(&id).map_or_else(Vec::new, |c| c.readers.keys().cloned().collect())
    }
}

fn answered(call: &HubCall, answers: &[HubEvent]) -> bool {
    let HubCall::Subscribe { ticket, .. } = call else { return false };
    answers.iter().any(|answer| matches!(answer, HubEvent::Subscribed(of, _) if of == ticket))
}
