//! Rules that join several settings, or that are about what a value means.
use fanfare_auth::ConfigError as KeyFault;
use fanfare_protocol::{Ack, ChannelName, Right, Rights};

use super::{Config, ConfigError, Namespace, Slow, node::Place, reader::Places};

/// Finds what is wrong with settings that are each well-formed.
pub fn check(config: &Config, places: &Places, errors: &mut Vec<ConfigError>) {
    let mut checker = Checker { places, errors };
    checker.start(config);
    checker.dev(config);
    checker.tls(config);
    checker.origins(config);
    checker.limits(config);
    checker.auth(config);
    checker.hooks(config);
    for (name, namespace) in &config.namespaces {
        // Dev mode has a directory, if only a temporary one.
        checker.namespace(name, namespace, config.data.is_some() || config.dev);
    }
}

struct Checker<'a> {
    places: &'a Places,
    errors: &'a mut Vec<ConfigError>,
}

impl Checker<'_> {
    /// Reports a fault of the setting at `path`, or of the nearest table around it that was written.
    fn refuse(&mut self, path: &str, what: impl Into<String>, remedy: impl Into<String>) {
        let around = std::iter::successors(Some(path), |path| path.rsplit_once('.').map(|(outer, _)| outer));
        let place = around.filter_map(|path| self.places.get(path)).next().cloned().unwrap_or(Place::Default);
        self.errors.push(ConfigError::new(place, path, what).remedy(remedy));
    }

    fn start(&mut self, config: &Config) {
        if config.broker != "memory" {
            self.refuse(
                "broker",
                format!("there is no broker {:?} in this release", without_password(&config.broker)),
                "remove `broker`, or write \"memory\": one hub alone",
            );
        }
        if config.workers > 1024 {
            self.refuse("workers", "more than 1024 threads", "write 0 for one thread a core");
        }
    }

    fn dev(&mut self, config: &Config) {
        let explicit = self.places.contains_key("dev");
        if config.insecure && !(config.dev && explicit) {
            self.refuse(
                "insecure",
                "it means something only together with `dev`",
                "remove it, or start with --dev --insecure if everyone who reaches this address may do everything",
            );
        } else if config.dev && !config.insecure && !config.listen.ip().is_loopback() {
            self.refuse(
                "listen",
                format!("dev mode gives everyone every right, and {} is reached from other machines", config.listen.ip()),
                "listen on 127.0.0.1, or write a configuration file (dev mode is off then), or start with --dev --insecure",
            );
        }
    }

    fn tls(&mut self, config: &Config) {
        match (&config.tls.cert, &config.tls.key) {
            (Some(_), None) => self.refuse("tls.cert", "a certificate without its key", "set `tls.key` too"),
            (None, Some(_)) => self.refuse("tls.key", "a key without its certificate", "set `tls.cert` too"),
            _ => {}
        }
        for (path, file) in [("tls.cert", &config.tls.cert), ("tls.key", &config.tls.key)] {
            if let Some(Err(error)) = file.as_ref().map(std::fs::File::open) {
                self.refuse(
                    path,
                    format!("the file cannot be read: {error}"),
                    "check the path and its permissions",
                );
            }
        }
    }

    fn origins(&mut self, config: &Config) {
        for (path, origins) in [
            ("auth.allowed_origins", &config.auth.allowed_origins),
            ("allowed_origins", &config.allowed_origins),
        ] {
            for origin in origins {
                if !is_origin(origin) {
                    self.refuse(
                        path,
                        format!("{origin:?} is not an origin"),
                        "write scheme, host and port alone, as browsers send them: \"https://app.example\"",
                    );
                }
            }
        }
    }

    fn limits(&mut self, config: &Config) {
        let limits = &config.limits;
        for (name, larger) in [
            ("frame_bytes", limits.frame_bytes),
            ("body_bytes", limits.body_bytes),
            ("tail_bytes", limits.tail_bytes),
        ] {
            if larger < limits.message_bytes {
                self.refuse(
                    "limits.message_bytes",
                    format!("{} is more than limits.{name}, {larger}", limits.message_bytes),
                    format!("raise limits.{name} or lower message_bytes"),
                );
            }
        }
        if limits.memory_bytes < limits.tail_bytes {
            self.refuse(
                "limits.tail_bytes",
                format!("{} is more than limits.memory_bytes, {}", limits.tail_bytes, limits.memory_bytes),
                "raise memory_bytes or lower tail_bytes",
            );
        }
    }

    fn auth(&mut self, config: &Config) {
        let auth = &config.auth;
        let least = "make one with: openssl rand -base64 32";
        if let Some(secret) = &auth.hmac_secret {
            if secret.expose().trim_start().starts_with("-----BEGIN") {
                self.refuse("auth.hmac_secret", "it holds a PEM key", "put it under [[auth.keys]] as `key`");
            } else if secret.expose().len() < 32 && !config.dev {
                let bytes = secret.expose().len();
                self.refuse("auth.hmac_secret", format!("{bytes} bytes can be guessed; it needs 32"), least);
            }
        }
        for (at, key) in auth.api_keys.iter().enumerate() {
            let path = format!("auth.api_keys[{at}]");
            if key.name.is_empty() {
                self.refuse(
                    &path,
                    "it has no `name`",
                    "name it after the backend that uses it; logs show the name",
                );
            } else if auth.api_keys.iter().take(at).any(|earlier| earlier.name == key.name) {
                self.refuse(&path, format!("there are two called {:?}", key.name), "give each its own name");
            }
            if !config.dev && key.key.expose().len() < 16 {
                self.refuse(&path, "a `key` of less than 16 bytes can be guessed", least);
            }
        }
        if self.errors.is_empty() {
            self.keys(config);
        }
    }

    fn hooks(&mut self, config: &Config) {
        let hooks = &config.hooks;
        let Some(url) = &hooks.url else {
            if !hooks.events.is_empty() {
                self.refuse("hooks.events", "there is nobody to ask", "set `hooks.url`");
            }
            return;
        };
        if hooks.secret.as_ref().is_none_or(|secret| secret.expose().len() < 16) {
            let remedy = "make one with: openssl rand -base64 32";
            self.refuse(
                "hooks.secret",
                "requests need a secret of 16 bytes or more to be signed with",
                remedy,
            );
        }
        if let Err(fault) = crate::hooks::check_url(url, hooks.private_addresses) {
            self.refuse(
                "hooks.url",
                fault,
                "write the URL of the application, such as https://app.example/fanfare",
            );
        }
        for name in &hooks.namespaces {
            if !config.namespaces.contains_key(name) {
                let remedy = format!("add [namespaces.{name}], or remove the name");
                self.refuse("hooks.namespaces", format!("there is no namespace {name:?}"), remedy);
            }
        }
    }

    /// Reads the keys themselves, as the hub will when it starts.
    fn keys(&mut self, config: &Config) {
        let Err(error) = fanfare_auth::Authenticator::new(config.auth.to_auth()) else { return };
        let path = match &error {
            KeyFault::Key { index, .. } | KeyFault::DuplicateKid { index, .. } => {
                format!("auth.keys[{index}]")
            }
            KeyFault::EmptySecret | KeyFault::PemAsSecret => "auth.hmac_secret".into(),
            KeyFault::JwksUrl(_) => "auth.jwks_url".into(),
            _ => "auth.api_keys".into(),
        };
        // Its texts begin with the path, and say what to do.
        let text = error.to_string();
        let what = text.strip_prefix(&path).unwrap_or(&text).trim_start_matches(':').trim();
        self.refuse(&path, what, "correct the key; docs/configuration.md has its forms");
    }

    fn namespace(&mut self, name: &str, namespace: &Namespace, stored: bool) {
        let path = format!("namespaces.{name}");
        if name.contains(':') || ChannelName::parse(name).is_err() {
            self.refuse(
                &path,
                format!("{name:?} cannot be a namespace"),
                "use the part of the channels' names before the first ':', without spaces, commas, * { } or a leading $",
            );
        }
        if namespace.ack == Some(Ack::Stored) && !stored {
            self.refuse(
                &format!("{path}.ack"),
                "\"stored\" needs a disk log, and there is no `data`",
                "set `data` to a directory, or write \"memory\"",
            );
        }
    }
}

/// What is allowed but probably not meant, a sentence each.
pub fn warnings(config: &Config) -> Vec<String> {
    let mut warnings = Vec::new();
    let needs = |rights: Rights| rights.has(Right::Presence) || rights.has(Right::Enter);
    for (name, namespace) in &config.namespaces {
        if !namespace.presence && (needs(namespace.anonymous) || needs(namespace.authenticated)) {
            warnings.push(format!("namespaces.{name} grants presence or enter, but presence = false"));
        }
        if namespace.slow == Slow::Conflate && !namespace.keyed {
            warnings.push(format!(
                "namespaces.{name}: slow = \"conflate\" keeps the newest of each key, but keyed = false"
            ));
        }
    }
    let closed = |namespace: &Namespace| namespace.anonymous == Rights::NONE;
    if !config.auth.accepts_tokens()
        && config.auth.api_keys.is_empty()
        && config.namespaces.values().all(closed)
    {
        warnings.push(
            "nobody may do anything: there is no key under [auth], and no namespace grants rights to anonymous".into(),
        );
    }
    warnings
}

/// Whether a text is an origin as browsers send it (RFC 6454 §6.2).
fn is_origin(text: &str) -> bool {
    let Some((scheme, host)) = text.split_once("://") else { return false };
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "+-.".contains(c);
    let authority: Option<http::uri::Authority> = host.parse().ok();
    !scheme.is_empty() && scheme.chars().all(plain) && !host.contains('@') && authority.is_some()
}

/// A broker's URL without what may be a password.
fn without_password(url: &str) -> String {
    match (url.find("://"), url.rfind('@')) {
        (Some(scheme), Some(at)) if scheme < at => {
            format!("{}://...{}", url.get(..scheme).unwrap_or_default(), url.get(at..).unwrap_or_default())
        }
        _ => url.to_owned(),
    }
}
