//! What a hub inside a program is made of.
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use fanfare_protocol::Rights;
use fanfare_transport::Authorizer;

use crate::{
    Fanfare,
    config::{ApiKeySettings, Config, ConfigErrors, Flags, Live, Namespace, Secret, Sources, check},
    server::StartError,
};

type Setter = Box<dyn FnOnce(&mut Config) + Send>;

/// Settings of a hub inside a program: those of `fanfare.toml`, and the application's own decisions.
///
/// Without any setting the hub is closed: only the program itself reads and publishes. Setters are applied in order over the
/// configuration given by [`config`](Builder::config), [`toml`](Builder::toml) or [`file`](Builder::file), whenever that is called.
///
/// # Examples
/// ```
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use fanfare::{Fanfare, Right, Rights};
///
/// let fanfare = Fanfare::builder()
///     .hmac_secret("an example of a secret of 32 bytes or more")
///     .api_key("backend", "example-of-an-api-key")
///     .allowed_origin("https://app.example")
///     .namespace("chat", |chat| {
///         chat.presence = true;
///         chat.history.size = 100;
///         chat.authenticated = Rights::ALL;
///     })
///     .namespace("news", |news| news.anonymous = [Right::Subscribe].into_iter().collect())
///     .build()?;
/// # Ok(())
/// # }
/// ```
#[must_use = "a builder does nothing until build or start"]
pub struct Builder {
    base: Result<Config, ConfigErrors>,
    setters: Vec<Setter>,
    authorizer: Option<Arc<dyn Authorizer>>,
    page: Option<bool>,
}

impl Builder {
    pub(crate) fn new() -> Self {
        Self { base: Ok(Config::built_in(false)), setters: Vec::new(), authorizer: None, page: None }
    }

    /// A whole configuration.
    pub fn config(mut self, config: Config) -> Self {
        self.base = Ok(config);
        self
    }

    /// The text of a `fanfare.toml`; environment variables are not looked at.
    pub fn toml(mut self, text: &str) -> Self {
        self.base = Config::from_toml(text);
        self
    }

    /// A `fanfare.toml`, under `FANFARE_*` environment variables as for the binary.
    pub fn file(mut self, path: impl AsRef<Path>) -> Self {
        self.base = Sources::of_process(Some(path.as_ref().to_owned()), Flags::default()).load();
        self
    }

    /// Development mode: every right to everyone, from this machine only, and the first page. Messages are in memory, unless
    /// [`data`](Builder::data) names a directory.
    pub fn dev(mut self) -> Self {
        self.base = Ok(Config::built_in(true));
        self
    }

    /// Every right to everyone on channels without a namespace of their own: for an application whose [`Authorizer`] decides, or where
    /// whoever reaches the router may do everything.
    pub fn open(self) -> Self {
        self.default_namespace(|namespace| {
            namespace.anonymous = Rights::ALL;
            namespace.authenticated = Rights::ALL;
        })
    }

    /// The directory in which messages are kept, made if it is not there; without one they are in memory alone. With it, publishing is
    /// answered once a message is on disk, where a namespace's `ack` does not say otherwise.
    ///
    /// Stop the hub with [`Fanfare::shutdown`]; the directory is free for another one when the last clone is gone.
    ///
    /// # Examples
    /// ```
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let temporary = tempfile::tempdir()?;
    /// # let directory = temporary.path();
    /// use fanfare::{Ack, Fanfare};
    ///
    /// let fanfare = Fanfare::builder()
    ///     .data(directory)
    ///     .namespace("mouse", |mouse| mouse.ack = Some(Ack::Memory))
    ///     .build()?;
    /// fanfare.publish("orders:1", "paid").await?; // on disk now
    /// fanfare.shutdown().await;
    /// # Ok(())
    /// # }
    /// ```
    pub fn data(self, directory: impl Into<PathBuf>) -> Self {
        let directory = directory.into();
        self.set(move |config| config.data = Some(directory))
    }

    /// The secret that tokens are signed with (HS256, HS384, HS512), 32 bytes or more.
    pub fn hmac_secret(self, secret: impl Into<String>) -> Self {
        let secret = Secret::new(secret.into());
        self.set(move |config| config.auth.hmac_secret = Some(secret))
    }

    /// A key of a backend that may do everything over HTTP and WebSocket, 16 bytes or more.
    pub fn api_key(self, name: impl Into<String>, key: impl Into<String>) -> Self {
        let key = ApiKeySettings { name: name.into(), key: Secret::new(key.into()) };
        self.set(move |config| config.auth.api_keys.push(key))
    }

    /// An origin whose pages may use the hub; the hub's own always may.
    pub fn allowed_origin(self, origin: impl Into<String>) -> Self {
        let origin = origin.into();
        self.set(move |config| config.auth.allowed_origins.push(origin))
    }

    /// How the channels `NAME:...` are kept, and who may do what on them.
    pub fn namespace(
        self,
        name: impl Into<String>,
        set: impl FnOnce(&mut Namespace) + Send + 'static,
    ) -> Self {
        let name = name.into();
        self.set(move |config| {
            let base = Namespace::built_in(config.dev);
            set(config.namespaces.entry(name).or_insert(base));
        })
    }

    /// The same for channels that have no other namespace.
    pub fn default_namespace(self, set: impl FnOnce(&mut Namespace) + Send + 'static) -> Self {
        self.namespace("default", set)
    }

    /// Any other setting.
    pub fn set(mut self, set: impl FnOnce(&mut Config) + Send + 'static) -> Self {
        self.setters.push(Box::new(set));
        self
    }

    /// Who decides, beside tokens and configuration, about connections, subscriptions and messages.
    ///
    /// # Examples
    /// ```
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use fanfare::{Asker, Authorizer, ChannelName, Code, Decision, Fanfare, Problem, SubscribeOptions};
    ///
    /// struct NoSecrets;
    /// impl Authorizer for NoSecrets {
    ///     fn subscribe<'a>(
    ///         &'a self, _: &'a Asker, channel: &'a ChannelName, _: &'a SubscribeOptions,
    ///     ) -> Decision<'a, ()> {
    ///         Box::pin(async move {
    ///             if channel.starts_with("secret:") {
    ///                 return Err(Problem::new(Code::Forbidden, "not for you"));
    ///             }
    ///             Ok(())
    ///         })
    ///     }
    /// }
    /// let fanfare = Fanfare::builder().open().authorizer(NoSecrets).build()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn authorizer(mut self, authorizer: impl Authorizer) -> Self {
        self.authorizer = Some(Arc::new(authorizer));
        self
    }

    /// Whether the first page (`/` of the router) is served; by default in development mode only.
    pub fn page(mut self, page: bool) -> Self {
        self.page = Some(page);
        self
    }

    /// Starts the hub. Must be called on a Tokio runtime, on which its tasks run. Reads the data directory, if there is one, which may take a
    /// second for each gigabyte or two.
    ///
    /// # Errors
    /// The configuration is wrong, with every fault; the data directory cannot be used; or there is no runtime.
    pub fn build(self) -> Result<Fanfare, StartError> {
        let mut config = self.base?;
        for set in self.setters {
            set(&mut config);
        }
        let mut errors = Vec::new();
        check::check(&config, &Default::default(), &mut errors);
        if !errors.is_empty() {
            return Err(ConfigErrors(errors).into());
        }
        let page = self.page.unwrap_or(config.dev);
        let data = config.data.clone();
        Fanfare::over(Live::new(config), self.authorizer, page, data.as_deref())
    }

    /// The same, and waits until the keys at `auth.jwks_url`, if configured, were fetched (or could not be).
    ///
    /// # Errors
    /// As [`build`](Builder::build).
    pub async fn start(self) -> Result<Fanfare, StartError> {
        let fanfare = self.build()?;
        fanfare.node().auth.warm_up(fanfare_hub::unix_ms()).await;
        Ok(fanfare)
    }
}

impl std::fmt::Debug for Builder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Builder").field("setters", &self.setters.len()).finish_non_exhaustive()
    }
}
