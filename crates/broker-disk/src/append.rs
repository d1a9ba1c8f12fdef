//! Giving messages their place and queueing them.
use std::{
    hash::{BuildHasher, RandomState},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    task::Poll,
};

use fanfare_broker::{Append, Appending};
use fanfare_protocol::{Ack, Code, Epoch, EventName, Position, Problem, event::Published};

use crate::{
    answer::{Awaited, answer},
    channels::Channel,
    draft::Draft,
    limit::make_place,
    log::{Context, Log, conflict},
    queue::{Entry, Pending, Ticket, What},
    reads::{Reading, follow},
    shared::Shared,
};

/// Ids for messages whose publishers gave none: unique among processes and among directories.
pub(crate) struct ServerIds {
    prefix: Epoch,
    next: AtomicU64,
}

impl ServerIds {
    pub fn new() -> Self {
        Self { prefix: Epoch::from_random(RandomState::new().hash_one(0)), next: AtomicU64::new(0) }
    }

    pub fn next(&self) -> Arc<str> {
        format!("{}-{:x}", self.prefix, self.next.fetch_add(1, Relaxed)).into()
    }
}

type Outcome = Option<Result<Published, Problem>>;

enum Queued {
    Now(Result<Published, Problem>),
    Later(Awaited<Result<Published, Problem>>, Ticket),
}

/// Tells the writer that something waits; at the latest when it is dropped.
struct Nudge(Arc<Shared>, Ticket);

impl Drop for Nudge {
    fn drop(&mut self) {
        self.0.queue.tell(self.1);
    }
}

/// Returns behind the work that is ready, in any executor: so that publications that came together are one commit.
async fn behind_what_is_ready() {
    let mut first = true;
    std::future::poll_fn(|cx| {
        if std::mem::take(&mut first) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(())
    })
    .await;
}

/// Queues a message. The writer hears of it behind the work that is ready, once the answer is waited for or given up; an answer that is kept
/// and not waited for is heard of at the next tick.
pub(crate) fn append(shared: &Arc<Shared>, ids: &ServerIds, append: Append) -> Appending {
    shared.see(append.unix_ms);
    let policy = shared.policies.policy(&append.publish.channel);
    let (ephemeral, ack) = (append.publish.ephemeral, append.publish.ack.unwrap_or(policy.ack));
    let draft = Draft::new(append, || ids.next());
    if ephemeral {
        return Appending::ready(Ok(pass_on(shared, draft)));
    }
    match queue(shared, draft, &shared.context_of(policy), ack) {
        Queued::Now(result) => Appending::ready(result),
        Queued::Later(awaited, ticket) => {
            let nudge = Nudge(shared.clone(), ticket);
            Appending::Pending(Box::pin(async move {
                behind_what_is_ready().await;
                drop(nudge);
                over(awaited.await)
            }))
        }
    }
}

fn over(outcome: Outcome) -> Result<Published, Problem> {
    outcome.unwrap_or_else(|| Err(Problem::new(Code::Draining, "the server is stopping")))
}

fn queue(shared: &Shared, draft: Draft, cx: &Context, ack: Ack) -> Queued {
    loop {
        let name = &draft.message.channel;
        let is_written = || shared.channels.find(name).is_some_and(|found| found.log.lock().assigned > 0);
        if shared.channels.written() >= shared.settings.channels_limit
            && !is_written()
            && let Err(problem) = make_place(shared)
        {
            return Queued::Now(Err(problem));
        }
        let channel = shared.channels.find_or_make(name);
        let mut log = channel.log.lock();
        if log.closed {
            continue;
        }
        let (queued, assigned) = queue_in(shared, &channel, &mut log, draft, cx, ack);
        let unsettled = assigned && log.assigned == 0;
        let empty = log.assigned == 0;
        drop(log);
        if unsettled || empty {
            shared.channels.settle(&channel);
        }
        return queued;
    }
}

fn queue_in(
    shared: &Shared,
    channel: &Arc<Channel>,
    log: &mut Log,
    draft: Draft,
    cx: &Context,
    ack: Ack,
) -> (Queued, bool) {
    let refused = |problem| (Queued::Now(Err(problem)), false);
    if let Err(problem) = follow(log, cx) {
        return refused(problem);
    }
    if draft.remembered
        && let Some(offset) = log.seen(&draft.message.id, cx)
    {
        return (duplicate(shared, channel, log, draft, cx, offset, ack), false);
    }
    let head = log.assigned_position();
    if draft.condition.is_some_and(|condition| condition != head) {
        return refused(conflict(head));
    }
    let first = log.assigned == 0;
    if log.number == 0 {
        log.number = shared.channels.next_number();
    }
    let remembered = draft.remembered;
    let position = Position { epoch: log.epoch, offset: log.assigned + 1 };
    let entry = draft.place(log.epoch, position.offset, cx.policy.ack == Ack::Memory);
    let message = entry.message.clone();
    let published = Published { position: Some(position), id: message.id.clone(), duplicate: false };
    let (pending, awaited) = pending(channel, What::Message(Box::new(entry)), published, ack);
    let ticket = match shared.queue.push_quietly(pending) {
        Ok(ticket) => ticket,
        Err(problem) => {
            if first {
                log.number = 0;
            }
            return refused(problem);
        }
    };
    log.assign(&message, remembered, cx);
    if first {
        shared.channels.count(true);
    }
    (Queued::Later(awaited, ticket), true)
}

fn pending(
    channel: &Arc<Channel>,
    what: What,
    published: Published,
    ack: Ack,
) -> (Pending, Awaited<Result<Published, Problem>>) {
    let (reply, awaited) = answer();
    let pending = Pending {
        channel: Some(channel.clone()),
        what,
        answer_at_sync: ack == Ack::Stored,
        reply: Some((reply, published)),
        synced: None,
    };
    (pending, awaited)
}

/// A repeat is answered when the first one is, or at once where that is over.
fn duplicate(
    shared: &Shared,
    channel: &Arc<Channel>,
    log: &Log,
    draft: Draft,
    cx: &Context,
    offset: u64,
    ack: Ack,
) -> Queued {
    let position = Some(Position { epoch: log.epoch, offset });
    let published = Published { position, id: draft.message.id, duplicate: true };
    let stored = cx.policy.ack == Ack::Stored;
    if (offset <= log.head && (stored || ack == Ack::Memory))
        || (stored && ack == Ack::Memory && offset <= log.written)
    {
        return Queued::Now(Ok(published));
    }
    let (pending, awaited) = pending(channel, What::Fence, published, ack);
    match shared.queue.push_quietly(pending) {
        Ok(ticket) => Queued::Later(awaited, ticket),
        Err(problem) => Queued::Now(Err(problem)),
    }
}

/// An ephemeral message: to readers at the head; it makes no channel and waits for nothing.
fn pass_on(shared: &Shared, draft: Draft) -> Published {
    let published = Published { position: None, id: draft.message.id.clone(), duplicate: false };
    while let Some(channel) = shared.channels.find(&draft.message.channel) {
        let log = channel.log.lock();
        if !log.closed {
            let mut message = draft.message;
            message.epoch = log.epoch;
            shared.deliver(&channel, &log, &[Arc::new(message)]);
            break;
        }
    }
    published
}

/// Ends keys whose time is over, and sets the channel's timer anew.
pub(crate) fn maintain(shared: &Shared, ids: &ServerIds, channel: &Arc<Channel>) {
    let cx = shared.context(&channel.name);
    let mut log = channel.log.lock();
    log.armed_ms = u64::MAX;
    if log.closed {
        return;
    }
    log.forget_ids(&cx);
    let mut ended = Vec::new();
    if follow(&mut log, &cx).is_ok()
        && let Some(keys) = &mut log.keys
    {
        ended = keys.ended(cx.now_ms, 1024);
    }
    drop(log);
    // The event of the message that is ended is on disk.
    let mut reading = Reading::new(shared, channel);
    let events: Vec<_> = ended.iter().map(|(_, offset)| reading.event(*offset)).collect();
    let mut log = channel.log.lock();
    for ((key, _), event) in ended.iter().zip(events) {
        end_key(shared, ids, channel, &mut log, &cx, key, event);
    }
    // What a reload makes due at once, or is due and pending, is looked at on the next tick and never again within this one.
    let due_ms = log.due_ms(&cx);
    if due_ms != u64::MAX {
        shared.channels.arm(channel, &mut log, due_ms.max(cx.now_ms + 1));
    }
}

fn end_key(
    shared: &Shared,
    ids: &ServerIds,
    channel: &Arc<Channel>,
    log: &mut Log,
    cx: &Context,
    key: &Arc<str>,
    event: Option<EventName>,
) {
    // Set again while its message was looked up: the new one has a time of its own.
    if !log.keys.as_ref().is_some_and(|keys| keys.is_ending(key)) {
        return;
    }
    let draft =
        Draft::tombstone(&channel.name, event.unwrap_or_default(), key.clone(), ids.next(), cx.now_ms);
    let entry: Entry = draft.place(log.epoch, log.assigned + 1, cx.policy.ack == Ack::Memory);
    let message = entry.message.clone();
    let what = What::Message(Box::new(entry));
    let pending =
        Pending { channel: Some(channel.clone()), what, answer_at_sync: false, reply: None, synced: None };
    match shared.queue.push(pending) {
        Ok(()) => log.assign(&message, false, cx),
        Err(_) => {
            if let Some(keys) = &mut log.keys {
                keys.not_ended(key);
            }
        }
    }
}
