//! How settings are walked. Each table says once, in [`Table::visit`], which settings it has, of which kind, and what they are for;
//! reading, listing, comparing and documenting are visitors of that one definition.
use std::collections::BTreeMap;

use super::kind::Kind;

/// When a changed setting takes effect.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum When {
    /// At SIGHUP.
    Reload,
    /// At the next start.
    Restart,
}

/// A table of settings.
pub trait Table: Clone {
    /// Shows every setting to the visitor, in the order of the documentation.
    fn visit<V: Visitor>(&mut self, visitor: &mut V);

    /// What an entry of a list of such tables is called in paths; its number if nothing.
    fn label(&self) -> Option<&str> {
        None
    }
}

/// What walks over settings.
pub trait Visitor {
    /// One setting. `about` is a sentence for the documentation.
    fn field<K: Kind>(&mut self, key: &'static str, value: &mut K::Value, when: When, about: &'static str);

    /// A table inside this one.
    fn table<T: Table>(&mut self, key: &'static str, table: &mut T, about: &'static str);

    /// Tables by name: `[key.NAME]`. What a new one leaves out is as in `base`.
    fn map<T: Table>(
        &mut self,
        key: &'static str,
        map: &mut BTreeMap<String, T>,
        base: &T,
        about: &'static str,
    );

    /// A list of tables: `[[key]]`. What one leaves out is as in `base`.
    fn list<T: Table>(&mut self, key: &'static str, list: &mut Vec<T>, base: &T, about: &'static str);
}
