//! Lists settings as paths and values, for comparing two configurations.
use std::collections::BTreeMap;

use super::{
    kind::Kind,
    schema::{Table, Visitor, When},
};

/// A setting's value.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// As it may be printed.
    pub shown: String,
    /// For comparing; may hold a secret.
    exact: String,
    /// When a change takes effect.
    pub when: When,
}

impl Entry {
    /// Whether both hold the same value.
    pub fn same(&self, other: &Self) -> bool {
        self.exact == other.exact
    }
}

/// Every setting by path.
pub fn list<T: Table>(settings: &T) -> BTreeMap<String, Entry> {
    let mut listing = Listing { path: String::new(), entries: BTreeMap::new() };
    settings.clone().visit(&mut listing);
    listing.entries
}

struct Listing {
    path: String,
    entries: BTreeMap<String, Entry>,
}

impl Listing {
    fn inside<T: Table>(&mut self, key: &str, table: &mut T) {
        let outer = self.path.len();
        self.path.push_str(key);
        self.path.push('.');
        table.visit(self);
        self.path.truncate(outer);
    }
}

impl Visitor for Listing {
    fn field<K: Kind>(&mut self, key: &'static str, value: &mut K::Value, when: When, _: &'static str) {
        let entry = Entry { shown: K::show(value), exact: K::exact(value), when };
        self.entries.insert(format!("{}{key}", self.path), entry);
    }

    fn table<T: Table>(&mut self, key: &'static str, table: &mut T, _: &'static str) {
        self.inside(key, table);
    }

    fn map<T: Table>(&mut self, key: &'static str, map: &mut BTreeMap<String, T>, _: &T, _: &'static str) {
        for (name, table) in map {
            self.inside(&format!("{key}.{name}"), table);
        }
    }

    fn list<T: Table>(&mut self, key: &'static str, list: &mut Vec<T>, _: &T, _: &'static str) {
        for (at, table) in list.iter_mut().enumerate() {
            let label = table.label().map_or_else(|| at.to_string(), str::to_owned);
            self.inside(&format!("{key}.{label}"), table);
        }
    }
}
