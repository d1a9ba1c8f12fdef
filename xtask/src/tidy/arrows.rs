//! Dependencies between our crates run one way, as ARCHITECTURE.md draws them.

use std::path::Path;

use super::manifest::Manifests;
use super::{Violation, walk};

/// Each directory of `crates/` and the crates of ours that it may use. Dev-dependencies are free.
/// A new crate gets a row here and a line in ARCHITECTURE.md's code map.
const ALLOWED: &[(&str, &[&str])] = &[
    ("protocol", &[]),
    ("websocket", &[]),
    ("session", &["protocol"]),
    ("broker", &["protocol"]),
    ("broker-disk", &["protocol", "broker"]),
    ("hub", &["protocol", "broker"]),
    ("auth", &["protocol"]),
    ("dialect/socketio", &["protocol", "session"]),
    ("transport", &["protocol", "websocket", "session", "broker", "hub", "auth", "dialect-socketio"]),
    ("bench", &[]),
    (
        "fanfare",
        &["protocol", "websocket", "session", "broker", "broker-disk", "hub", "auth", "transport", "bench"],
    ),
    ("testkit", &["protocol", "websocket", "session", "broker", "hub"]),
];

pub fn check(root: &Path) -> Result<Vec<Violation>, String> {
    let manifests = Manifests::read(root)?;
    let mut violations = Vec::new();
    for directory in crates(root)? {
        let path = root.join("crates").join(&directory).join("Cargo.toml");
        let dependencies = manifests.dependencies(&path)?;
        let path = walk::relative(root, &path);
        let Some((_, allowed)) = ALLOWED.iter().find(|(name, _)| *name == directory) else {
            let message =
                format!("`{directory}` has no row in xtask/src/tidy/arrows.rs: say what it may use");
            violations.push(Violation::of_file(path, message));
            continue;
        };
        for ours in dependencies.iter().filter_map(|name| directory_of(name)) {
            if !allowed.contains(&ours) {
                let may = if allowed.is_empty() { "none of ours".to_owned() } else { allowed.join(", ") };
                let message = format!("`{directory}` must not use `{ours}`; it may use {may}");
                violations.push(Violation::of_file(path.clone(), message));
            }
        }
    }
    Ok(violations)
}

/// The directory of our crate called `package`; none for a stranger's.
fn directory_of(package: &str) -> Option<&str> {
    match package {
        "fanfare" => Some("fanfare"),
        "xtask" => Some("xtask"),
        _ => package.strip_prefix("fanfare-"),
    }
}

/// Directories of `crates/` that hold a crate, and of `crates/dialect/`.
fn crates(root: &Path) -> Result<Vec<String>, String> {
    let mut names = crates_in(&root.join("crates"))?;
    let dialects = root.join("crates/dialect");
    if dialects.is_dir() {
        names.extend(crates_in(&dialects)?.into_iter().map(|name| format!("dialect/{name}")));
    }
    names.sort();
    Ok(names)
}

fn crates_in(directory: &Path) -> Result<Vec<String>, String> {
    let entries = std::fs::read_dir(directory)
        .map_err(|error| format!("cannot list {}: {error}", directory.display()))?;
    let names = entries
        .filter_map(Result::ok)
        .filter(|entry| entry.path().join("Cargo.toml").is_file())
        .map(|entry| entry.file_name().to_string_lossy().into_owned());
    Ok(names.collect())
}

#[cfg(test)]
mod tests {
    use super::super::fixture::Fixture;
    use super::*;

    const ROOT: (&str, &str) =
        ("Cargo.toml", "[workspace.dependencies]\ncore_hub = { package = \"fanfare-hub\" }\n");

    fn messages(files: &[(&str, &str)]) -> Vec<String> {
        let tree = Fixture::new(&[&[ROOT], files].concat());
        check(tree.root()).unwrap().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn an_arrow_against_the_design_is_refused() {
        let found =
            messages(&[("crates/session/Cargo.toml", "[dependencies]\nfanfare-hub.workspace = true\n")]);
        assert_eq!(found, ["crates/session/Cargo.toml: `session` must not use `hub`; it may use protocol"]);
    }

    #[test]
    fn a_renamed_dependency_does_not_hide() {
        let found = messages(&[("crates/broker/Cargo.toml", "[dependencies]\ncore_hub.workspace = true\n")]);
        assert_eq!(found.len(), 1, "{found:?}");
    }

    #[test]
    fn a_crate_without_a_row_is_refused() {
        let found = messages(&[("crates/gadget/Cargo.toml", "[package]\nname = \"fanfare-gadget\"\n")]);
        assert!(found.len() == 1 && found[0].contains("has no row"), "{found:?}");
    }

    #[test]
    fn arrows_of_the_design_dev_dependencies_and_strangers_pass() {
        let found = messages(&[
            ("crates/hub/Cargo.toml", "[dependencies]\nfanfare-broker = \"1\"\nbytes = \"1\"\n"),
            ("crates/session/Cargo.toml", "[dev-dependencies]\nfanfare-testkit = \"1\"\n"),
        ]);
        assert_eq!(found, [""; 0]);
    }

    #[test]
    fn the_table_has_no_cycle() {
        // Rows stand after everything they use, testkit apart; so no arrow can come back.
        for (at, (name, allowed)) in ALLOWED.iter().enumerate() {
            for used in *allowed {
                let position = ALLOWED.iter().position(|(other, _)| other.replace('/', "-") == **used);
                assert!(position.is_some_and(|position| position < at), "{name} -> {used}");
            }
        }
    }
}
