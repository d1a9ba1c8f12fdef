//! The dependencies that a Cargo.toml gives a crate when it is used, by their package names.

use std::path::Path;

use toml::{Table, Value};

use super::walk;

/// A parsed manifest and the workspace dependencies it may refer to.
pub struct Manifests {
    workspace: Table,
}

impl Manifests {
    /// Reads the workspace's own Cargo.toml.
    pub fn read(root: &Path) -> Result<Self, String> {
        let manifest = parse(&root.join("Cargo.toml"))?;
        let workspace =
            manifest.get("workspace").and_then(|w| w.get("dependencies")).and_then(Value::as_table);
        Ok(Self { workspace: workspace.cloned().unwrap_or_default() })
    }

    /// Package names in `[dependencies]` and `[build-dependencies]`, for every target, renames undone.
    /// Dev-dependencies are not among them: a test may use anything.
    pub fn dependencies(&self, path: &Path) -> Result<Vec<String>, String> {
        let manifest = parse(path)?;
        let mut names = Vec::new();
        self.collect(&manifest, &mut names);
        for target in manifest.get("target").and_then(Value::as_table).into_iter().flatten() {
            if let Some(table) = target.1.as_table() {
                self.collect(table, &mut names);
            }
        }
        names.sort();
        names.dedup();
        Ok(names)
    }

    fn collect(&self, table: &Table, names: &mut Vec<String>) {
        for section in ["dependencies", "build-dependencies"] {
            for (name, value) in table.get(section).and_then(Value::as_table).into_iter().flatten() {
                let inherited = value.get("workspace").and_then(Value::as_bool) == Some(true);
                let declared = if inherited { self.workspace.get(name) } else { Some(value) };
                let package = declared.and_then(|value| value.get("package")).and_then(Value::as_str);
                names.push(package.unwrap_or(name).to_owned());
            }
        }
    }
}

fn parse(path: &Path) -> Result<Table, String> {
    walk::read(path)?.parse::<Table>().map_err(|error| format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::super::fixture::Fixture;
    use super::*;

    #[test]
    fn renames_targets_and_build_dependencies_are_seen_and_dev_dependencies_are_not() {
        let tree = Fixture::new(&[
            ("Cargo.toml", "[workspace.dependencies]\nsneaky = { package = \"tokio\", version = \"1\" }\n"),
            (
                "a/Cargo.toml",
                "[dependencies]\nbytes = \"1\"\nsneaky.workspace = true\nnet = { package = \"mio\", version = \"1\" }\n\
                 [build-dependencies]\ncc = \"1\"\n\
                 [target.'cfg(unix)'.dependencies]\nlibc = \"0.2\"\n\
                 [dev-dependencies]\nproptest = \"1\"\n",
            ),
        ]);
        let names =
            Manifests::read(tree.root()).unwrap().dependencies(&tree.root().join("a/Cargo.toml")).unwrap();
        assert_eq!(names, ["bytes", "cc", "libc", "mio", "tokio"]);
    }
}
