//! How channels are named in a namespace.
use fanfare_protocol::{ChannelName, Problem};

/// The prefix of a namespace's channels, without its colon; empty for `/`.
pub fn prefix(namespace: &str) -> &str {
    namespace.strip_prefix('/').unwrap_or(namespace)
}

/// The channel that a client names itself: its full name, to which the prefix of its namespace is put where it does not stand already.
///
/// # Errors
/// `bad_request` when it is no channel's name.
pub fn channel(namespace: &str, name: &str) -> Result<ChannelName, Problem> {
    let space = prefix(namespace);
    let has = name.strip_prefix(space).is_some_and(|rest| rest.starts_with(':'));
    if space.is_empty() || has {
        ChannelName::parse(name)
    } else {
        ChannelName::parse(&format!("{space}:{name}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_names_channels_with_or_without_the_prefix_of_its_namespace() {
        assert_eq!(&*channel("/", "chat:1").unwrap(), "chat:1");
        assert_eq!(&*channel("/chat", "1").unwrap(), "chat:1");
        assert_eq!(&*channel("/chat", "chat:1").unwrap(), "chat:1");
        assert_eq!(&*channel("/chat", "chats").unwrap(), "chat:chats");
        assert!(channel("/", "$presence:x").is_err());
    }
}
