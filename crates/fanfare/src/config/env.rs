//! Reads `FANFARE_*` environment variables: `FANFARE_LIMITS__PING=10s` is `ping` of `[limits]`.
use super::{
    ConfigError, file,
    node::{Node, Place, Value},
};

/// What every variable of this program begins with.
pub const PREFIX: &str = "FANFARE_";

/// Variables with the prefix that are not settings, and what they are.
pub const OTHERS: [(&str, &str); 4] = [
    ("FANFARE_CONFIG", "the configuration file, as `--config`"),
    (
        "FANFARE_LOG",
        "what is logged, such as `info` or `fanfare=debug,warn`; `RUST_LOG` serves if it is absent",
    ),
    ("FANFARE_TOKEN", "the token or API key that `fanfare sub` and `fanfare pub` present"),
    ("FANFARE_URL", "the hub that `fanfare sub` and `fanfare pub` speak to"),
];

/// Lays the variables over what the file says.
pub fn overlay<I>(root: &mut Node, variables: I, errors: &mut Vec<ConfigError>)
where
    I: IntoIterator<Item = (String, String)>,
{
    let mut variables: Vec<_> = variables.into_iter().filter(|(name, raw)| is_setting(name, raw)).collect();
    // Shorter paths first, so that a variable for a whole table does not depend on the environment's order.
    variables.sort();
    for (name, raw) in variables {
        let place = Place::Variable(name.as_str().into());
        let path: Vec<String> =
            name.trim_start_matches(PREFIX).split("__").map(str::to_ascii_lowercase).collect();
        if path.iter().any(String::is_empty) {
            errors.push(
                ConfigError::new(place, "", "its name has an empty part")
                    .remedy("separate tables with two underscores: FANFARE_LIMITS__PING"),
            );
            continue;
        }
        let value = file::parse_value(&raw, &place).unwrap_or_else(|| Value::Text(raw.clone()));
        let node = Node { value, place: place.clone(), raw: Some(raw.as_str().into()) };
        if !root.put(&path, node) {
            errors.push(
                ConfigError::new(place, path.join("."), "it lies inside a setting that is not a table")
                    .remedy("set one of the two"),
            );
        }
    }
}

/// Whether a variable is meant for the configuration. Empty ones are unset: that is what compose files and service
/// units write for "no value".
fn is_setting(name: &str, raw: &str) -> bool {
    name.starts_with(PREFIX)
        && !raw.is_empty()
        && !OTHERS.iter().any(|(other, _)| *other == name)
        && !is_service_link(name, raw)
}

/// Kubernetes gives every container the addresses of the namespace's services; one called `fanfare` makes
/// `FANFARE_SERVICE_HOST`, `FANFARE_SERVICE_PORT_HTTP`, `FANFARE_PORT=tcp://...`, `FANFARE_PORT_8000_TCP_ADDR`, and one
/// called `fanfare-metrics` makes `FANFARE_METRICS_SERVICE_HOST` and so on.
fn is_service_link(name: &str, raw: &str) -> bool {
    let address = ["tcp://", "udp://", "sctp://"].iter().any(|scheme| raw.starts_with(scheme));
    let numbered = name.split_once("_PORT_").is_some_and(|(_, rest)| {
        let (number, protocol) = rest.split_once('_').unwrap_or((rest, ""));
        number.bytes().all(|byte| byte.is_ascii_digit())
            && ["TCP", "UDP", "SCTP"].iter().any(|known| protocol.starts_with(known))
    });
    name.ends_with("_SERVICE_HOST")
        || name.contains("_SERVICE_PORT")
        || numbered
        || (name.ends_with("_PORT") && address)
}
