//! A setting's value together with the place it came from, before anybody knows what it means.
use std::{collections::BTreeMap, fmt, path::Path, sync::Arc};

/// Where a value was written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Place {
    /// A line of a configuration file, counted from 1.
    File(Arc<Path>, usize),
    /// An environment variable.
    Variable(Arc<str>),
    /// A flag of the command line.
    Flag(&'static str),
    /// Nowhere: the value is built in.
    Default,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path, line) => write!(f, "{}:{line}", path.display()),
            Self::Variable(name) => write!(f, "environment variable {name}"),
            Self::Flag(flag) => f.write_str(flag),
            Self::Default => f.write_str("default"),
        }
    }
}

/// A value as the file, the environment or a flag spelled it.
#[derive(Clone, PartialEq, Debug)]
pub enum Value {
    /// A string.
    Text(String),
    /// A whole number.
    Integer(i64),
    /// `true` or `false`.
    Flag(bool),
    /// Anything else that has no place in this configuration: floats, dates, numbers beyond 64 bits.
    Other(String),
    /// A list.
    List(Vec<Node>),
    /// A table.
    Table(BTreeMap<String, Node>),
}

/// A value and its place.
#[derive(Clone, PartialEq, Debug)]
pub struct Node {
    /// The value.
    pub value: Value,
    /// Its place.
    pub place: Place,
    /// The exact text of an environment variable or flag, which has no types: `12345` may be a secret.
    pub raw: Option<Arc<str>>,
}

impl Node {
    /// An empty table.
    pub fn empty(place: Place) -> Self {
        Self { value: Value::Table(BTreeMap::new()), place, raw: None }
    }

    /// What the value is, for an error: its kind, and the value itself where it is short.
    pub fn found(&self) -> String {
        match &self.value {
            Value::Text(text) => format!("{:?}", shorten(text)),
            Value::Integer(number) => number.to_string(),
            Value::Flag(flag) => flag.to_string(),
            Value::Other(text) => shorten(text),
            Value::List(_) => "a list".into(),
            Value::Table(_) => "a table".into(),
        }
    }

    /// Lays `over` on top: tables are joined key by key, everything else is replaced.
    pub fn overlay(&mut self, over: Self) {
        if let (Value::Table(below), Value::Table(above)) = (&mut self.value, &over.value) {
            for (key, node) in above {
                match below.get_mut(key) {
                    Some(there) => there.overlay(node.clone()),
                    None => {
                        below.insert(key.clone(), node.clone());
                    }
                }
            }
        } else {
            *self = over;
        }
    }

    /// Puts a node at a path, making tables on the way. Keys that differ from one already there in case alone are that
    /// one, because environment variables are upper case. False when something on the way is not a table.
    pub fn put(&mut self, path: &[String], node: Self) -> bool {
        let Value::Table(table) = &mut self.value else { return false };
        let Some((key, rest)) = path.split_first() else { return false };
        let key = table.keys().find(|there| there.eq_ignore_ascii_case(key)).unwrap_or(key).clone();
        if rest.is_empty() {
            match table.get_mut(&key) {
                Some(there) => there.overlay(node),
                None => {
                    table.insert(key, node);
                }
            }
            return true;
        }
        let place = node.place.clone();
        table.entry(key).or_insert_with(|| Self::empty(place)).put(rest, node)
    }
}

/// At most 40 characters of a value, for an error.
fn shorten(text: &str) -> String {
    if text.chars().count() <= 40 {
        text.to_owned()
    } else {
        text.chars().take(37).chain("...".chars()).collect()
    }
}
