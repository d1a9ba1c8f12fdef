//! What the frames of a log say of its channels, kept by number while they are gone through.
use std::collections::HashMap;

use fanfare_protocol::{ChannelName, Epoch};

use crate::{
    frame::{Kind, REMEMBERED},
    record::{ChannelBody, MessageBody, read_renew},
    scan::Frame,
};

/// The newest message of a key.
pub(crate) struct KeyState {
    pub offset: u64,
    pub expires_ms: Option<u64>,
    pub tombstone: bool,
}

/// One channel, as far as its frames have been read.
pub(crate) struct Account {
    pub name: ChannelName,
    pub epoch: Epoch,
    pub head: u64,
    /// Every message from here on is there.
    pub first: u64,
    pub newest_ms: u64,
    pub tombstones_after: u64,
    pub messages: u64,
    /// Messages whose ids are their publishers' own.
    pub remembered: u64,
    /// Bytes of its messages' frames.
    pub bytes: u64,
    pub keys: HashMap<Box<str>, KeyState>,
}

/// Every channel of a log.
#[derive(Default)]
pub(crate) struct Accounts {
    pub by_number: HashMap<u32, Account>,
}

impl Accounts {
    /// Takes note of a frame.
    ///
    /// # Errors
    /// What is wrong with it: the same that keeps a hub from starting.
    pub fn frame(&mut self, frame: &Frame<'_>) -> Result<(), &'static str> {
        match frame.header.kind {
            Kind::Channel => {
                let body = ChannelBody::read(frame.body).ok_or("a channel's frame makes no sense")?;
                self.channel(frame.header.channel, body)
            }
            Kind::Message => self.message(frame),
            Kind::Renew => {
                let keys = read_renew(frame.body).ok_or("a frame of deadlines makes no sense")?;
                let account = self.account(frame.header.channel)?;
                for (key, expires_ms) in keys {
                    if let Some(state) = account.keys.get_mut(key)
                        && let Some(old) = state.expires_ms
                    {
                        state.expires_ms = Some(old.max(expires_ms));
                    }
                }
                Ok(())
            }
            Kind::Settled => self.account(frame.header.channel).map(|_| ()),
            Kind::Gone => {
                self.by_number.remove(&frame.header.channel);
                Ok(())
            }
            Kind::Mark | Kind::Void => Ok(()),
        }
    }

    /// Of two channels of one name the older one was dropped; only the frame that says so is missing.
    pub fn settle(&mut self) {
        let mut newest: HashMap<ChannelName, u32> = HashMap::new();
        for (number, account) in &self.by_number {
            let found = newest.entry(account.name.clone()).or_default();
            *found = (*found).max(*number);
        }
        self.by_number.retain(|number, account| newest.get(&account.name) == Some(number));
    }

    fn account(&mut self, number: u32) -> Result<&mut Account, &'static str> {
        self.by_number.get_mut(&number).ok_or("a frame of a channel that no frame describes")
    }

    fn channel(&mut self, number: u32, body: ChannelBody) -> Result<(), &'static str> {
        let known = self.by_number.get_mut(&number);
        if known.as_ref().is_some_and(|account| account.name != body.name) {
            return Err("two channels of one number");
        }
        if let Some(account) = known.filter(|account| account.epoch == body.epoch) {
            if body.head > 0 && body.head < account.head {
                return Err("a channel goes back");
            }
            if body.head > account.head {
                (account.head, account.first) = (body.head, body.head + 1);
            }
            account.newest_ms = account.newest_ms.max(body.newest_ms);
            account.tombstones_after = account.tombstones_after.max(body.tombstones_after);
            return Ok(());
        }
        let account = Account {
            name: body.name,
            epoch: body.epoch,
            head: body.head,
            first: body.head + 1,
            newest_ms: body.newest_ms,
            tombstones_after: body.tombstones_after,
            messages: 0,
            remembered: 0,
            bytes: 0,
            keys: HashMap::new(),
        };
        self.by_number.insert(number, account);
        Ok(())
    }

    fn message(&mut self, frame: &Frame<'_>) -> Result<(), &'static str> {
        let body = MessageBody::read(frame.body).ok_or("a message makes no sense")?;
        let account = self.account(frame.header.channel)?;
        if body.offset <= account.head {
            return Err("an offset goes back");
        }
        if frame.header.prev >= frame.at {
            return Err("a message does not lead back to the one before it");
        }
        if body.offset > account.head + 1 {
            account.first = body.offset;
        }
        account.head = body.offset;
        account.newest_ms = account.newest_ms.max(body.time);
        account.messages += 1;
        account.remembered += u64::from(frame.header.flags & REMEMBERED != 0);
        account.bytes += frame.header.frame_len() as u64;
        if let Some(key) = body.key {
            let tombstone = body.is_tombstone();
            let state = KeyState {
                offset: body.offset,
                expires_ms: body.expires_ms.filter(|_| !tombstone),
                tombstone,
            };
            account.keys.insert(key.into(), state);
        }
        Ok(())
    }
}
