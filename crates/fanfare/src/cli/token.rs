//! `fanfare token`: makes a token with the configured secret.
use std::{
    path::PathBuf,
    time::{Duration, SystemTime},
};

use fanfare_auth::{Algorithm, Secret, mint::Claims};
use fanfare_protocol::{ChannelName, Right};

use super::{exit::Failure, output};
use crate::config::{Flags, Sources, nearest, parse_duration};

/// What the token says.
#[derive(clap::Args, Debug)]
pub struct TokenArgs {
    /// The user
    #[arg(long, value_name = "USER")]
    sub: Option<String>,
    /// A grant, such as 'chat:*=subscribe,publish'; may be given several times
    #[arg(long = "grant", value_name = "CHANNELS=RIGHTS", value_parser = grant)]
    grants: Vec<Granted>,
    /// Channels that WebSocket clients are subscribed to on entry
    #[arg(long, value_name = "CHANNEL,...", value_delimiter = ',', value_parser = channel)]
    channels: Vec<String>,
    /// How long it is valid
    #[arg(long, default_value = "1h", value_parser = ttl)]
    ttl: Duration,
    /// What presence shows of the user, as JSON
    #[arg(long, value_name = "JSON", value_parser = json)]
    info: Option<serde_json::Value>,
    /// Sign with this secret [default: auth.hmac_secret of the configuration]
    #[arg(long, hide_env_values = true)]
    secret: Option<String>,
    /// HS256, HS384 or HS512
    #[arg(long, default_value = "HS256", value_parser = algorithm)]
    algorithm: Algorithm,
    /// Configuration file
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// Patterns and rights of one `--grant`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Granted {
    channels: Vec<String>,
    allow: Vec<&'static str>,
}

/// Prints a token.
///
/// # Errors
/// There is no secret to sign with.
pub fn run(args: TokenArgs) -> Result<(), Failure> {
    let (secret, audience, issuer) = match args.secret {
        Some(secret) => (Secret::from(secret), Vec::new(), Vec::new()),
        None => configured(args.config)?,
    };
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    // Rounded down: a token that lives a moment less than asked harms nobody.
    let mut claims = Claims::new().iat(now.as_secs()).exp((now + args.ttl).as_secs());
    if let Some(user) = &args.sub {
        claims = claims.user(user);
    }
    if let Some(info) = args.info {
        claims = claims.info(info);
    }
    if let Some(audience) = audience.first() {
        claims = claims.claim("aud", audience.as_str());
    }
    if let Some(issuer) = issuer.first() {
        claims = claims.claim("iss", issuer.as_str());
    }
    if !args.channels.is_empty() {
        claims = claims.channels(&args.channels.iter().map(String::as_str).collect::<Vec<_>>());
    }
    for granted in &args.grants {
        let channels: Vec<_> = granted.channels.iter().map(String::as_str).collect();
        claims = claims.grant(&channels, &granted.allow);
    }
    let token = claims.sign(&secret, args.algorithm).map_err(|error| Failure::Other(error.to_string()))?;
    output::line(&token)
}

/// The secret of the configuration, and the audience and issuer that it asks of tokens.
fn configured(file: Option<PathBuf>) -> Result<(Secret, Vec<String>, Vec<String>), Failure> {
    let auth = Sources::of_process(file, Flags::default()).load()?.auth;
    let none = "there is no secret to sign with\n  remedy: set auth.hmac_secret (FANFARE_AUTH__HMAC_SECRET), or pass --secret";
    let secret = auth.hmac_secret.ok_or_else(|| Failure::Other(none.into()))?;
    Ok((secret, auth.audience, auth.issuer))
}

fn grant(text: &str) -> Result<Granted, String> {
    let form = "write it as CHANNELS=RIGHTS, such as 'chat:*=subscribe,publish'";
    let (channels, rights) = text.rsplit_once('=').ok_or(form)?;
    let parts = |list: &str| list.split(',').map(|part| part.trim().to_owned()).collect::<Vec<_>>();
    let channels = parts(channels);
    if channels.iter().any(String::is_empty) {
        return Err(form.into());
    }
    let right = |name: String| {
        Right::from_name(&name).map(Right::name).ok_or_else(|| {
            let known = Right::ALL.map(Right::name);
            match nearest(&name, known) {
                Some(near) => format!("there is no right {name:?}; did you mean {near}?"),
                None => format!("there is no right {name:?}; there are {}", known.join(", ")),
            }
        })
    };
    Ok(Granted { channels, allow: parts(rights).into_iter().map(right).collect::<Result<_, _>>()? })
}

fn channel(text: &str) -> Result<String, String> {
    // `{sub}` is replaced when the token is read.
    let probe = text.replace("{sub}", "x");
    ChannelName::parse(&probe).map(|_| text.to_owned()).map_err(|problem| problem.detail.into_owned())
}

fn ttl(text: &str) -> Result<Duration, String> {
    parse_duration(text)
        .filter(|ttl| ttl.as_secs() > 0)
        .ok_or_else(|| "write it as 90s, 5m, 1h or 30d".into())
}

fn json(text: &str) -> Result<serde_json::Value, String> {
    serde_json::from_str(text).map_err(|error| format!("not JSON: {error}"))
}

fn algorithm(name: &str) -> Result<Algorithm, String> {
    Algorithm::from_name(name).filter(|algorithm| algorithm.is_symmetric()).ok_or_else(|| {
        "tokens can be made with HS256, HS384 or HS512; other keys are your identity provider's".into()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grants_are_read() {
        let read = grant("chat:*,orders:{sub}=subscribe, publish").unwrap();
        assert_eq!(read.channels, ["chat:*", "orders:{sub}"]);
        assert_eq!(read.allow, ["subscribe", "publish"]);
        assert_eq!(grant("a=b=history").unwrap().channels, ["a=b"]);
        assert!(grant("chat:*=subscibe").unwrap_err().contains("did you mean subscribe?"));
        for wrong in ["chat:*", "=subscribe", "a,=subscribe", "a="] {
            assert!(grant(wrong).is_err(), "{wrong}");
        }
    }
}
