//! The members of one channel as this node knows them: the hidden keyed channel, indexed by offset.
use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::Arc,
};

use fanfare_protocol::{
    ChannelName, ClientId, Data, Epoch, Event, Member, Message, Presence, PresenceAction, event::MembersPage,
};

use super::member;
use crate::{
    form::Form,
    page::PAGE_BYTES,
    place::Place,
    segment::{Entry, SEGMENT_BYTES, Segment},
};

/// Members a frame at most.
pub const FRAME_MEMBERS: usize = 100;
/// Departures that are remembered for readers that are behind; who is further behind is told all members again.
const DEPARTURES: usize = 10_000;

/// A member with the offsets of its first and its newest message.
struct Present {
    member: Member,
    entered: u64,
    newest: u64,
}

/// A member that left.
struct Departed {
    member: Member,
    entered: u64,
    left: u64,
}

/// Who is a member, in the order of what happened.
pub struct Roster {
    /// The channel whose members these are.
    of: ChannelName,
    members: BTreeMap<ClientId, Present>,
    by_offset: BTreeMap<u64, ClientId>,
    users: HashMap<Arc<str>, u64>,
    departed: VecDeque<Departed>,
    /// Every departure after this offset is remembered.
    floor: u64,
}

impl Roster {
    /// Nobody yet, in the channel of this name; departures up to `floor` are not known.
    pub fn new(of: ChannelName, floor: u64) -> Self {
        Self {
            of,
            members: BTreeMap::new(),
            by_offset: BTreeMap::new(),
            users: HashMap::new(),
            departed: VecDeque::new(),
            floor,
        }
    }

    /// The hidden channel lost its past: nobody is known any more.
    pub fn clear(&mut self) {
        *self = Self::new(self.of.clone(), 0);
    }

    /// Takes a message of the hidden channel: a member's newest state, or its end.
    pub fn apply(&mut self, message: &Message) {
        let Some(client) = message.key.as_deref().and_then(|key| ClientId::parse(key).ok()) else { return };
        let before = self.members.remove(&client);
        if let Some(before) = &before {
            self.by_offset.remove(&before.newest);
            self.forget_user(&before.member);
        }
        match member::decode(client, &message.data) {
            Some(now) => {
                if let Some(user) = &now.user {
                    *self.users.entry(user.clone()).or_default() += 1;
                }
                let entered = before.map_or(message.offset, |before| before.entered);
                self.by_offset.insert(message.offset, client);
                self.members.insert(client, Present { member: now, entered, newest: message.offset });
            }
            None => {
                let Some(Present { member, entered, .. }) = before else { return };
                self.departed.push_back(Departed { member, entered, left: message.offset });
                if self.departed.len() > DEPARTURES {
                    self.floor = self.departed.pop_front().map_or(self.floor, |gone| gone.left);
                }
            }
        }
    }

    fn forget_user(&mut self, member: &Member) {
        let Some(user) = &member.user else { return };
        if let Some(count) = self.users.get_mut(user) {
            *count -= 1;
            if *count == 0 {
                self.users.remove(user);
            }
        }
    }

    /// Clients that are members.
    pub fn count(&self) -> u64 {
        self.members.len() as u64
    }

    /// A member, if the client is one.
    pub fn get(&self, client: ClientId) -> Option<&Member> {
        self.members.get(&client).map(|present| &present.member)
    }

    /// A page of members, ordered by client: at most `limit`, and at most about 256 KB of what they entered with.
    pub fn page(&self, limit: usize, after: Option<ClientId>) -> MembersPage {
        use std::ops::Bound::{Excluded, Unbounded};
        let from = after.map_or(Unbounded, Excluded);
        let mut rest = self.members.range((from, Unbounded)).map(|(_, present)| &present.member).peekable();
        let (mut members, mut bytes) = (Vec::new(), 0);
        while members.len() < limit && bytes < PAGE_BYTES {
            let Some(member) = rest.next() else { break };
            bytes += member.data.len() + member.info.as_ref().map_or(0, Data::len);
            members.push(member.clone());
        }
        let next = if rest.peek().is_some() { members.last().map(|member| member.client) } else { None };
        MembersPage { members, count: self.count(), users: self.users.len() as u64, next }
    }

    /// Whether what changed after an offset is too much for one write, or not remembered any more: then all members are told anew, page by
    /// page.
    pub fn is_far(&self, after: u64) -> bool {
        after < self.floor || self.by_offset.range(after + 1..).nth(FRAME_MEMBERS).is_some()
    }

    /// What changed after an offset as one segment: a frame an action.
    pub fn segment(&self, form: Form, epoch: Epoch, after: Place, head: Place, weight: u64) -> Segment {
        let mut segment = Segment::new(epoch, after, weight);
        self.write(form, after.offset, &mut segment.bytes);
        let end = u32::try_from(segment.bytes.len()).unwrap_or(u32::MAX);
        segment.index.push(Entry { place: head, end, origin: None });
        segment.to = head;
        segment
    }

    /// Appends the frames for a reader that knows everything up to an offset.
    pub fn write(&self, form: Form, after: u64, out: &mut Vec<u8>) {
        let gone: Vec<_> = self
            .departed
            .iter()
            .filter(|d| d.left > after && d.entered <= after)
            .map(|d| d.member.clone())
            .collect();
        let (mut entered, mut updated) = (Vec::new(), Vec::new());
        for (_, client) in self.by_offset.range(after + 1..) {
            let Some(present) = self.members.get(client) else { continue };
            let list = if present.entered > after { &mut entered } else { &mut updated };
            list.push(present.member.clone());
        }
        for (action, members) in [
            (PresenceAction::Leave, gone),
            (PresenceAction::Enter, entered),
            (PresenceAction::Update, updated),
        ] {
            for chunk in members.chunks(FRAME_MEMBERS) {
                form.0.event(&self.frame(action, chunk.to_vec(), false), out);
            }
        }
    }

    /// Appends one page of all members: those after a client, at most 100 and about 64 KB. Returns where the next page begins.
    pub fn write_present(&self, form: Form, after: Option<ClientId>, out: &mut Vec<u8>) -> Option<ClientId> {
        use std::ops::Bound::{Excluded, Unbounded};
        let from = after.map_or(Unbounded, Excluded);
        let mut rest = self.members.range((from, Unbounded)).map(|(_, present)| &present.member).peekable();
        let (mut members, mut bytes) = (Vec::new(), 0);
        while members.len() < FRAME_MEMBERS && bytes < SEGMENT_BYTES {
            let Some(member) = rest.next() else { break };
            bytes += member.data.len() + member.info.as_ref().map_or(0, Data::len);
            members.push(member.clone());
        }
        let next = if rest.peek().is_some() { members.last().map(|member| member.client) } else { None };
        form.0.event(&self.frame(PresenceAction::Present, members, next.is_some()), out);
        next
    }

    fn frame(&self, action: PresenceAction, members: Vec<Member>, more: bool) -> Event {
        Event::Presence(Presence {
            channel: self.of.clone(),
            action,
            members,
            more,
            count: self.count(),
            users: self.users.len() as u64,
        })
    }
}

#[cfg(test)]
#[path = "roster_tests.rs"]
mod tests;
