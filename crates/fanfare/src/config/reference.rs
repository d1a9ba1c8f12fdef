//! Makes the tables of docs/configuration.md from the definitions of the settings.
use std::collections::BTreeMap;

use super::{
    Config,
    kind::Kind,
    schema::{Table, Visitor, When},
};

/// Every setting in Markdown: a heading and a table for each table.
pub fn markdown() -> String {
    let mut config = Config::built_in(false);
    config.namespaces.clear();
    let mut pages = Pages { path: String::new(), parts: Vec::new(), current: 0 };
    pages.section("At the top of the file", "", |pages| config.visit(pages));
    let part = |part: Part| {
        let about = if part.about.is_empty() { String::new() } else { format!("{}\n\n", part.about) };
        format!(
            "## {}\n\n{about}| Setting | Kind | Default | What it is |\n|---|---|---|---|\n{}",
            part.title, part.rows
        )
    };
    pages.parts.into_iter().filter(|part| !part.rows.is_empty()).map(part).collect::<Vec<_>>().join("\n")
}

struct Part {
    title: String,
    about: String,
    rows: String,
}

struct Pages {
    path: String,
    parts: Vec<Part>,
    current: usize,
}

impl Pages {
    fn section(&mut self, title: &str, about: &str, fill: impl FnOnce(&mut Self)) {
        let outer = self.current;
        self.current = self.parts.len();
        self.parts.push(Part { title: title.into(), about: about.into(), rows: String::new() });
        fill(self);
        self.current = outer;
    }

    fn inside<T: Table>(&mut self, key: &str, brackets: (&str, &str), about: &str, table: &mut T) {
        let outer = self.path.len();
        self.path.push_str(key);
        let title = format!("`{}{}{}`", brackets.0, self.path, brackets.1);
        self.path.push('.');
        self.section(&title, about, |pages| table.visit(pages));
        self.path.truncate(outer);
    }
}

impl Visitor for Pages {
    fn field<K: Kind>(&mut self, key: &'static str, value: &mut K::Value, when: When, about: &'static str) {
        let default = match K::show(value).as_str() {
            "(unset)" | "(secret)" | "\"\"" => String::new(),
            shown => format!("`{shown}`"),
        };
        let restart = if when == When::Restart { " *Needs a restart.*" } else { "" };
        let row = format!("| `{key}` | {} | {default} | {about}{restart} |\n", K::short());
        if let Some(part) = self.parts.get_mut(self.current) {
            part.rows.push_str(&row);
        }
    }

    fn table<T: Table>(&mut self, key: &'static str, table: &mut T, about: &'static str) {
        self.inside(key, ("[", "]"), about, table);
    }

    fn map<T: Table>(
        &mut self,
        key: &'static str,
        _: &mut BTreeMap<String, T>,
        base: &T,
        about: &'static str,
    ) {
        self.inside(&format!("{key}.NAME"), ("[", "]"), about, &mut base.clone());
    }

    fn list<T: Table>(&mut self, key: &'static str, _: &mut Vec<T>, base: &T, about: &'static str) {
        self.inside(key, ("[[", "]]"), about, &mut base.clone());
    }
}
