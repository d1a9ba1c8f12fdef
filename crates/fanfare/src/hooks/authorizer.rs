//! Hooks as the decisions that transports ask for, beside those of a program's own.
use std::sync::{Arc, Weak};

use fanfare_hub::Hub;
use fanfare_protocol::{ChannelName, Code, Data, Identity, Problem, Publish, SubscribeOptions};
use fanfare_session::checks;
use fanfare_transport::{Asker, Authorizer, Decision};
use http::request::Parts;
use tokio::runtime::Handle;

use super::{actions, answer::Answer, client::HookClient, connector::UrlFault, question::Question};
use crate::config::{HookEvent, Live};

/// Asks the program's own authorizer, then the application at `hooks.url`.
pub(crate) struct Hooks {
    pub(super) client: HookClient,
    own: Option<Arc<dyn Authorizer>>,
    pub(super) hub: Arc<Hub>,
    live: Arc<Live>,
    runtime: Handle,
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
        let make = |me: &Weak<Self>| Self { client, own, hub, live, runtime, me: me.clone() };
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

    /// What an answer wants done, where it is not about a call.
    async fn act(&self, asker: &Asker, answer: &Answer) -> Result<(), Problem> {
        actions::besides(&self.hub, asker.client, &answer.actions).await
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
            actions::publish_all(&self.hub, &answer.actions).await?;
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
                Some(answer) => self.act(asker, &answer).await,
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
            self.act(asker, &answer).await
        })
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
                && let Err(problem) = actions::publish_all(&me.hub, &answer.actions).await
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
    let Some(user) = answer.user else { return Ok(None) };
    if user.is_empty() || user.len() > 255 {
        return Err(Problem::new(Code::Internal, "the application names a user that cannot be"));
    }
    let info = answer.info.map(|raw| Data::from_json(raw.get().as_bytes())).transpose()?;
    let channels = answer.channels.iter().map(|name| ChannelName::parse(name)).collect::<Result<_, _>>()?;
    Ok(Some(Identity {
        user: Some(user.into()),
        info,
        channels,
        expires_at: answer.expires_at,
        ..Identity::default()
    }))
}
