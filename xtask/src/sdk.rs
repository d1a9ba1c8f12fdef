//! `cargo xtask sdk`: everything that is checked of the TypeScript SDK, in the order that fails soonest.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::steps::Outcome;
use crate::tools::{self, cargo};

/// Where it is.
pub const FOLDER: &str = "sdk/typescript";
/// What `npm run` is asked for, after `npm ci`. `contract` runs against the hub's own program.
const SCRIPTS: &[&[&str]] = &[
    &["codes", "--", "--check"],
    &["typecheck"],
    &["lint"],
    &["test"],
    &["build"],
    &["size"],
    &["contract"],
];
/// The oldest major version of Node.js that the SDK's tools run on.
const NODE: u32 = 20;

/// As a step of `cargo xtask test`: without Node.js it is skipped, and says what is missing.
///
/// # Errors
/// The first command that failed.
pub fn step(root: &Path) -> Result<Outcome, String> {
    if let Some(why) = missing(root) {
        return Ok(Outcome::Skipped(why));
    }
    run(root).map(|()| Outcome::Passed)
}

/// As a command of its own: what is missing is an error.
///
/// # Errors
/// What is missing, or the first command that failed.
pub fn run(root: &Path) -> Result<(), String> {
    if let Some(why) = missing(root) {
        return Err(why);
    }
    let hub = hub(root)?;
    tools::run(npm(root).args(["ci", "--no-audit", "--no-fund"]))?;
    for script in SCRIPTS {
        tools::run(npm(root).env("FANFARE_BIN", &hub).args(["run", "--silent"]).args(*script))?;
    }
    Ok(())
}

/// npm, in the SDK's folder.
pub fn npm(root: &Path) -> Command {
    let mut command = Command::new("npm");
    command.current_dir(root.join(FOLDER)).stdin(Stdio::null());
    command
}

/// The pinned tools, if they are not there.
///
/// # Errors
/// They could not be installed.
pub fn prepare(root: &Path) -> Result<(), String> {
    if root.join(FOLDER).join("node_modules/vitest").is_dir() {
        return Ok(());
    }
    tools::run(npm(root).args(["ci", "--no-audit", "--no-fund"]))
}

/// The hub's program: the one in `FANFARE_BIN`, or this tree's, built.
///
/// # Errors
/// It does not build.
pub fn hub(root: &Path) -> Result<PathBuf, String> {
    if let Some(named) = std::env::var_os("FANFARE_BIN") {
        return Ok(root.join(named));
    }
    // `--workspace` although one program is wanted: another selection would be another set of features, and compile anew.
    tools::run(cargo(root).args(["build", "--quiet", "--workspace", "--bin", "fanfare"]))?;
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), |path| root.join(path));
    Ok(target.join("debug").join(if cfg!(windows) { "fanfare.exe" } else { "fanfare" }))
}

/// What has to be installed first, if anything.
pub fn missing(root: &Path) -> Option<String> {
    if !root.join(FOLDER).join("package.json").is_file() {
        return Some(format!("this tree has no {FOLDER}"));
    }
    let Some(node) = version("node") else {
        return Some(format!("node is missing: install Node.js {NODE} or newer (https://nodejs.org)"));
    };
    if major(&node).is_none_or(|major| major < NODE) {
        return Some(format!("node is {node}: install Node.js {NODE} or newer (https://nodejs.org)"));
    }
    if version("npm").is_none() {
        return Some("npm is missing: it comes with Node.js, or as the package npm".into());
    }
    None
}

/// What `PROGRAM --version` says; none where it cannot be started.
fn version(program: &str) -> Option<String> {
    let output = Command::new(program).arg("--version").stderr(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// The first number of `v20.1.2`.
fn major(version: &str) -> Option<u32> {
    version.trim_start_matches('v').split('.').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_major_version_is_read_with_and_without_its_letter() {
        assert_eq!(major("v20.20.2"), Some(20));
        assert_eq!(major("11.19.1"), Some(11));
        assert_eq!(major("nightly"), None);
    }

    #[test]
    fn a_tree_without_the_sdk_says_so() {
        let why = missing(Path::new("/nonexistent")).unwrap();
        assert!(why.contains("sdk/typescript"), "{why}");
    }
}
