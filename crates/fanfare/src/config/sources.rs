//! Where configuration comes from, and in which order one overrides another.
use std::path::{Path, PathBuf};

use super::{
    Config, ConfigError, ConfigErrors, Flags, Namespace, check, env, file,
    namespaces::DEFAULT,
    node::{Node, Place, Value},
    reader,
};

/// Read if it is there and nothing else is named.
const USUAL_FILE: &str = "fanfare.toml";

/// The sources of one process; loaded at the start and again at SIGHUP.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// The file that was named, or the usual one if it was there at the start; none: no file.
    file: Option<PathBuf>,
    /// The text of the file, for those who have it already.
    text: Option<String>,
    variables: Vec<(String, String)>,
    flags: Flags,
}

impl Sources {
    /// The sources of this process: `--config`, else `FANFARE_CONFIG`, else `./fanfare.toml` if it is there; the
    /// environment; the flags.
    pub fn of_process(config: Option<PathBuf>, flags: Flags) -> Self {
        let usual = || Path::new(USUAL_FILE).exists().then(|| USUAL_FILE.into());
        let named = std::env::var_os("FANFARE_CONFIG").filter(|name| !name.is_empty()).map(PathBuf::from);
        // Variables that are not UTF-8 are nobody's settings here: names and values of ours are.
        let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.to_string_lossy().into_owned()))
        };
        let variables = std::env::vars_os().filter_map(text).collect();
        Self { file: config.or(named).or_else(usual), text: None, variables, flags }
    }

    /// A TOML text alone.
    pub fn text(text: impl Into<String>) -> Self {
        Self { text: Some(text.into()), ..Self::default() }
    }

    /// The same with environment variables.
    #[must_use]
    pub fn with_variables(mut self, variables: impl IntoIterator<Item = (String, String)>) -> Self {
        self.variables.extend(variables);
        self
    }

    /// The same with flags.
    #[must_use]
    pub fn with_flags(mut self, flags: Flags) -> Self {
        self.flags = flags;
        self
    }

    /// The file that is read, if any.
    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// Reads, joins and checks them.
    ///
    /// # Errors
    /// Everything that is wrong, each with its place and a remedy.
    pub fn load(&self) -> Result<Config, ConfigErrors> {
        let mut errors = Vec::new();
        let mut root = self.read_file()?;
        env::overlay(&mut root, self.variables.iter().cloned(), &mut errors);
        root.overlay(self.flags.node());
        let dev = self.dev(&root);
        let mut config = Config::built_in(dev);
        let places = reader::read(&mut config, root, &mut errors);
        if config.dev {
            open(&mut config);
        }
        config.namespaces.entry(DEFAULT.to_owned()).or_insert_with(|| Namespace::built_in(dev));
        if errors.is_empty() {
            check::check(&config, &places, &mut errors);
        }
        if errors.is_empty() { Ok(config) } else { Err(ConfigErrors(errors)) }
    }

    fn read_file(&self) -> Result<Node, ConfigErrors> {
        if let Some(text) = &self.text {
            return Ok(file::parse(text, Path::new(USUAL_FILE))?);
        }
        let Some(path) = &self.file else { return Ok(Node::empty(Place::Default)) };
        let text = std::fs::read_to_string(path).map_err(|error| {
            ConfigError::new(Place::Default, "", format!("{} cannot be read: {error}", path.display()))
                .remedy(
                    "name another file with --config or FANFARE_CONFIG, or start without one for dev mode",
                )
        })?;
        Ok(file::parse(&text, path)?)
    }

    /// Whether it is dev mode: as the settings say, else when there is no file. Known before the rest is read, because
    /// the defaults of namespaces depend on it.
    fn dev(&self, root: &Node) -> bool {
        let Value::Table(table) = &root.value else { return false };
        match table.get("dev").map(<super::kind::Flag as super::kind::Kind>::read) {
            Some(Ok(dev)) => dev,
            // A fault, which the reader will report.
            Some(Err(_)) => false,
            None => self.file.is_none() && self.text.is_none(),
        }
    }
}

/// Dev mode gives everyone every right, whatever the tables say; how channels are kept stays as they say.
fn open(config: &mut Config) {
    for namespace in config.namespaces.values_mut() {
        namespace.anonymous = fanfare_protocol::Rights::ALL;
        namespace.authenticated = fanfare_protocol::Rights::ALL;
    }
}
