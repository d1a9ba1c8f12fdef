//! Fills settings from [`Node`]s: collects every fault instead of stopping at the first, and refuses what nobody asked for.
use std::collections::BTreeMap;

use super::{
    ConfigError,
    kind::Kind,
    nearest::nearest,
    node::{Node, Place, Value},
    schema::{Table, Visitor, When},
};

/// Where each setting that was written came from, by path.
pub type Places = BTreeMap<String, Place>;

/// Reads a table over what `settings` already says.
pub fn read<T: Table>(settings: &mut T, root: Node, errors: &mut Vec<ConfigError>) -> Places {
    let mut reader = Reader {
        path: String::new(),
        here: BTreeMap::new(),
        asked: Vec::new(),
        errors,
        places: Places::new(),
    };
    reader.inside("", root, |reader| settings.visit(reader));
    reader.places
}

struct Reader<'a> {
    /// Path of the table being read.
    path: String,
    /// What is left of it.
    here: BTreeMap<String, Node>,
    /// The keys that it may have.
    asked: Vec<&'static str>,
    errors: &'a mut Vec<ConfigError>,
    places: Places,
}

impl Reader<'_> {
    fn path_of(&self, key: &str) -> String {
        match (self.path.is_empty(), key.is_empty()) {
            (true, _) => key.to_owned(),
            (_, true) => self.path.clone(),
            _ => format!("{}.{key}", self.path),
        }
    }

    fn take(&mut self, key: &'static str) -> Option<Node> {
        self.asked.push(key);
        let node = self.here.remove(key)?;
        self.places.insert(self.path_of(key), node.place.clone());
        Some(node)
    }

    /// Reads the settings of a table, then refuses what is left of it.
    fn inside(&mut self, key: &str, node: Node, read: impl FnOnce(&mut Self)) {
        let path = self.path_of(key);
        let Value::Table(table) = node.value else {
            let what = format!("expected a table, found {}", node.found());
            self.errors.push(ConfigError::new(node.place, path, what));
            return;
        };
        let outer = (
            std::mem::replace(&mut self.path, path),
            std::mem::replace(&mut self.here, table),
            std::mem::take(&mut self.asked),
        );
        read(self);
        for (key, node) in std::mem::take(&mut self.here) {
            let known = nearest(&key, self.asked.iter().copied());
            let remedy = match known {
                Some(name) => format!("did you mean `{name}`?"),
                None => format!("one of {}; or remove it", self.asked.join(", ")),
            };
            let error = ConfigError::new(node.place, self.path_of(&key), "there is no such setting");
            self.errors.push(error.remedy(remedy));
        }
        (self.path, self.here, self.asked) = outer;
    }
}

impl Visitor for Reader<'_> {
    fn field<K: Kind>(&mut self, key: &'static str, value: &mut K::Value, _: When, _: &'static str) {
        let Some(node) = self.take(key) else { return };
        match K::read(&node) {
            Ok(read) => *value = read,
            Err(fault) => {
                let mut error = ConfigError::new(node.place, self.path_of(key), fault.what);
                error.remedy = fault.remedy;
                self.errors.push(error);
            }
        }
    }

    fn table<T: Table>(&mut self, key: &'static str, table: &mut T, _: &'static str) {
        if let Some(node) = self.take(key) {
            self.inside(key, node, |reader| table.visit(reader));
        }
    }

    fn map<T: Table>(&mut self, key: &'static str, map: &mut BTreeMap<String, T>, base: &T, _: &'static str) {
        let Some(node) = self.take(key) else { return };
        self.inside(key, node, |reader| {
            for (name, node) in std::mem::take(&mut reader.here) {
                reader.places.insert(reader.path_of(&name), node.place.clone());
                let mut table = map.remove(&name).unwrap_or_else(|| base.clone());
                reader.inside(&name, node, |reader| table.visit(reader));
                map.insert(name, table);
            }
        });
    }

    fn list<T: Table>(&mut self, key: &'static str, list: &mut Vec<T>, base: &T, _: &'static str) {
        let Some(node) = self.take(key) else { return };
        let Value::List(items) = node.value else {
            let what = format!("expected a list of tables, found {}", node.found());
            let error = ConfigError::new(node.place, self.path_of(key), what);
            self.errors.push(error.remedy(format!("write [[{}]] above each", self.path_of(key))));
            return;
        };
        list.clear();
        for (at, node) in items.into_iter().enumerate() {
            let mut table = base.clone();
            let key = format!("{key}[{at}]");
            self.places.insert(self.path_of(&key), node.place.clone());
            self.inside(&key, node, |reader| table.visit(reader));
            list.push(table);
        }
    }
}
