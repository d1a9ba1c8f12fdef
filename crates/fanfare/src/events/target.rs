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
    who::Hearer,
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
        let is_client = |room: &str| self.space.who().hearer(room).is_some();
        if let ([room], true) = (&*self.rooms, self.except.is_empty())
            && !is_client(room)
        {
            // Most of what is said. Who is in the room need not be known.
            let origin = self.from.as_ref().map(|from| from.client());
            return self.publish(self.space.channel(room)?, origin, &event, args).await.map(Some);
        }
        let excluded = self.excluded();
        let mut told = BTreeSet::new();
        let mut published = None;
        for room in &self.rooms {
            let one = self.space.who().hearer(room);
            published = match one {
                Some(one) => self.alone(vec![one], &mut told, &excluded, &event, &args).await?,
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
        let mut hearers = if self.rooms.is_empty() {
            self.space.who().everybody()
        } else {
            self.rooms.iter().flat_map(|room| self.behind(room)).collect()
        };
        let mut seen = BTreeSet::new();
        hearers.retain(|hearer| !excluded.contains(hearer.sid()) && seen.insert(hearer.sid().to_owned()));
        let asked = hearers.iter().map(async |hearer| match hearer {
            Hearer::Here(socket) => socket.request(event.clone(), args.clone(), within).await.ok(),
            // Nobody waits for as long as that.
            Hearer::Away(_) => None,
        });
        let mut acks = Acks { answers: Vec::new(), missing: Vec::new() };
        for (hearer, answer) in hearers.iter().zip(join_all(asked).await) {
            match answer.map(T::from_args) {
                Some(Ok(answer)) => acks.answers.push((hearer.sid().to_owned(), answer)),
                _ => acks.missing.push(hearer.sid().to_owned()),
            }
        }
        Ok(acks)
    }

    /// Who does not hear it, by `sid`.
    fn excluded(&self) -> BTreeSet<String> {
        let mut excluded: BTreeSet<String> = self.from.iter().map(|from| from.sid().to_owned()).collect();
        for room in &self.except {
            excluded.extend(self.behind(room).iter().map(|hearer| hearer.sid().to_owned()));
        }
        excluded
    }

    /// Whom a name means: one client, or those who joined a room.
    fn behind(&self, room: &str) -> Vec<Hearer> {
        let who = self.space.who();
        who.hearer(room).map_or_else(|| who.in_room(room), |one| vec![one])
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
        let members = self.space.who().in_room(room);
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
        members: &[Hearer],
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
        hearers: Vec<Hearer>,
        told: &mut BTreeSet<String>,
        excluded: &BTreeSet<String>,
        event: &EventName,
        args: &Args,
    ) -> Result<Option<Published>, Problem> {
        let who = |hearer: &Hearer| !excluded.contains(hearer.sid()) && told.insert(hearer.sid().to_owned());
        let hearers: Vec<_> = hearers.into_iter().filter(who).collect();
        let mut published = None;
        // Together, so that they are one commit or few, and not all at once.
        for some in hearers.chunks(AT_ONCE) {
            let said = some.iter().map(|hearer| self.to_hearer(hearer, event, args.clone()));
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
            let hearers = self.space.who().everybody();
            let Ok(out) = self.left_out(&hearers, &BTreeSet::new(), &excluded) else {
                return self.alone(hearers, &mut BTreeSet::new(), &excluded, event, args).await;
            };
            origin = out;
        }
        // Those who come from now on join by themselves, those who are there now.
        self.space.broadcasts.store(true, Ordering::SeqCst);
        let deaf: Vec<_> = self.space.who().deaf().cloned().collect();
        for some in deaf.chunks(AT_ONCE) {
            join_all(some.iter().map(Socket::listen_to_all)).await;
        }
        self.publish(namespace_channel(&self.space.name), origin, event, args.clone()).await.map(Some)
    }

    /// Says it to one client, which is left out by nobody.
    pub(super) async fn to_hearer(
        &self,
        hearer: &Hearer,
        event: &EventName,
        args: Args,
    ) -> Result<Option<Published>, Problem> {
        let absence = match hearer {
            Hearer::Here(socket) => socket.listen().await?,
            Hearer::Away(away) => Some(away.absence.clone()),
        };
        let said = Self { from: None, ..self.clone() };
        let published = said.publish(private_channel(hearer.sid()), None, event, args).await?;
        if let (Some(absence), Some(at)) = (absence, published.position) {
            absence.told(at);
        }
        Ok(Some(published))
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
