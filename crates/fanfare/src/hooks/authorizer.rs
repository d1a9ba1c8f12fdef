//! Hooks as the decisions that transports ask for, beside those of a program's own.
use std::sync::{Arc, OnceLock, Weak};

use fanfare_hub::Hub;
use fanfare_protocol::{ChannelName, Code, Data, Identity, Problem, Publish, SubscribeOptions};
use fanfare_session::checks;
use fanfare_transport::{
    Asker, Authorizer, Decision,
    authorizer::{Afterwards, ComingTo},
};
use http::request::Parts;
use tokio::runtime::Handle;

use super::{
    actions::{self, Scene},
    answer::Answer,
    client::HookClient,
    connector::UrlFault,
    question::Question,
};
use crate::{
    config::{HookEvent, Live},
    events::Registry,
};

/// Asks the program's own authorizer, then the application at `hooks.url`.
pub(crate) struct Hooks {
    pub(super) client: HookClient,
    own: Option<Arc<dyn Authorizer>>,
    pub(super) hub: Arc<Hub>,
    live: Arc<Live>,
    runtime: Handle,
    /// The program's namespaces, once they are there.
    registry: OnceLock<Weak<Registry>>,
    me: Weak<Self>,
}

impl Hooks {
    /// Hooks as configured; none where there is no URL.
    pub fn new(
        live: &Arc<Live>,
        hub: &Arc<Hub>,
        own: Option<Arc<dyn Authorizer>>,
        runtime: &Handle,
    ) -> Result<Option<Arc<Self>>, UrlFault> {
        let settings = live.config().hooks.clone();
        let (Some(url), Some(secret)) = (&settings.url, &settings.secret) else { return Ok(None) };
        let client = HookClient::new(&settings, url, secret.expose())?;
        let (hub, live, runtime) = (hub.clone(), live.clone(), runtime.clone());
        let make = |me: &Weak<Self>| Self {
            client,
            own,
            hub,
            live,
            runtime,
            registry: OnceLock::new(),
            me: me.clone(),
        };
        Ok(Some(Arc::new_cyclic(make)))
    }

    /// The name of the table that a channel follows.
    fn namespace<'a>(&self, channel: &'a str) -> &'a str {
        let config = self.live.config();
        let prefix = channel.split_once(':').map(|(prefix, _)| prefix);
        prefix.filter(|prefix| config.namespaces.contains_key(*prefix)).unwrap_or("default")
    }

    fn asks_about(&self, event: HookEvent, asker: &Asker, channel: &str) -> bool {
        // Who holds an API key is a backend, which may do everything anyway.
        asker.identity.api_key.is_none() && self.client.asks_in(event, self.namespace(channel))
    }

    /// Where the visits of clients are found.
    pub(super) fn set_registry(&self, registry: &Arc<Registry>) {
        drop(self.registry.set(Arc::downgrade(registry)));
    }

    /// The namespace whose rooms the channels beside this one are.
    fn space_of(&self, channel: &str) -> String {
        match self.namespace(channel) {
            "default" => "/".to_owned(),
            name => format!("/{name}"),
        }
    }

    fn scene(&self, namespace: String, asker: &Asker) -> Scene<'_> {
        let registry = self.registry.get().and_then(Weak::upgrade);
        actions::scene(&self.hub, registry, namespace, asker)
    }

    /// What an answer about a channel wants done.
    async fn act(&self, asker: &Asker, channel: &str, answer: &Answer) -> Result<(), Problem> {
        let scene = self.scene(self.space_of(channel), asker);
        actions::besides(&scene, &answer.actions).await
    }

    /// What an answer wants done about somebody who comes: at once, and once it is there.
    async fn arrive(&self, request: &Parts, answer: &Answer) -> Result<(), Problem> {
        let then = request.extensions.get::<Afterwards>();
        let namespace = request.extensions.get::<ComingTo>().map_or("/", |coming| &*coming.namespace);
        let scene = Scene {
            hub: &self.hub,
            registry: None,
            namespace: namespace.to_owned(),
            user: answer.user.as_deref().map(Into::into),
            client: None,
            peer: None,
        };
        let later = actions::on_arrival(&scene, &answer.actions, then.is_some()).await?;
        if let (Some(then), Some(me), false) = (then, self.me.upgrade(), later.is_empty()) {
            let namespace = namespace.to_owned();
            then.add(Box::new(move |asker| {
                Box::pin(async move {
                    let scene = me.scene(namespace, &asker);
                    if let Err(problem) = actions::besides(&scene, &later).await {
                        tracing::warn!(%problem, "an action of the connect hook failed");
                    }
                })
            }));
        }
        Ok(())
    }
}

/// Requests that somebody stays connected by, or reads by.
fn is_connection(path: &str) -> bool {
    match path.strip_prefix("/v1/") {
        Some(rest) => matches!(rest, "ws" | "sse" | "stream" | "poll" | "call"),
        None => true,
    }
}

impl Authorizer for Hooks {
    fn connect<'a>(&'a self, request: &'a Parts) -> Decision<'a, Option<Identity>> {
        Box::pin(async move {
            if let Some(own) = &self.own
                && let Some(identity) = own.connect(request).await?
            {
                return Ok(Some(identity));
            }
            if !self.client.asks(HookEvent::Connect) || !is_connection(request.uri.path()) {
                return Ok(None);
            }
            let Some(answer) = self.client.ask(HookEvent::Connect, &Question::connect(request)).await? else {
                return Ok(None);
            };
            self.arrive(request, &answer).await?;
            identity(answer)
        })
    }

    fn subscribe<'a>(
        &'a self,
        asker: &'a Asker,
        channel: &'a ChannelName,
        options: &'a SubscribeOptions,
    ) -> Decision<'a, ()> {
        Box::pin(async move {
            if let Some(own) = &self.own {
                own.subscribe(asker, channel, options).await?;
            }
            if !self.asks_about(HookEvent::Subscribe, asker, channel) {
                return Ok(());
            }
            let question = Question::subscribe(asker, channel, options);
            match self.client.ask(HookEvent::Subscribe, &question).await? {
                Some(answer) => self.act(asker, channel, &answer).await,
                None => Ok(()),
            }
        })
    }

    fn publish<'a>(&'a self, asker: &'a Asker, publish: &'a mut Publish) -> Decision<'a, ()> {
        Box::pin(async move {
            if let Some(own) = &self.own {
                own.publish(asker, publish).await?;
            }
            if !self.asks_about(HookEvent::Publish, asker, &publish.channel) {
                return Ok(());
            }
            let answer = self.client.ask(HookEvent::Publish, &Question::publish(asker, publish)).await?;
            let Some(answer) = answer else { return Ok(()) };
            if let Some(data) = answer.replacement()? {
                let limits = fanfare_session::Rules::limits(&*self.live);
                checks::check_size(&limits, &data)?;
                publish.data = data;
            }
            self.act(asker, &publish.channel, &answer).await
        })
    }

    fn wants_peers(&self) -> bool {
        const MAY_ACT: [HookEvent; 3] = [HookEvent::Connect, HookEvent::Subscribe, HookEvent::Publish];
        MAY_ACT.into_iter().any(|event| self.client.asks(event))
            || self.own.as_ref().is_some_and(|own| own.wants_peers())
    }

    fn decides_publishing(&self, asker: &Asker, channel: &ChannelName) -> bool {
        let own = self.own.as_ref().is_some_and(|own| own.decides_publishing(asker, channel));
        own || self.asks_about(HookEvent::Publish, asker, channel)
    }

    fn disconnected(&self, asker: &Asker, transport: &'static str) {
        if let Some(own) = &self.own {
            own.disconnected(asker, transport);
        }
        if !self.client.asks(HookEvent::Disconnect) {
            return;
        }
        let Some(me) = self.me.upgrade() else { return };
        let asker = asker.clone();
        self.runtime.spawn(async move {
            let question = Question::disconnect(&asker, transport);
            // Nobody is there who could be told.
            if let Ok(Some(answer)) = me.client.ask(HookEvent::Disconnect, &question).await
                && let Err(problem) =
                    actions::besides(&me.scene("/".to_owned(), &asker), &answer.actions).await
            {
                tracing::warn!(%problem, "an action of the disconnect hook failed");
            }
        });
    }

    fn figures(&self) -> Vec<(&'static str, &'static str, u64)> {
        let own = self.own.as_ref().map(|own| own.figures()).unwrap_or_default();
        own.into_iter().chain(self.client.figures()).collect()
    }
}

/// Who the application says it is; none: whoever its token says.
fn identity(answer: Answer) -> Result<Option<Identity>, Problem> {
    let grants = answer.granted()?;
    let Some(user) = answer.user else {
        return match grants.is_empty() {
            true => Ok(None),
            false => Err(Problem::new(Code::Internal, "the application grants something to nobody it names")),
        };
    };
    if user.is_empty() || user.len() > 255 {
        return Err(Problem::new(Code::Internal, "the application names a user that cannot be"));
    }
    let info = answer.info.map(|raw| Data::from_json(raw.get().as_bytes())).transpose()?;
    let channels = answer.channels.iter().map(|name| ChannelName::parse(name)).collect::<Result<_, _>>()?;
    Ok(Some(Identity {
        user: Some(user.into()),
        info,
        grants,
        channels,
        expires_at: answer.expires_at,
        ..Identity::default()
    }))
}
