//! A client: its connection's driver as a transport drives it, and its reading of the other end.
use std::{
    collections::HashMap,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use fanfare_hub::{Begun, Connection, Fetch, Fetched, Hub, Notice, Pumped, Socket, TURN_WRITES};
use fanfare_protocol::{ChannelName, ClientId, Cursor, Position, Problem, SubscribeOptions};

use crate::{
    subscription::{Asked, Subscription},
    support::{
        Flag,
        form::{self, Decoder, Frame},
        socket::FakeSocket,
    },
    truth::Truth,
};

enum CaughtUp {
    Fetched(Fetch, Result<Fetched, Problem>),
    Decided(Result<(), Problem>),
}

type Job<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// A subscribe under way.
struct Subscribing {
    channel: ChannelName,
    options: SubscribeOptions,
    job: Job<Result<Begun, Problem>>,
}

/// An open connection.
pub struct Link {
    hub: Arc<Hub>,
    pub connection: Arc<Connection>,
    pub socket: FakeSocket,
    pub flag: Arc<Flag>,
    subscribing: Vec<Subscribing>,
    catch_up: Option<Job<CaughtUp>>,
    pub blocked: bool,
    pub fetches: u64,
    pub slow: u64,
    answered: Vec<Asked>,
    replies: i64,
}

/// Whether the connection goes on.
#[derive(PartialEq)]
pub enum Alive {
    Yes,
    No,
}

impl Link {
    pub fn open(hub: &Arc<Hub>, id: ClientId, seed: u64, channels: Option<usize>) -> Self {
        let socket = FakeSocket::new(seed);
        let form = if channels.is_some() { form::WIDE } else { form::PLAIN };
        let connection = hub.connect(form, id, Box::new(socket.clone()));
        if let Some(channels) = channels {
            connection.carry_cursor(Cursor(vec![None; channels]));
        }
        let flag = Arc::new(Flag::default());
        flag.raise();
        Self {
            hub: hub.clone(),
            connection,
            socket,
            flag,
            subscribing: Vec::new(),
            catch_up: None,
            blocked: false,
            fetches: 0,
            slow: 0,
            answered: Vec::new(),
            replies: 0,
        }
    }

    /// What the `subscribed` frame of this number answers.
    pub fn asked(&self, number: i64) -> &Asked {
        &self.answered[number as usize]
    }

    pub fn is_runnable(&self) -> bool {
        self.flag.is_up() || (self.blocked && self.socket.is_writable())
    }

    pub fn is_subscribing(&self, channel: &ChannelName) -> bool {
        self.subscribing.iter().any(|s| s.channel == *channel)
    }

    pub fn subscribe(&mut self, channel: &ChannelName, options: SubscribeOptions, element: Option<usize>) {
        let (hub, connection) = (self.hub.clone(), self.connection.clone());
        let (name, wanted) = (channel.clone(), options.clone());
        let job = Box::pin(async move { hub.subscribe(&connection, &name, &wanted, element).await });
        self.subscribing.push(Subscribing { channel: channel.clone(), options, job });
        self.flag.raise();
    }

    pub fn unsubscribe(&mut self, channel: &ChannelName) {
        if self.hub.unsubscribe(&self.connection, channel) {
            self.connection.send(|out| form::ended(channel, out));
        }
        self.flag.raise();
    }

    pub fn reply(&mut self) {
        self.replies += 1;
        let number = self.replies;
        self.connection.send(|out| form::reply(number, out));
        self.flag.raise();
    }

    /// One turn of the driver, as a transport takes it.
    pub fn drive(&mut self) -> Alive {
        self.flag.take();
        let waker = Waker::from(self.flag.clone());
        let cx = &mut Context::from_waker(&waker);
        self.connection.register_in(cx);
        for notice in self.connection.take_notices() {
            match notice {
                Notice::Ended(channel, _) => self.connection.send(|out| form::ended(&channel, out)),
                Notice::Disconnect(_) => return Alive::No,
            }
        }
        let mut n = 0;
        while let Some(subscribing) = self.subscribing.get_mut(n) {
            match subscribing.job.as_mut().poll(cx) {
                Poll::Pending => n += 1,
                Poll::Ready(result) => {
                    let Subscribing { channel, options, .. } = self.subscribing.remove(n);
                    match result {
                        Ok(begun) => self.begin(channel, options, begun),
                        Err(_) => self.reply(),
                    }
                }
            }
        }
        self.pump(cx)
    }

    fn begin(&mut self, channel: ChannelName, options: SubscribeOptions, begun: Begun) {
        let number = self.answered.len() as i64;
        self.answered.push(Asked { channel: channel.clone(), options, begun });
        self.connection.send(|out| form::subscribed(number, out));
        self.connection.release(&channel);
    }

    fn pump(&mut self, cx: &mut Context<'_>) -> Alive {
        let socket = self.socket.clone();
        let write = &mut |bytes: &[u8]| socket.try_write(bytes);
        self.blocked = false;
        loop {
            let caught_up = match &mut self.catch_up {
                Some(job) => job.as_mut().poll(cx),
                None => Poll::Pending,
            };
            let pumped = match caught_up {
                Poll::Ready(caught_up) => {
                    self.catch_up = None;
                    match caught_up {
                        CaughtUp::Fetched(fetch, Ok(fetched)) => {
                            self.connection.fetched(0, &fetch, fetched, write)
                        }
                        CaughtUp::Fetched(_, Err(problem)) => panic!("{problem}"),
                        CaughtUp::Decided(Err(_)) => return Alive::No,
                        CaughtUp::Decided(Ok(())) => continue,
                    }
                }
                Poll::Pending => {
                    let writes = if self.catch_up.is_some() { 0 } else { TURN_WRITES };
                    self.connection.pump(0, writes, write)
                }
            };
            match pumped {
                Pumped::Idle => return Alive::Yes,
                Pumped::Again => {
                    if self.catch_up.is_none() {
                        cx.waker().wake_by_ref();
                    }
                    return Alive::Yes;
                }
                Pumped::Blocked => {
                    self.blocked = true;
                    return Alive::Yes;
                }
                Pumped::Finished | Pumped::Dead => return Alive::No,
                Pumped::Fetch(fetch) => {
                    self.fetches += 1;
                    let hub = self.hub.clone();
                    self.catch_up = Some(Box::pin(async move {
                        let fetched = hub.fetch(&fetch).await;
                        CaughtUp::Fetched(fetch, fetched)
                    }));
                }
                Pumped::Slow(slow) => {
                    self.slow += 1;
                    let (hub, connection) = (self.hub.clone(), self.connection.clone());
                    self.catch_up =
                        Some(Box::pin(
                            async move { CaughtUp::Decided(hub.fell_off(&connection, &slow).await) },
                        ));
                }
            }
        }
    }
}

/// A client over all its connections.
pub struct Client {
    pub id: ClientId,
    pub link: Option<Link>,
    decoder: Decoder,
    /// Data frames may not begin at or behind this byte.
    pub silent_from: Option<usize>,
    pub subscriptions: HashMap<ChannelName, Subscription>,
    channels: Vec<ChannelName>,
    lossless: bool,
    told: i64,
    /// A cursor frame that came last, and where it began: it belongs to the frame that follows.
    cursor: Option<(usize, Vec<Option<Position>>)>,
    pub messages: u64,
    pub subscribed: u64,
    pub recovered: u64,
    pub gaps: u64,
}

impl Client {
    pub fn new(id: ClientId, channels: &[ChannelName], lossless: bool) -> Self {
        Self {
            id,
            link: None,
            decoder: Decoder::default(),
            silent_from: None,
            subscriptions: HashMap::new(),
            channels: channels.to_vec(),
            lossless,
            told: 0,
            cursor: None,
            messages: 0,
            subscribed: 0,
            recovered: 0,
            gaps: 0,
        }
    }

    pub fn connect(&mut self, hub: &Arc<Hub>, seed: u64, wide: bool) {
        self.link = Some(Link::open(hub, self.id, seed, wide.then_some(self.channels.len())));
        (self.decoder, self.silent_from, self.told, self.cursor) = (Decoder::default(), None, 0, None);
    }

    pub fn disconnect(&mut self, truth: &Truth) {
        self.read(truth);
        let Some(link) = self.link.take() else { return };
        link.hub.disconnect(&link.connection);
        self.subscriptions.values_mut().for_each(Subscription::cut);
    }

    pub fn drive(&mut self, truth: &Truth) {
        let Some(link) = &mut self.link else { return };
        if link.drive() == Alive::No {
            self.disconnect(truth);
        }
    }

    /// Reads what has come, and judges it.
    pub fn read(&mut self, truth: &Truth) {
        let Some(link) = &self.link else { return };
        for (begins, frame) in self.decoder.feed(&link.socket.take()) {
            let wide = self.cursor.take();
            self.take(begins, frame, wide, truth);
        }
    }

    fn take(
        &mut self,
        begins: usize,
        frame: Frame,
        cursor: Option<(usize, Vec<Option<Position>>)>,
        truth: &Truth,
    ) {
        let begins = cursor.as_ref().map_or(begins, |(begins, _)| *begins);
        let cursor = cursor.map(|(_, cursor)| cursor);
        let link = self.link.as_mut().unwrap();
        let is_wide = link.connection.form == form::WIDE;
        let channels = self.channels.clone();
        let element = |channel: &ChannelName| channels.iter().position(|name| name == channel).unwrap();
        match frame {
            Frame::Cursor(cursor) => {
                assert!(is_wide, "a cursor in a form that has none");
                self.cursor = Some((begins, cursor));
            }
            Frame::Message { channel, at, origin, serial } => {
                let silent = self.silent_from.is_some_and(|from| begins >= from);
                assert!(!silent, "a message was handed over after the right to it ended");
                if is_wide && at.offset > 0 {
                    let cursor = cursor.expect("a message without its cursor");
                    assert_eq!(cursor[element(&channel)], Some(at), "the cursor is not the message's");
                }
                self.messages += 1;
                self.subscription(&channel).message(&truth[&channel], at, origin, serial);
            }
            Frame::Gap { channel, after, reason } => {
                if is_wide {
                    let cursor = cursor.expect("a gap without its cursor");
                    assert_eq!(cursor[element(&channel)], Some(after), "the cursor is not the gap's");
                }
                self.gaps += 1;
                self.subscription(&channel).gap(after, reason);
            }
            Frame::Presence { channel, action, members, more, count } => {
                self.subscription(&channel).presence(action, &members, more, count);
            }
            Frame::Subscribed(number) => {
                let asked = link.asked(number).clone();
                self.subscribed += 1;
                self.recovered += u64::from(asked.begun.recovered == Some(true));
                let conflates = matches!(asked.channel.namespace(), Some("keyed" | "conflate"));
                self.subscription(&asked.channel.clone()).subscribed(asked, conflates);
            }
            Frame::Ended(channel) => self.subscription(&channel).ended(),
            Frame::Reply(number) => {
                assert_eq!(number, self.told + 1, "replies out of order");
                self.told = number;
            }
        }
    }

    pub fn subscription(&mut self, channel: &ChannelName) -> &mut Subscription {
        let (id, lossless) = (self.id, self.lossless);
        self.subscriptions.entry(channel.clone()).or_insert_with(|| Subscription::new(id, lossless))
    }
}
