//! Reads of one channel: bounds, ranges, pages, the newest per key. They read files; no lock is held while they do.
use std::sync::Arc;

use fanfare_broker::{Bound, Bounds, Keyed, KeyedSlice, Lost, Read, ReadBack, Slice};
use fanfare_protocol::{Code, Message, Position, Problem, event::GapReason};
use parking_lot::MutexGuard;

use crate::{
    channels::Channel,
    fetch::Fetcher,
    keys::{self, KeyIndex},
    log::{Context, Log},
    shared::Shared,
    window::Window,
};

/// Stretches looked up at once.
const STRETCHES: usize = 16;

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
    pub fn bounds(&mut self) -> Result<Bounds, Problem> {
        let cx = self.shared.context(&self.channel.name);
        self.ready(&cx).map(|(_, bounds)| bounds)
    }

    /// The event of the message at an offset, if it can be read.
    pub fn event(&mut self, offset: u64) -> Option<fanfare_protocol::EventName> {
        let stretches = self.channel.log.lock().runs.stretches(offset, offset, 1);
        let mut event = None;
        let take = |body: &crate::record::MessageBody<'_>| {
            event = Some(body.event());
            true
        };
        self.fetcher.each(stretches.first()?, take).ok()?;
        event
    }

    pub fn read(&mut self, read: &Read) -> Result<Result<Slice, Lost>, Problem> {
        let bounds = self.bounds()?;
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
        match self.range(&bounds, offset + 1, bounds.head, &mut page)? {
            true => Ok(Ok(Slice { messages: page.messages, bounds })),
            // Retention overtook the read.
            false => Ok(Err(Lost { reason: GapReason::Expired, bounds: self.bounds()? })),
        }
    }

    pub fn read_back(&mut self, read: &ReadBack) -> Result<Slice, Problem> {
        let bounds = self.bounds()?;
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
            if !self.range(&bounds, from, before - 1, &mut some)? {
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

    pub fn read_keyed(&mut self, read: &Keyed) -> Result<KeyedSlice, Problem> {
        let cx = self.shared.context(&self.channel.name);
        let (log, bounds) = self.ready(&cx)?;
        let Some(keys) = &log.keys else {
            return Ok(KeyedSlice { messages: Vec::new(), next: read.until, bounds });
        };
        let most = read.limit.clamp(1, 4096);
        let told = keys
            .range(read.after, read.until.min(bounds.head))
            .filter(|(offset, tombstone)| !tombstone || *offset > read.tombstones_after);
        let mut offsets: Vec<u64> = told.map(|(offset, _)| offset).take(most.saturating_add(1)).collect();
        let mut more = offsets.len() > most;
        offsets.truncate(most);
        let stretches: Vec<_> =
            offsets.iter().flat_map(|offset| log.runs.stretches(*offset, *offset, 1)).collect();
        let epoch = log.epoch;
        drop(log);
        let mut page = Page::new(usize::MAX, read.bytes);
        for stretch in &stretches {
            let push = |body: &crate::record::MessageBody<'_>| {
                page.push(Arc::new(body.message(&self.channel.name, epoch)))
            };
            if !self.fetcher.each(stretch, push)? {
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
    fn range(
        &mut self,
        bounds: &Bounds,
        mut from: u64,
        until: u64,
        page: &mut Page,
    ) -> Result<bool, Problem> {
        while from <= until && !page.full {
            let log = self.channel.log.lock();
            let gone = log.closed || log.epoch != bounds.epoch || log.first > from;
            let stretches = log.runs.stretches(from, until, STRETCHES);
            drop(log);
            if gone {
                return Ok(false);
            }
            for stretch in &stretches {
                let mut whole = true;
                let more = self.fetcher.each(stretch, |body| {
                    whole &= body.offset == from;
                    from = body.offset + 1;
                    whole && page.push(Arc::new(body.message(&self.channel.name, bounds.epoch)))
                })?;
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
    fn ready(&mut self, cx: &Context) -> Result<(MutexGuard<'a, Log>, Bounds), Problem> {
        let mut tries = 0;
        loop {
            let mut log = self.channel.log.lock();
            log.used = true;
            follow(&mut log, cx)?;
            if log.window.is_some() {
                let bounds = bounds(&mut log, cx);
                return Ok((log, bounds));
            }
            let (head, from) = (log.head, log.first.max((log.head + 1).saturating_sub(cx.policy.size)));
            // Mostly it is looked up without the lock; where writers are always faster, with it.
            let window = if tries < 3 {
                let bounds = Bounds { epoch: log.epoch, ..nothing(log.epoch) };
                drop(log);
                let window = self.window(&bounds, from, head)?;
                log = self.channel.log.lock();
                window
            } else {
                scan(&mut self.fetcher, &log, from, head)?
            };
            tries += 1;
            if log.head == head && window.is_some() {
                log.window = window;
            }
        }
    }

    /// Ages and sizes of `[from, head]`; none when they went away meanwhile.
    fn window(&mut self, bounds: &Bounds, mut from: u64, head: u64) -> Result<Option<Box<Window>>, Problem> {
        let mut window = Box::new(Window::default());
        while from <= head {
            let log = self.channel.log.lock();
            if log.epoch != bounds.epoch || log.first > from {
                return Ok(None);
            }
            let stretches = log.runs.stretches(from, head, STRETCHES);
            drop(log);
            for stretch in &stretches {
                self.fetcher.each(stretch, |body| {
                    window.push(body.time, body.weight);
                    true
                })?;
                from = stretch.next();
            }
            if stretches.is_empty() {
                return Err(missing(self.channel, from));
            }
        }
        Ok(Some(window))
    }
}

fn scan(fetcher: &mut Fetcher, log: &Log, from: u64, head: u64) -> Result<Option<Box<Window>>, Problem> {
    let mut window = Box::new(Window::default());
    for stretch in log.runs.stretches(from, head, usize::MAX) {
        fetcher.each(&stretch, |body| {
            window.push(body.time, body.weight);
            true
        })?;
    }
    Ok(Some(window))
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
                fetcher.each(&stretch, |body| {
                    if let Some(key) = body.key {
                        let (offset, time, tombstone) = (body.offset, body.time, body.is_tombstone());
                        keys.insert(&keys::Keyed { key, offset, time, tombstone, expires_ms: None });
                    }
                    true
                })?;
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
    let oldest = log.head + 1 - retained;
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
