//! Reads TOML text into [`Node`]s that remember their lines.
use std::{collections::BTreeMap, path::Path, sync::Arc};

use toml::{
    Spanned,
    de::{DeArray, DeTable, DeValue},
};

use super::{
    ConfigError,
    node::{Node, Place, Value},
};

/// Reads the text of a file; `path` is only what errors call it.
///
/// # Errors
/// The text is not TOML.
pub fn parse(text: &str, path: &Path) -> Result<Node, ConfigError> {
    let lines = Lines::new(text, path);
    match DeTable::parse(text) {
        Ok(table) => Ok(Node { value: lines.table(table.into_inner()), place: lines.place(0), raw: None }),
        Err(error) => {
            let place = lines.place(error.span().map_or(0, |span| span.start));
            Err(ConfigError::new(place, "", error.message().to_owned())
                .remedy("write it as TOML: key = value, strings in quotes, tables as [name]"))
        }
    }
}

/// Reads one value, such as an environment variable may hold; none when the text is not a TOML value.
pub fn parse_value(text: &str, place: &Place) -> Option<Value> {
    let value = DeValue::parse(text).ok()?;
    let lines = Lines { path: None, fixed: Some(place.clone()), starts: Vec::new() };
    Some(lines.value(value.into_inner()))
}

/// Turns byte positions into lines.
struct Lines {
    path: Option<Arc<Path>>,
    fixed: Option<Place>,
    starts: Vec<usize>,
}

impl Lines {
    fn new(text: &str, path: &Path) -> Self {
        let starts =
            text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at + 1).collect();
        Self { path: Some(path.into()), fixed: None, starts }
    }

    fn place(&self, at: usize) -> Place {
        match (&self.fixed, &self.path) {
            (Some(place), _) => place.clone(),
            (None, Some(path)) => {
                Place::File(path.clone(), 1 + self.starts.partition_point(|start| *start <= at))
            }
            (None, None) => Place::Default,
        }
    }

    fn table(&self, table: DeTable<'_>) -> Value {
        let mut nodes = BTreeMap::new();
        for (key, value) in table {
            // The key's line, not the value's: a table's value spans its header, a list may begin on a later line.
            let place = self.place(key.span().start);
            let value = self.value(value.into_inner());
            nodes.insert(key.into_inner().into_owned(), Node { value, place, raw: None });
        }
        Value::Table(nodes)
    }

    fn list(&self, list: DeArray<'_>) -> Value {
        let node = |item: Spanned<DeValue<'_>>| {
            let place = self.place(item.span().start);
            Node { value: self.value(item.into_inner()), place, raw: None }
        };
        Value::List(list.into_iter().map(node).collect())
    }

    fn value(&self, value: DeValue<'_>) -> Value {
        match value {
            DeValue::String(text) => Value::Text(text.into_owned()),
            DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
                Ok(number) => Value::Integer(number),
                Err(_) => Value::Other(number.to_string()),
            },
            DeValue::Boolean(flag) => Value::Flag(flag),
            DeValue::Float(number) => Value::Other(number.to_string()),
            DeValue::Datetime(time) => Value::Other(time.to_string()),
            DeValue::Array(list) => self.list(list),
            DeValue::Table(table) => self.table(table),
        }
    }
}
