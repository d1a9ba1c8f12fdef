//! The kinds of values that settings have: how each is read, shown and explained.
use std::{marker::PhantomData, path::PathBuf, sync::Arc, time::Duration};

use fanfare_auth::{Algorithm, Secret};
use fanfare_protocol::{Ack, Right, Rights};

use super::{
    duration,
    nearest::nearest,
    node::{Node, Value},
    size,
};
use crate::schema::SchemaFile;

/// What is wrong with a value: a sentence that follows the setting's path, and what to do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fault {
    /// What is wrong.
    pub what: String,
    /// What to do, if the kind knows better than "write what is expected".
    pub remedy: Option<String>,
}

/// A kind of value.
pub trait Kind {
    /// What it is in the program.
    type Value: Clone;

    /// What may be written, as in "expected ...".
    fn expected() -> String;

    /// A word or two for the documentation.
    fn short() -> String {
        Self::expected()
    }

    /// Reads a value.
    ///
    /// # Errors
    /// It is not of this kind.
    fn read(node: &Node) -> Result<Self::Value, Fault>;

    /// The value as it would be written in TOML; secrets are masked.
    fn show(value: &Self::Value) -> String;

    /// Equal for equal values only: differs from [`Kind::show`] for secrets. Never printed.
    fn exact(value: &Self::Value) -> String {
        Self::show(value)
    }
}

/// The usual fault: something else was found.
pub fn unexpected<K: Kind + ?Sized>(node: &Node) -> Fault {
    Fault { what: format!("expected {}, found {}", K::expected(), node.found()), remedy: None }
}

/// The text of a node; of what the environment holds, exactly as it stands there.
fn text(node: &Node) -> Option<&str> {
    match (&node.value, &node.raw) {
        (Value::Text(text), _) => Some(text),
        (Value::List(_) | Value::Table(_), _) => None,
        (_, raw) => raw.as_deref(),
    }
}

/// A whole number from `MIN`.
pub struct Count<const MIN: usize = 0>;
impl<const MIN: usize> Kind for Count<MIN> {
    type Value = usize;
    fn expected() -> String {
        format!("a whole number from {MIN}")
    }
    fn short() -> String {
        if MIN == 0 { "number".into() } else { format!("number from {MIN}") }
    }
    fn read(node: &Node) -> Result<usize, Fault> {
        match node.value {
            Value::Integer(number) => usize::try_from(number).ok().filter(|number| *number >= MIN),
            _ => None,
        }
        .ok_or_else(|| unexpected::<Self>(node))
    }
    fn show(value: &usize) -> String {
        value.to_string()
    }
}

/// Bytes: a whole number from `MIN`, or with a unit.
pub struct Size<const MIN: usize = 1>;
impl<const MIN: usize> Kind for Size<MIN> {
    type Value = usize;
    fn expected() -> String {
        format!("a size such as 65536, \"64KiB\" or \"8MB\", at least {}", size::show(MIN))
    }
    fn short() -> String {
        if MIN == 1 { "size".into() } else { format!("size from {}", size::show(MIN)) }
    }
    fn read(node: &Node) -> Result<usize, Fault> {
        match &node.value {
            Value::Integer(number) => usize::try_from(*number).ok(),
            Value::Text(text) => size::parse(text),
            _ => None,
        }
        .filter(|bytes| *bytes >= MIN)
        .ok_or_else(|| unexpected::<Self>(node))
    }
    fn show(value: &usize) -> String {
        quoted_unless_number(size::show(*value))
    }
}

/// A duration, at least `MIN` milliseconds.
pub struct Time<const MIN: u64 = 1>;
impl<const MIN: u64> Kind for Time<MIN> {
    type Value = Duration;
    fn expected() -> String {
        let least = if MIN > 1 {
            format!(", at least {}", duration::show(Duration::from_millis(MIN)))
        } else {
            String::new()
        };
        format!("a duration such as \"250ms\", \"10s\", \"5m\" or \"24h\"{least}")
    }
    fn short() -> String {
        "duration".into()
    }
    fn read(node: &Node) -> Result<Duration, Fault> {
        let read = match &node.value {
            Value::Text(text) => duration::parse(text),
            Value::Integer(0) => Some(Duration::ZERO),
            Value::Integer(number) => {
                return Err(Fault {
                    what: format!("expected {}, found {number} without a unit", Self::expected()),
                    remedy: Some(format!("write \"{number}s\" or \"{number}ms\"")),
                });
            }
            _ => None,
        };
        read.filter(|time| *time >= Duration::from_millis(MIN)).ok_or_else(|| unexpected::<Self>(node))
    }
    fn show(value: &Duration) -> String {
        format!("{:?}", duration::show(*value))
    }
}

/// `true` or `false`; in the environment also `1` and `0`.
pub struct Flag;
impl Kind for Flag {
    type Value = bool;
    fn expected() -> String {
        "true or false".into()
    }
    fn short() -> String {
        "`true`, `false`".into()
    }
    fn read(node: &Node) -> Result<bool, Fault> {
        match (&node.value, node.raw.as_deref()) {
            (Value::Flag(flag), _) => Ok(*flag),
            (_, Some("1")) => Ok(true),
            (_, Some("0")) => Ok(false),
            _ => Err(unexpected::<Self>(node)),
        }
    }
    fn show(value: &bool) -> String {
        value.to_string()
    }
}

/// A string.
pub struct Text;
impl Kind for Text {
    type Value = String;
    fn expected() -> String {
        "a string".into()
    }
    fn short() -> String {
        "text".into()
    }
    fn read(node: &Node) -> Result<String, Fault> {
        text(node).map(str::to_owned).ok_or_else(|| unexpected::<Self>(node))
    }
    fn show(value: &String) -> String {
        format!("{value:?}")
    }
}

/// A path.
pub struct File;
impl Kind for File {
    type Value = PathBuf;
    fn expected() -> String {
        "a path".into()
    }
    fn short() -> String {
        "path".into()
    }
    fn read(node: &Node) -> Result<PathBuf, Fault> {
        match text(node) {
            Some(path) if !path.is_empty() => Ok(path.into()),
            _ => Err(unexpected::<Self>(node)),
        }
    }
    fn show(value: &PathBuf) -> String {
        format!("{:?}", value.display().to_string())
    }
}

/// A file of schemas, which is read and compiled with the configuration.
pub struct Schemas;
impl Kind for Schemas {
    type Value = Arc<SchemaFile>;
    fn expected() -> String {
        "the path of a file of JSON Schemas".into()
    }
    fn short() -> String {
        "path".into()
    }
    fn read(node: &Node) -> Result<Arc<SchemaFile>, Fault> {
        let path = File::read(node).map_err(|_| unexpected::<Self>(node))?;
        SchemaFile::read(&path).map(Arc::new).map_err(|fault| Fault {
            what: fault.to_string(),
            remedy: Some("write it as docs/configuration.md says of `schema`".into()),
        })
    }
    fn show(value: &Arc<SchemaFile>) -> String {
        format!("{:?}", value.path().display().to_string())
    }
    fn exact(value: &Arc<SchemaFile>) -> String {
        format!("{}\n{}", Self::show(value), value.text())
    }
}

/// A string that is never shown.
pub struct Hidden;
impl Kind for Hidden {
    type Value = Secret;
    fn expected() -> String {
        "a string".into()
    }
    fn short() -> String {
        "secret".into()
    }
    fn read(node: &Node) -> Result<Secret, Fault> {
        // The value itself stays out of the error.
        let kind = match node.value {
            Value::List(_) => "a list",
            Value::Table(_) => "a table",
            _ => "something else",
        };
        let fault = || Fault { what: format!("expected {}, found {kind}", Self::expected()), remedy: None };
        text(node).map(Secret::new).ok_or_else(fault)
    }
    fn show(_: &Secret) -> String {
        "(secret)".into()
    }
    fn exact(value: &Secret) -> String {
        value.expose().to_owned()
    }
}

/// A value that may be absent.
pub struct Maybe<K>(PhantomData<K>);
impl<K: Kind> Kind for Maybe<K> {
    type Value = Option<K::Value>;
    fn expected() -> String {
        K::expected()
    }
    fn short() -> String {
        K::short()
    }
    fn read(node: &Node) -> Result<Self::Value, Fault> {
        K::read(node).map(Some)
    }
    fn show(value: &Self::Value) -> String {
        value.as_ref().map_or_else(|| "(unset)".into(), K::show)
    }
    fn exact(value: &Self::Value) -> String {
        value.as_ref().map_or_else(String::new, |value| format!("={}", K::exact(value)))
    }
}

/// A list; one value alone is a list of one, and in the environment commas separate.
pub struct ListOf<K>(PhantomData<K>);
impl<K: Kind> Kind for ListOf<K> {
    type Value = Vec<K::Value>;
    fn expected() -> String {
        format!("a list, each of them {}", K::expected())
    }
    fn short() -> String {
        format!("list: {}", K::short())
    }
    fn read(node: &Node) -> Result<Self::Value, Fault> {
        match (&node.value, &node.raw) {
            (Value::List(items), _) => items.iter().map(K::read).collect(),
            (Value::Text(text), Some(_)) => text
                .split(',')
                .map(str::trim)
                .filter(|part| !part.is_empty())
                .map(|part| {
                    K::read(&Node { value: Value::Text(part.into()), raw: None, place: node.place.clone() })
                })
                .collect(),
            (Value::Table(_), _) => Err(unexpected::<Self>(node)),
            _ => Ok(vec![K::read(node)?]),
        }
    }
    fn show(value: &Self::Value) -> String {
        format!("[{}]", value.iter().map(K::show).collect::<Vec<_>>().join(", "))
    }
    fn exact(value: &Self::Value) -> String {
        format!("{:?}", value.iter().map(K::exact).collect::<Vec<_>>())
    }
}

/// One of a few words.
pub trait Word: Copy + PartialEq + 'static {
    /// The words and what they mean, in the order of the documentation.
    const WORDS: &'static [(&'static str, Self)];
}

/// A value that is one of a few words.
pub struct OneOf<W>(PhantomData<W>);
impl<W: Word> Kind for OneOf<W> {
    type Value = W;
    fn expected() -> String {
        let words: Vec<_> = W::WORDS.iter().map(|(word, _)| format!("\"{word}\"")).collect();
        match words.as_slice() {
            [first] => first.clone(),
            [front @ .., last] => format!("{} or {last}", front.join(", ")),
            [] => String::new(),
        }
    }
    fn short() -> String {
        W::WORDS.iter().map(|(word, _)| format!("`{word}`")).collect::<Vec<_>>().join(", ")
    }
    fn read(node: &Node) -> Result<W, Fault> {
        let Some(given) = text(node) else { return Err(unexpected::<Self>(node)) };
        if let Some((_, value)) = W::WORDS.iter().find(|(word, _)| *word == given) {
            return Ok(*value);
        }
        let mut fault = unexpected::<Self>(node);
        fault.remedy = nearest(given, W::WORDS.iter().map(|(word, _)| *word))
            .map(|word| format!("did you mean \"{word}\"?"));
        Err(fault)
    }
    fn show(value: &W) -> String {
        let word = W::WORDS.iter().find(|(_, known)| known == value);
        word.map_or_else(String::new, |(word, _)| format!("\"{word}\""))
    }
}

impl Word for Ack {
    const WORDS: &'static [(&'static str, Self)] = &[("memory", Self::Memory), ("stored", Self::Stored)];
}

impl Word for Right {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("subscribe", Self::Subscribe),
        ("publish", Self::Publish),
        ("presence", Self::Presence),
        ("enter", Self::Enter),
        ("history", Self::History),
    ];
}

impl Word for Algorithm {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("HS256", Self::Hs256),
        ("HS384", Self::Hs384),
        ("HS512", Self::Hs512),
        ("RS256", Self::Rs256),
        ("RS384", Self::Rs384),
        ("RS512", Self::Rs512),
        ("PS256", Self::Ps256),
        ("PS384", Self::Ps384),
        ("PS512", Self::Ps512),
        ("ES256", Self::Es256),
        ("ES384", Self::Es384),
        ("EdDSA", Self::EdDsa),
        ("Ed25519", Self::EdDsa),
    ];
}

/// A list of rights.
pub struct RightList;
impl Kind for RightList {
    type Value = Rights;
    fn expected() -> String {
        format!("a list of {}", OneOf::<Right>::expected())
    }
    fn short() -> String {
        "list of rights".into()
    }
    fn read(node: &Node) -> Result<Rights, Fault> {
        match (&node.value, &node.raw) {
            (Value::Table(_), _) => Err(unexpected::<Self>(node)),
            (Value::Integer(_) | Value::Flag(_) | Value::Other(_), _) => Err(unexpected::<Self>(node)),
            _ => Ok(ListOf::<OneOf<Right>>::read(node)?.into_iter().collect()),
        }
    }
    fn show(value: &Rights) -> String {
        let rights = Right::ALL
            .into_iter()
            .filter(|right| value.has(*right))
            .map(|right| format!("{:?}", right.name()));
        format!("[{}]", rights.collect::<Vec<_>>().join(", "))
    }
}

fn quoted_unless_number(text: String) -> String {
    if text.bytes().all(|byte| byte.is_ascii_digit()) { text } else { format!("{text:?}") }
}
