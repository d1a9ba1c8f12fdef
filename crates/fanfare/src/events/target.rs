//! To whom something is said: rooms, with exceptions; how it gets there.
use std::{
    collections::BTreeSet,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use fanfare_broker::{Append, Author};
use fanfare_hub::unix_ms;
use fanfare_protocol::{
    Args, ChannelName, ClientId, Code, EventName, FromArgs, Problem, Publish, ToArgs, event::Published,
};
use fanfare_session::checks;
use fanfare_transport::application::{namespace_channel, private_channel};
use futures_util::future::join_all;

use super::{
    Socket,
    space::{Space, event_name},
};

/// Clients that are told alone at a time.
const AT_ONCE: usize = 256;

/// To whom something is said. Begun by [`crate::Events::to`] and [`crate::Context::to`].
///
/// What goes to a room is one publication on its channel, however many read it, and everyone who reads that channel gets it, by whatever
/// means; the client that caused it is left out by its origin. Where that cannot be, because others are left out ([`Target::except`]) or
/// somebody is in several of the rooms, each of those who joined is told alone, and readers of the channel who did not join are not.
#[must_use = "nothing is said until emit is awaited"]
#[derive(Clone)]
pub struct Target {
    space: Arc<Space>,
    /// Who says it, and does not hear it.
    from: Option<Socket>,
    rooms: Vec<String>,
    except: Vec<String>,
    volatile: bool,
}

/// The answers of many.
#[derive(Clone, PartialEq, Debug)]
pub struct Acks<T> {
    /// Who answered (its `sid`), and what.
    pub answers: Vec<(String, T)>,
    /// Who did not, or not in time, or with something else.
    pub missing: Vec<String>,
}

impl Target {
    pub(super) fn new(space: Arc<Space>, from: Option<Socket>) -> Self {
        Self { space, from, rooms: Vec::new(), except: Vec::new(), volatile: false }
    }

    /// Those in another room too; who is in both hears it once.
    pub fn to(mut self, room: &str) -> Self {
        self.rooms.push(room.to_owned());
        self
    }

    /// Not those in this room, or not the client of this `sid`.
    pub fn except(mut self, room: &str) -> Self {
        self.except.push(room.to_owned());
        self
    }

    /// For what is worthless later: kept nowhere, and only who reads at the head gets it.
    pub fn volatile(mut self) -> Self {
        self.volatile = true;
        self
    }

    /// Says it. What was published, where it was one publication.
    ///
    /// # Errors
    /// `bad_request` for a reserved event name, a room's name that cannot be, or arguments that cannot be JSON; `too_large`; `unavailable`.
    pub async fn emit(&self, event: &str, args: impl ToArgs) -> Result<Option<Published>, Problem> {
        let (event, args) = (event_name(event)?, args.to_args()?);
        if self.rooms.is_empty() {
            return self.to_everybody(&event, &args).await;
        }
        if let ([room], true) = (&*self.rooms, self.except.is_empty())
            && self.space.socket(room).is_none()
        {
            // Most of what is said. Who is in the room need not be known.
            let origin = self.from.as_ref().map(|from| from.client());
            return self.publish(self.space.channel(room)?, origin, &event, args).await.map(Some);
        }
        let excluded = self.excluded();
        let mut told = BTreeSet::new();
        let mut published = None;
        for room in &self.rooms {
            published = match self.space.socket(room) {
                Some(socket) => self.alone(vec![socket], &mut told, &excluded, &event, &args).await?,
                None => self.to_room(room, &mut told, &excluded, &event, &args).await?,
            };
        }
        Ok(published)
    }

    /// Says it to each of those who joined, and gathers what they answer.
    ///
    /// # Errors
    /// As [`Target::emit`]; that somebody did not answer is no error.
    pub async fn emit_with_ack<T: FromArgs>(
        &self,
        event: &str,
        args: impl ToArgs,
        within: Duration,
    ) -> Result<Acks<T>, Problem> {
        let (event, args) = (event_name(event)?, args.to_args()?);
        let excluded = self.excluded();
        let mut who: Vec<Socket> = if self.rooms.is_empty() {
            self.space.sockets()
        } else {
            let of = |room: &String| match self.space.socket(room) {
                Some(socket) => vec![socket],
                None => self.space.members(room),
            };
            self.rooms.iter().flat_map(of).collect()
        };
        let mut seen = BTreeSet::new();
        who.retain(|socket| !excluded.contains(socket.sid()) && seen.insert(socket.sid().to_owned()));
        let asked = who.iter().map(|socket| socket.request(event.clone(), args.clone(), within));
        let mut acks = Acks { answers: Vec::new(), missing: Vec::new() };
        for (socket, answer) in who.iter().zip(join_all(asked).await) {
            match answer.and_then(T::from_args) {
                Ok(answer) => acks.answers.push((socket.sid().to_owned(), answer)),
                Err(_) => acks.missing.push(socket.sid().to_owned()),
            }
        }
        Ok(acks)
    }

    /// Who does not hear it, by `sid`.
    fn excluded(&self) -> BTreeSet<String> {
        let mut excluded: BTreeSet<String> = self.from.iter().map(|from| from.sid().to_owned()).collect();
        for room in &self.except {
            match self.space.socket(room) {
                Some(socket) => drop(excluded.insert(socket.sid().to_owned())),
                None => {
                    excluded.extend(self.space.members(room).iter().map(|member| member.sid().to_owned()))
                }
            }
        }
        excluded
    }

    async fn to_room(
        &self,
        room: &str,
        told: &mut BTreeSet<String>,
        excluded: &BTreeSet<String>,
        event: &EventName,
        args: &Args,
    ) -> Result<Option<Published>, Problem> {
        let channel = self.space.channel(room)?;
        let members = self.space.members(room);
        let left_out = self.left_out(&members, told, excluded);
        let Ok(origin) = left_out else {
            return self.alone(members, told, excluded, event, args).await;
        };
        told.extend(members.iter().map(|member| member.sid().to_owned()));
        self.publish(channel, origin, event, args.clone()).await.map(Some)
    }

    /// Whom of a room one publication must leave out: nobody, or one client. Err when there are more, who then are told one by one.
    fn left_out(
        &self,
        members: &[Socket],
        told: &BTreeSet<String>,
        excluded: &BTreeSet<String>,
    ) -> Result<Option<ClientId>, ()> {
        let mut out: BTreeSet<ClientId> = members
            .iter()
            .filter(|member| told.contains(member.sid()) || excluded.contains(member.sid()))
            .map(|member| member.client())
            .collect();
        // Who speaks is left out wherever it reads, also where it did not join.
        out.extend(self.from.iter().map(|from| from.client()));
        if out.len() > 1 { Err(()) } else { Ok(out.into_iter().next()) }
    }

    async fn alone(
        &self,
        sockets: Vec<Socket>,
        told: &mut BTreeSet<String>,
        excluded: &BTreeSet<String>,
        event: &EventName,
        args: &Args,
    ) -> Result<Option<Published>, Problem> {
        let who = |socket: &Socket| !excluded.contains(socket.sid()) && told.insert(socket.sid().to_owned());
        let sockets: Vec<Socket> = sockets.into_iter().filter(who).collect();
        let mut published = None;
        // Together, so that they are one commit or few, and not all at once.
        for some in sockets.chunks(AT_ONCE) {
            let said = some.iter().map(|socket| self.to_socket(socket, event, args.clone(), self.volatile));
            for said in join_all(said).await {
                match said {
                    // Who went meanwhile hears nothing.
                    Err(problem) if problem.code == Code::Unavailable => {}
                    said => published = said?,
                }
            }
        }
        Ok(published)
    }

    async fn to_everybody(&self, event: &EventName, args: &Args) -> Result<Option<Published>, Problem> {
        let mut origin = self.from.as_ref().map(|from| from.client());
        if !self.except.is_empty() {
            let excluded = self.excluded();
            let sockets = self.space.sockets();
            let Ok(out) = self.left_out(&sockets, &BTreeSet::new(), &excluded) else {
                return self.alone(sockets, &mut BTreeSet::new(), &excluded, event, args).await;
            };
            origin = out;
        }
        // Those who come from now on join by themselves, those who are there now.
        self.space.broadcasts.store(true, Ordering::SeqCst);
        let deaf = self.space.deaf();
        for some in deaf.chunks(AT_ONCE) {
            join_all(some.iter().map(Socket::listen_to_all)).await;
        }
        self.publish(namespace_channel(&self.space.name), origin, event, args.clone()).await.map(Some)
    }

    pub(super) async fn to_socket(
        &self,
        socket: &Socket,
        event: &str,
        args: Args,
        volatile: bool,
    ) -> Result<Option<Published>, Problem> {
        let event = event_name(event)?;
        socket.listen().await?;
        let said = Self { volatile, from: None, ..self.clone() };
        said.publish(private_channel(socket.sid()), None, &event, args).await.map(Some)
    }

    async fn publish(
        &self,
        channel: ChannelName,
        origin: Option<ClientId>,
        event: &EventName,
        args: Args,
    ) -> Result<Published, Problem> {
        let registry = self.space.registry()?;
        checks::check_args(&registry.rules.limits(), &args)?;
        let (data, tag) = args.into_data();
        let tags = tag.into_iter().collect();
        let mut publish =
            Publish { event: event.clone(), tags, ephemeral: self.volatile, ..Publish::new(channel, data) };
        let author = match &self.from {
            Some(from) => Author { user: from.user(), client: Some(from.client()) },
            None => {
                publish.client = origin;
                Author::default()
            }
        };
        while let Some(congestion) = registry.hub.congestion(&publish.channel) {
            congestion.clear().await;
        }
        registry.hub.publish(Append { publish, author, unix_ms: unix_ms() }).await
    }
}

impl std::fmt::Debug for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Target")
            .field("rooms", &self.rooms)
            .field("except", &self.except)
            .finish_non_exhaustive()
    }
}
