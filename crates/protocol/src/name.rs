//! Names of channels and events, checked once where they enter.
use std::{borrow::Borrow, fmt, ops::Deref, sync::Arc};

use crate::{Code, Problem};

/// Longest channel name, in bytes of UTF-8.
pub const CHANNEL_BYTES: usize = 255;
/// Longest event name, id, key, tag name or tag value, in bytes of UTF-8.
pub const WORD_BYTES: usize = 128;
/// The event of a message whose publisher named none.
pub const DEFAULT_EVENT: &str = "message";

/// A channel's name: 1 to 255 bytes without control characters, spaces, commas, `*`, `{`, `}`; cheap to clone.
///
/// Names that begin with `$` are the hub's own: [`ChannelName::parse`] refuses them, [`ChannelName::internal`] makes them.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ChannelName(Arc<str>);

impl ChannelName {
    /// Checks a name that a stranger sent.
    ///
    /// # Errors
    /// `bad_request`, saying which rule the name breaks.
    pub fn parse(name: &str) -> Result<Self, Problem> {
        let fault = if name.is_empty() {
            "a channel name is empty"
        } else if name.len() > CHANNEL_BYTES {
            "a channel name is longer than 255 bytes"
        } else if name.starts_with('$') {
            "channel names that begin with '$' are reserved"
        } else if !name.bytes().all(is_channel_byte) && name.chars().any(is_no_channel_char) {
            "a channel name holds a control character, a space or one of , * { }"
        } else {
            return Ok(Self(name.into()));
        };
        Err(Problem::new(Code::BadRequest, fault).remedy("use 1 to 255 bytes such as chat:lobby"))
    }

    /// A name of the hub's own: `$<kind>:<of>`.
    pub fn internal(kind: &str, of: &str) -> Self {
        Self(format!("${kind}:{of}").into())
    }

    /// True for a name made by [`ChannelName::internal`].
    pub fn is_internal(&self) -> bool {
        self.0.starts_with('$')
    }

    /// The part before the first `:`; none where there is no `:` (such channels follow `namespaces.default`).
    pub fn namespace(&self) -> Option<&str> {
        self.0.split_once(':').map(|(space, _)| space)
    }
}

impl Deref for ChannelName {
    type Target = str;
    fn deref(&self) -> &str {
        &self.0
    }
}
impl Borrow<str> for ChannelName {
    fn borrow(&self) -> &str {
        &self.0
    }
}
impl fmt::Debug for ChannelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}
impl fmt::Display for ChannelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// ASCII that a channel's name may hold; almost all names are of nothing else.
fn is_channel_byte(byte: u8) -> bool {
    byte.is_ascii_graphic() && !matches!(byte, b',' | b'*' | b'{' | b'}')
}

fn is_no_channel_char(c: char) -> bool {
    c.is_control() || c.is_whitespace() || matches!(c, ',' | '*' | '{' | '}')
}

/// An event's name: 1 to 128 bytes without control characters, not reserved; cheap to clone. None is the default, which needs no memory.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct EventName(Option<Arc<str>>);

impl EventName {
    /// Checks a name that a publisher sent.
    ///
    /// # Errors
    /// `bad_request` for a name that is empty, too long, holds a control character or is reserved.
    pub fn parse(name: &str) -> Result<Self, Problem> {
        check_word("event", name)?;
        if is_reserved(name) {
            return Err(Problem::new(Code::BadRequest, format!("the event name {name:?} is reserved"))
                .remedy("choose a name that is not fanfare.*, pusher:*, phx_*, open, error, connect or disconnect"));
        }
        Ok(Self::internal(name))
    }

    /// A name of the hub's own, not checked.
    pub fn internal(name: &str) -> Self {
        Self((name != DEFAULT_EVENT).then(|| name.into()))
    }
}

impl Deref for EventName {
    type Target = str;
    fn deref(&self) -> &str {
        self.0.as_deref().unwrap_or(DEFAULT_EVENT)
    }
}
impl fmt::Debug for EventName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

/// True for the event names that no publisher may use.
fn is_reserved(name: &str) -> bool {
    const EXACT: [&str; 8] = [
        "open",
        "error",
        "connect",
        "connect_error",
        "disconnect",
        "disconnecting",
        "newListener",
        "removeListener",
    ];
    const PREFIX: [&str; 4] = ["fanfare.", "pusher:", "pusher_internal:", "phx_"];
    EXACT.contains(&name) || PREFIX.iter().any(|prefix| name.starts_with(prefix))
}

/// Checks an event name, id, key or tag: 1 to 128 bytes, no control characters. `what` names it in the error.
///
/// # Errors
/// `bad_request` naming the field and the rule.
pub fn check_word(what: &str, word: &str) -> Result<(), Problem> {
    let fault = if word.is_empty() {
        "is empty"
    } else if word.len() > WORD_BYTES {
        "is longer than 128 bytes"
    } else if !word.bytes().all(|byte| matches!(byte, b' '..=b'~')) && word.chars().any(char::is_control) {
        "holds a control character"
    } else {
        return Ok(());
    };
    Err(Problem::new(Code::BadRequest, format!("{what} {fault}"))
        .remedy(format!("send {what} as 1 to 128 bytes of plain text")))
}

/// Checks a namespace that a client named: `/`, or `/` and more, without control characters, spaces and `?`.
///
/// # Errors
/// `bad_request`.
pub fn check_namespace(name: &str) -> Result<(), Problem> {
    let fault = if !name.starts_with('/') {
        "a namespace does not begin with /"
    } else if name.len() > WORD_BYTES {
        "a namespace is longer than 128 bytes"
    } else if name.chars().any(|c| c.is_control() || c.is_whitespace() || matches!(c, ',' | '?')) {
        "a namespace holds a control character, a space, a comma or a question mark"
    } else {
        return Ok(());
    };
    Err(Problem::new(Code::BadRequest, fault).remedy("send namespace as / or such as /chat"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn namespaces_begin_with_a_slash() {
        for good in ["/", "/chat", "/a/b:c"] {
            assert!(check_namespace(good).is_ok(), "{good}");
        }
        for bad in ["", "chat", "/a b", "/a,", "/a?b", "/a\n", &format!("/{}", "x".repeat(128))] {
            assert!(check_namespace(bad).is_err(), "{bad}");
        }
    }
}
