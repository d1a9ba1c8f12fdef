//! The demos' pages, built from `examples/demos` into the binary's files.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::steps::Outcome;
use crate::tools;

/// Where they are.
pub const SOURCE: &str = "examples/demos";

/// Builds them again.
///
/// # Errors
/// Node is missing, or the build failed.
pub fn build(root: &Path) -> Result<(), String> {
    prepare(root)?;
    tools::run(npm(root).args(["run", "--silent", "build"]))
}

/// Whether what is checked in is what a build makes now, from typed sources.
///
/// # Errors
/// It is not; the files are named above.
pub fn check(root: &Path) -> Result<Outcome, String> {
    if !has_npm(root) {
        return Ok(Outcome::Skipped("install Node.js 20 or newer, with npm".into()));
    }
    prepare(root)?;
    tools::run(npm(root).args(["run", "--silent", "typecheck"]))?;
    tools::run(npm(root).args(["run", "--silent", "check"]))?;
    Ok(Outcome::Passed)
}

/// npm, in the demos' folder.
pub fn npm(root: &Path) -> Command {
    let mut command = Command::new("npm");
    command.current_dir(root.join(SOURCE)).stdin(Stdio::null());
    command
}

fn has_npm(root: &Path) -> bool {
    npm(root).arg("--version").output().is_ok_and(|output| output.status.success())
}

/// The pinned tools, if they are not there.
///
/// # Errors
/// They could not be installed.
pub fn prepare(root: &Path) -> Result<(), String> {
    if root.join(SOURCE).join("node_modules/esbuild").is_dir() {
        return Ok(());
    }
    tools::run(npm(root).args(["ci", "--no-audit", "--no-fund"]))
}
