//! Reads of one channel: bounds, ranges, pages, the newest per key. They read files; no lock is held while they do.
use std::sync::Arc;

use fanfare_broker::{Bound, Bounds, Keyed, KeyedSlice, Lost, Read, ReadBack, Slice};
use fanfare_protocol::{Code, Epoch, Message, Position, Problem, event::GapReason};

use crate::{
    channels::Channel,
    fetch::{Fetcher, at_once},
    keys::{self, KeyIndex},
    log::{Context, Log},
    record::MessageBody,
    run::Stretch,
    shared::Shared,
    window::Window,
};

/// Stretches looked up at once: about a page of 64 KB.
const STRETCHES: usize = 4;
/// Messages that may be looked up under a log's lock.
const FEW: u64 = 64;
/// No message weighs less: so many bytes are at most so many messages.
const LIGHTEST: usize = 64;

/// A channel taken out of the map while it was being read stands at nought in the store's epoch.
pub(crate) fn nothing(epoch: fanfare_protocol::Epoch) -> Bounds {
    Bounds { epoch, oldest: 1, held: 1, head: 0, newest_ms: 0, tombstones_after: 0 }
}

/// Answers a read of a channel that has no log.
pub(crate) fn read_nothing(bounds: Bounds, after: Position) -> Result<Slice, Lost> {
    if after == bounds.head_position() {
        Ok(Slice { messages: Vec::new(), bounds })
    } else {
        Err(Lost { reason: GapReason::Epoch, bounds })
    }
}

/// One channel being read.
pub(crate) struct Reading<'a> {
    shared: &'a Shared,
    channel: &'a Arc<Channel>,
    fetcher: Fetcher,
}

impl<'a> Reading<'a> {
    pub fn new(shared: &'a Shared, channel: &'a Arc<Channel>) -> Self {
        Self { shared, channel, fetcher: Fetcher::default() }
    }

    /// The log's bounds.
    pub async fn bounds(&mut self) -> Result<Bounds, Problem> {
        let cx = self.shared.context(&self.channel.name);
        self.ready(&cx, |_, bounds| bounds).await
    }

    /// The event of the message at an offset, if it can be read.
    pub fn event(&mut self, offset: u64) -> Option<fanfare_protocol::EventName> {
        let stretches = self.channel.log.lock().runs.stretches(offset, offset, 1);
        let mut event = None;
        let take = |body: &MessageBody<'_>| {
            event = Some(body.event());
            true
        };
        at_once(self.fetcher.each(stretches.first()?, take)).ok()?;
        event
    }

    pub async fn read(&mut self, read: &Read) -> Result<Result<Slice, Lost>, Problem> {
        let bounds = self.bounds().await?;
        let Position { epoch, offset } = read.after;
        if epoch != bounds.epoch || offset > bounds.head {
            return Ok(Err(Lost { reason: GapReason::Epoch, bounds }));
        }
        let reach = match read.bound {
            Bound::Retained => bounds.oldest,
            Bound::Held => bounds.held,
        };
        if offset + 1 < reach {
            return Ok(Err(Lost { reason: GapReason::Expired, bounds }));
        }
        let mut page = Page::new(read.limit, read.bytes);
        match self.range(&bounds, offset + 1, bounds.head, &mut page).await? {
            true => Ok(Ok(Slice { messages: page.messages, bounds })),
            // Retention overtook the read.
            false => Ok(Err(Lost { reason: GapReason::Expired, bounds: self.bounds().await? })),
        }
    }

    pub async fn read_back(&mut self, read: &ReadBack) -> Result<Slice, Problem> {
        let bounds = self.bounds().await?;
        let mut before = match read.before {
            Some(position) if position.epoch == bounds.epoch && position.offset <= bounds.head => {
                position.offset
            }
            _ => bounds.head + 1,
        };
        let mut page = Page::new(read.limit, read.bytes);
        while before > bounds.oldest && !page.full {
            let from = before.saturating_sub(64).max(bounds.oldest);
            let mut some = Page::new(usize::MAX, usize::MAX);
            if !self.range(&bounds, from, before - 1, &mut some).await? {
                break;
            }
            for message in some.messages.into_iter().rev() {
                if !page.push(message) {
                    break;
                }
            }
            before = from;
        }
        Ok(Slice { messages: page.messages, bounds })
    }

    pub async fn read_keyed(&mut self, read: &Keyed) -> Result<KeyedSlice, Problem> {
        let cx = self.shared.context(&self.channel.name);
        let most = read.limit.clamp(1, 4096).min(read.bytes / LIGHTEST + 1);
        let found = self.ready(&cx, |log, bounds| (newest(log, &bounds, read, most), bounds)).await?;
        let ((groups, mut more), bounds) = found;
        let epoch = bounds.epoch;
        let mut page = Page::new(usize::MAX, read.bytes);
        for (stretch, offsets) in &groups {
            let push = |body: &MessageBody<'_>| {
                let is_asked = offsets.binary_search(&body.offset).is_ok();
                !is_asked || page.push(Arc::new(body.message(&self.channel.name, epoch)))
            };
            if !self.fetcher.each(stretch, push).await? {
                more = true;
                break;
            }
        }
        let next = match page.messages.last() {
            Some(last) if more => last.offset,
            _ => read.until,
        };
        Ok(KeyedSlice { messages: page.messages, next, bounds })
    }

    /// Messages of `[from, until]`, until the page is full. False when they are not there any more.
    async fn range(
        &mut self,
        bounds: &Bounds,
        mut from: u64,
        until: u64,
        page: &mut Page,
    ) -> Result<bool, Problem> {
        while from <= until && !page.full {
            let Some(stretches) = self.stretches(bounds.epoch, from, until) else { return Ok(false) };
            for stretch in &stretches {
                if page.ends_before(stretch.next() - stretch.from) {
                    page.full = true;
                    break;
                }
                let mut whole = true;
                let take = |body: &MessageBody<'_>| {
                    whole &= body.offset == from;
                    from = body.offset + 1;
                    whole && page.push(Arc::new(body.message(&self.channel.name, bounds.epoch)))
                };
                let more = self.fetcher.each(stretch, take).await?;
                if !whole || (more && from != stretch.next()) {
                    return Err(missing(self.channel, from));
                }
                if !more {
                    break;
                }
            }
            if stretches.is_empty() {
                return Err(missing(self.channel, from));
            }
        }
        Ok(true)
    }

    /// The log with everything in memory that a read asks of it, and its bounds.
    ///
    /// What is looked up for it is looked up without the lock, so that appends go on meanwhile; only the last few messages, which
    /// have just been written, are looked up with it.
    async fn ready<T>(
        &mut self,
        cx: &Context,
        mut f: impl FnMut(&mut Log, Bounds) -> T,
    ) -> Result<T, Problem> {
        let mut ahead = Ahead::default();
        loop {
            if let Some(value) = self.attempt(cx, &mut ahead, &mut f)? {
                return Ok(value);
            }
            let Ahead { epoch, from, head, ref mut window } = ahead;
            if !self.look_up(epoch, from, head, window).await? {
                ahead = Ahead::default();
            }
        }
    }

    /// Calls `f` if everything is in memory, or says what is to be looked up.
    fn attempt<T>(
        &mut self,
        cx: &Context,
        ahead: &mut Ahead,
        f: &mut impl FnMut(&mut Log, Bounds) -> T,
    ) -> Result<Option<T>, Problem> {
        let mut log = self.channel.log.lock();
        log.used = true;
        follow(&mut log, cx)?;
        if log.window.is_none() {
            let head = log.head;
            let oldest = log.first.max((head + 1).saturating_sub(cx.policy.size));
            if ahead.epoch != log.epoch || ahead.head + 1 < oldest {
                *ahead = Ahead { epoch: log.epoch, from: oldest, head: oldest - 1, ..Ahead::default() };
            }
            (ahead.from, ahead.head) = (ahead.head + 1, head);
            if head + 1 - ahead.from.min(head + 1) > FEW {
                return Ok(None);
            }
            for stretch in log.runs.stretches(ahead.from, head, usize::MAX) {
                let push = |body: &MessageBody<'_>| {
                    ahead.window.push(body.time, body.weight);
                    true
                };
                at_once(self.fetcher.each(&stretch, push))?;
            }
            log.window = Some(std::mem::take(&mut ahead.window));
        }
        let bounds = bounds(&mut log, cx);
        Ok(Some(f(&mut log, bounds)))
    }

    /// Some of the stretches of `[from, until]`; none when retention has overtaken the read.
    fn stretches(&self, epoch: Epoch, from: u64, until: u64) -> Option<Vec<Stretch>> {
        let log = self.channel.log.lock();
        let gone = log.closed || log.epoch != epoch || log.first > from;
        (!gone).then(|| log.runs.stretches(from, until, STRETCHES))
    }

    /// Adds ages and sizes of `[from, head]` to a window; false when they went away meanwhile.
    async fn look_up(
        &mut self,
        epoch: Epoch,
        mut from: u64,
        head: u64,
        window: &mut Window,
    ) -> Result<bool, Problem> {
        while from <= head {
            let Some(stretches) = self.stretches(epoch, from, head) else { return Ok(false) };
            for stretch in &stretches {
                let push = |body: &MessageBody<'_>| {
                    window.push(body.time, body.weight);
                    true
                };
                self.fetcher.each(stretch, push).await?;
                from = stretch.next();
            }
            if stretches.is_empty() {
                return Err(missing(self.channel, from));
            }
        }
        Ok(true)
    }
}

/// Where the newest per key lie that a read asks for, at most so many, and whether there are more.
fn newest(log: &Log, bounds: &Bounds, read: &Keyed, most: usize) -> (Vec<(Stretch, Vec<u64>)>, bool) {
    let Some(keys) = &log.keys else { return (Vec::new(), false) };
    let told = keys
        .range(read.after, read.until.min(bounds.head))
        .filter(|(offset, tombstone)| !tombstone || *offset > read.tombstones_after);
    let mut offsets: Vec<u64> = told.map(|(offset, _)| offset).take(most.saturating_add(1)).collect();
    let more = offsets.len() > most;
    offsets.truncate(most);
    // Those that lie on one way back are found by going it once.
    let mut groups: Vec<(Stretch, Vec<u64>)> = Vec::new();
    for offset in offsets {
        let Some(stretch) = log.runs.stretches(offset, offset, 1).pop() else { continue };
        match groups.last_mut() {
            Some((last, asked)) if last.is_on_the_way_of(&stretch) => {
                last.until = offset;
                asked.push(offset);
            }
            _ => groups.push((stretch, vec![offset])),
        }
    }
    (groups, more)
}

/// What is looked up of a log's window while appends go on.
struct Ahead {
    epoch: Epoch,
    /// What is to be looked up next, to the head that was seen last.
    from: u64,
    head: u64,
    window: Box<Window>,
}

impl Default for Ahead {
    fn default() -> Self {
        Self { epoch: Epoch::NONE, from: 1, head: 0, window: Box::default() }
    }
}

/// Brings the key index in line with the policy, which a reload may have changed, and drops tombstones that are due.
pub(crate) fn follow(log: &mut Log, cx: &Context) -> Result<(), Problem> {
    match (&mut log.keys, cx.policy.keyed) {
        (Some(keys), true) => keys.expire_tombstones(cx.now_ms, cx.policy.ttl_ms),
        (None, false) => {}
        (Some(_), false) => log.keys = None,
        (None, true) => {
            // What was published before the channel became keyed is known as far as the log reaches.
            let mut keys = KeyIndex::new(log.first - 1);
            let mut fetcher = Fetcher::default();
            for stretch in log.runs.stretches(log.first, log.head, usize::MAX) {
                let insert = |body: &MessageBody<'_>| {
                    if let Some(key) = body.key {
                        let (offset, time, tombstone) = (body.offset, body.time, body.is_tombstone());
                        keys.insert(&keys::Keyed { key, offset, time, tombstone, expires_ms: None });
                    }
                    true
                };
                at_once(fetcher.each(&stretch, insert))?;
            }
            keys.expire_tombstones(cx.now_ms, cx.policy.ttl_ms);
            log.keys = Some(Box::new(keys));
        }
    }
    Ok(())
}

/// The bounds of a log whose window is known.
fn bounds(log: &mut Log, cx: &Context) -> Bounds {
    let retained = log.window.as_mut().map_or(0, |window| window.settle(&cx.policy, cx.now_ms));
    let oldest = (log.head + 1 - retained).max(log.first);
    Bounds {
        epoch: log.epoch,
        oldest,
        held: log.held(&cx.policy).min(oldest),
        head: log.head,
        newest_ms: log.newest_ms,
        tombstones_after: log.keys.as_ref().map_or(log.head, |keys| keys.tombstones_after()),
    }
}

/// The bounds, if they are known without reading.
pub(crate) fn known_bounds(log: &mut Log, cx: &Context) -> Option<Bounds> {
    let settled = log.keys.is_some() == cx.policy.keyed;
    if !settled || log.window.is_none() {
        return None;
    }
    log.used = true;
    follow(log, cx).ok()?;
    Some(bounds(log, cx))
}

fn missing(channel: &Channel, offset: u64) -> Problem {
    tracing::error!(channel = %channel.name, offset, "a message that must be there is missing");
    Problem::new(Code::Internal, "a part of this channel's log is missing")
        .remedy("look at the server's log for the place, and restore the data directory from a backup")
}

/// Messages up to a limit and about so many bytes; one at least where there is one.
struct Page {
    messages: Vec<Arc<Message>>,
    weight: usize,
    limit: usize,
    bytes: usize,
    full: bool,
}

impl Page {
    fn new(limit: usize, bytes: usize) -> Self {
        Self { messages: Vec::new(), weight: 0, limit: limit.max(1), bytes, full: false }
    }

    /// Whether to stop before so many more messages, of which the last will not fit: what is found by going back from the last of a stretch is
    /// found for nothing if it does not. Only a page that is half full stops short.
    fn ends_before(&self, more: u64) -> bool {
        let each = self.weight / self.messages.len().max(1);
        let room = self.bytes.saturating_sub(self.weight);
        self.weight > self.bytes / 2 && each.saturating_mul(more as usize) > room.saturating_add(each)
    }

    /// Takes a message if it fits; false when it did not.
    fn push(&mut self, message: Arc<Message>) -> bool {
        self.weight = self.weight.saturating_add(message.weight());
        let fits =
            self.messages.is_empty() || (self.messages.len() < self.limit && self.weight <= self.bytes);
        if fits {
            self.messages.push(message);
        }
        self.full |= !fits;
        fits
    }
}
