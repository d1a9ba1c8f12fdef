//! Clients, sessions and a hub in one thread of control, where chance decides what happens next.
use std::{collections::VecDeque, sync::Arc};

use fanfare_protocol::{
    ChannelName, Command, Data, Event, Identity, Problem, Publish, Request, SessionId, Start,
    SubscribeOptions,
    command::{Page, Token},
};
use fanfare_session::{Action, Opening, Rules, Session, Sign};

use crate::{
    Clock, Random,
    sim_client::{Fault, SimClient},
    sim_hub::{ConnectionId, SimHub},
};

enum Frame {
    Event(Event),
    Ping,
    Close,
}

/// A session with the two directions of its transport.
struct Connection {
    id: ConnectionId,
    session: Session,
    up: VecDeque<Request>,
    down: VecDeque<Frame>,
    closing: bool,
}

struct Seat {
    client: SimClient,
    secret: SessionId,
    connection: Option<Connection>,
}

/// What happened in a run: a test asserts that it was not nothing.
#[derive(Clone, Copy, Default, Debug)]
pub struct Tally {
    /// Connections cut.
    pub cuts: u64,
    /// Commands sent.
    pub commands: u64,
    /// Frames that clients took.
    pub frames: u64,
    /// Connections that the server closed.
    pub closes: u64,
}

/// The simulated world.
pub struct World {
    /// Its clock.
    pub clock: Clock,
    /// Its chance.
    pub random: Random,
    /// Its hub.
    pub hub: SimHub,
    /// What happened.
    pub tally: Tally,
    seats: Vec<Seat>,
    channels: Vec<ChannelName>,
    rules: Arc<dyn Rules>,
    next_id: ConnectionId,
    published: u64,
    /// Frames that a transport holds before the hub must wait.
    pub pipe: usize,
}

impl World {
    /// A world of clients that know these channels.
    pub fn new(seed: u64, clients: usize, channels: Vec<ChannelName>, rules: Arc<dyn Rules>) -> Self {
        let mut random = Random::new(seed);
        let hub = SimHub::new(random.bits(), verify);
        let seats = (0..clients)
            .map(|n| Seat {
                client: SimClient::default(),
                secret: SessionId::from_random([u8::try_from(n % 250).unwrap_or(0) + 1; 16]),
                connection: None,
            })
            .collect();
        let (clock, tally) = (Clock::default(), Tally::default());
        Self { clock, random, hub, tally, seats, channels, rules, next_id: 0, published: 0, pipe: 8 }
    }

    /// Something happens.
    ///
    /// # Errors
    /// When a client saw what it must not.
    pub fn step(&mut self) -> Result<(), Fault> {
        let seat = self.random.index(self.seats.len());
        match self.random.below(100) {
            0..15 => self.speak(seat),
            15 => self.cut(seat)?,
            16 => self.hub.trim(20),
            17 => self.hub.end_one(&mut self.random),
            18..22 => self.pass_time(1500),
            _ => {
                self.move_something(seat)?;
            }
        }
        Ok(())
    }

    /// Nothing new begins, and what is under way comes to its end; clients connect and resume.
    ///
    /// # Errors
    /// When a client saw what it must not, or did not see what it must.
    pub fn settle(&mut self) -> Result<(), Fault> {
        self.hub.failing = 0;
        for _ in 0..200 {
            for seat in 0..self.seats.len() {
                self.connect(seat);
                let resumed = self.seats.get_mut(seat).map(|seat| seat.client.resume()).unwrap_or_default();
                for request in resumed {
                    self.send_up(seat, request);
                }
            }
            let mut quiet = 0;
            while quiet < 50 * self.seats.len() {
                let seat = self.random.index(self.seats.len());
                quiet = if self.move_something(seat)? { 0 } else { quiet + 1 };
            }
            if self.seats.iter().all(|seat| seat.client.finish(|channel| self.hub.head(channel)).is_ok()) {
                return self.agree();
            }
        }
        self.seats.iter().try_for_each(|seat| seat.client.finish(|channel| self.hub.head(channel)))
    }

    /// Client, session and hub agree on what is subscribed, and no session holds on to anything.
    fn agree(&self) -> Result<(), Fault> {
        for seat in &self.seats {
            let Some(connection) = &seat.connection else { continue };
            let wanted: Vec<_> = seat
                .client
                .subscriptions()
                .filter(|(_, s)| s.wanted)
                .map(|(channel, _)| channel.clone())
                .collect();
            let read = self.hub.reads(connection.id);
            let (session, open) = (connection.session.subscriptions(), connection.session.unanswered());
            if wanted != read || session != read.len() || open != 0 {
                let what = format!("client {wanted:?}, hub {read:?}, session {session}, unanswered {open}");
                return Err(Fault::Unfinished(what));
            }
        }
        Ok(())
    }

    /// The clients.
    pub fn clients(&self) -> impl Iterator<Item = &SimClient> {
        self.seats.iter().map(|seat| &seat.client)
    }

    fn connect(&mut self, seat: usize) {
        let Some(seat) = self.seats.get_mut(seat) else { return };
        if seat.connection.is_some() {
            return;
        }
        self.next_id += 1;
        self.hub.connect(self.next_id);
        let opening = Opening {
            session: seat.secret.clone(),
            client: seat.secret.client(),
            identity: Arc::new(Identity::default()),
            welcome: true,
            seed: self.random.bits(),
            version: "test",
        };
        let session = Session::new(self.clock.now(), opening, self.rules.clone());
        let mut connection = Connection {
            id: self.next_id,
            session,
            up: VecDeque::new(),
            down: VecDeque::new(),
            closing: false,
        };
        connection.up.extend(seat.client.resume());
        connection.carry_out(&mut self.hub);
        seat.connection = Some(connection);
    }

    /// A client has something to say; one that is not connected connects first.
    fn speak(&mut self, seat: usize) {
        self.connect(seat);
        let Some(channel) = self.random.pick(&self.channels).cloned() else { return };
        let position = self.seats.get(seat).and_then(|seat| seat.client.position(&channel));
        let command = match self.random.below(20) {
            0..5 => {
                let last = self.random.percent(30).then(|| self.random.below(5));
                let since = if self.random.percent(50) { position } else { None };
                let start = Start { since, last: if since.is_some() { None } else { last }, snapshot: false };
                Command::Subscribe {
                    channel,
                    options: SubscribeOptions { start, ..SubscribeOptions::default() },
                    token: None,
                }
            }
            5..7 => Command::Unsubscribe { channel },
            7 => Command::Enter { channel, data: Data::NULL, token: None },
            8 => Command::Leave { channel },
            9 => Command::History { channel, page: Page::default() },
            10 => Command::Auth { token: Token(if self.random.percent(50) { "ada" } else { "bad" }.into()) },
            11 => Command::Ping,
            _ => Command::Publish { publish: Box::new(self.message(channel)), token: None },
        };
        let Some(request) = self.seats.get_mut(seat).map(|seat| seat.client.request(command)) else { return };
        self.send_up(seat, request);
    }

    fn message(&mut self, channel: ChannelName) -> Publish {
        self.published += 1;
        Publish::new(channel, Data::Json(self.published.to_string().into()))
    }

    fn send_up(&mut self, seat: usize, request: Request) {
        self.tally.commands += 1;
        if let Some(connection) = self.seats.get_mut(seat).and_then(|seat| seat.connection.as_mut()) {
            connection.up.push_back(request);
        }
    }

    /// The network fails: the client still gets some of what was under way to it, the server some of what was under way to it.
    fn cut(&mut self, seat: usize) -> Result<(), Fault> {
        if self.seats.get(seat).is_none_or(|seat| seat.connection.is_none()) {
            return Ok(());
        }
        self.tally.cuts += 1;
        for _ in 0..self.random.below(6) {
            self.move_down(seat)?;
            self.move_up(seat);
        }
        self.drop_connection(seat);
        Ok(())
    }

    fn drop_connection(&mut self, seat: usize) {
        let Some(seat) = self.seats.get_mut(seat) else { return };
        if let Some(gone) = seat.connection.take() {
            self.hub.disconnect(gone.id);
            seat.client.cut();
        }
    }

    fn pass_time(&mut self, ms: u64) {
        self.clock.advance_ms(ms);
        let now = self.clock.now();
        for connection in self.seats.iter_mut().filter_map(|seat| seat.connection.as_mut()) {
            if connection.session.poll_timeout().is_some_and(|at| at <= now.mono) {
                connection.session.handle_timeout(now);
                connection.carry_out(&mut self.hub);
            }
        }
    }

    /// Something that is under way moves on; false when nothing did.
    fn move_something(&mut self, seat: usize) -> Result<bool, Fault> {
        match self.random.below(5) {
            0 => Ok(self.move_up(seat)),
            1 => self.move_down(seat),
            2 => Ok(self.hub.work(&mut self.random)),
            3 => Ok(self.move_answer()),
            _ => Ok(self.move_data(seat)),
        }
    }

    fn move_up(&mut self, seat: usize) -> bool {
        let now = self.clock.now();
        let connection = self.seats.get_mut(seat).and_then(|seat| seat.connection.as_mut());
        let Some(connection) = connection.filter(|connection| connection.session.wants_input()) else {
            return false;
        };
        let Some(request) = connection.up.pop_front() else { return false };
        connection.session.handle_sign(now, Sign::Received);
        connection.session.handle_command(now, request);
        connection.carry_out(&mut self.hub);
        true
    }

    fn move_down(&mut self, seat: usize) -> Result<bool, Fault> {
        let now = self.clock.now();
        let Some(place) = self.seats.get_mut(seat) else { return Ok(false) };
        let Some(connection) = &mut place.connection else { return Ok(false) };
        match connection.down.pop_front() {
            None => return Ok(false),
            Some(Frame::Event(event)) => {
                self.tally.frames += 1;
                place.client.take(&event)?;
            }
            Some(Frame::Ping) => connection.session.handle_sign(now, Sign::Received),
            Some(Frame::Close) => {
                self.tally.closes += 1;
                self.drop_connection(seat);
            }
        }
        Ok(true)
    }

    fn move_answer(&mut self) -> bool {
        let Some((id, answer)) = self.hub.answer(&mut self.random) else { return false };
        let now = self.clock.now();
        let all = self.seats.iter_mut().filter_map(|seat| seat.connection.as_mut());
        if let Some(connection) = all.into_iter().find(|connection| connection.id == id) {
            connection.session.handle_hub(now, answer);
            connection.carry_out(&mut self.hub);
        }
        true
    }

    fn move_data(&mut self, seat: usize) -> bool {
        let pipe = self.pipe;
        let connection = self.seats.get_mut(seat).and_then(|seat| seat.connection.as_mut());
        let Some(connection) = connection.filter(|c| !c.closing && c.down.len() < pipe) else { return false };
        let frames = self.hub.read(connection.id, &mut self.random, 3);
        let any = !frames.is_empty();
        connection.down.extend(frames.into_iter().map(Frame::Event));
        any
    }
}

impl Connection {
    /// Does what the session says.
    fn carry_out(&mut self, hub: &mut SimHub) {
        while let Some(action) = self.session.poll_action() {
            assert!(!self.closing, "an action after the close: {action:?}");
            match action {
                Action::Send(event) => {
                    if let Event::Subscribed { channel, .. } = &event {
                        hub.open(self.id, channel);
                    }
                    self.down.push_back(Frame::Event(event));
                }
                Action::Ping => self.down.push_back(Frame::Ping),
                Action::Hub(call) => hub.call(self.id, call),
                // No application here.
                Action::Joined { .. } => {}
                Action::Close(_) => {
                    self.closing = true;
                    self.down.push_back(Frame::Close);
                }
            }
        }
    }
}

/// In this world `bad` is no token, and every other one names its user.
fn verify(token: &str) -> Result<Identity, Problem> {
    if token == "bad" {
        return Err(Problem::new(fanfare_protocol::Code::Unauthorized, "not a token of this world"));
    }
    Ok(Identity { user: Some(token.into()), ..Identity::default() })
}
