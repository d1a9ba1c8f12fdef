//! `cargo xtask socketio`: the unmodified socket.io-client, and the wire by hand, against the hub's own program.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::steps::Outcome;
use crate::tools::{self, cargo};

const FOLDER: &str = "tests/socketio";
/// The oldest major version of Node.js that the tests run on.
const NODE: u32 = 20;

/// As a step of `cargo xtask test`: without Node.js it is skipped, and says what is missing.
///
/// # Errors
/// The first command that failed.
pub fn step(root: &Path) -> Result<Outcome, String> {
    if let Some(why) = missing() {
        return Ok(Outcome::Skipped(why));
    }
    run(root).map(|()| Outcome::Passed)
}

/// As a command of its own: what is missing is an error.
///
/// # Errors
/// What is missing, or the first command that failed.
pub fn run(root: &Path) -> Result<(), String> {
    if let Some(why) = missing() {
        return Err(why);
    }
    tools::run(cargo(root).args([
        "build",
        "--workspace",
        "--bin",
        "fanfare",
        "--example",
        "socketio_conformance",
    ]))?;
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), Into::into);
    prepare(root)?;
    tools::run(
        npm(root)
            .env("FANFARE_BIN", target.join("debug/fanfare"))
            .env("CONFORMANCE_BIN", target.join("debug/examples/socketio_conformance"))
            .args(["run", "--silent", "test"]),
    )
}

/// npm, in the tests' folder.
pub fn npm(root: &Path) -> Command {
    let mut command = Command::new("npm");
    command.current_dir(root.join(FOLDER)).stdin(Stdio::null());
    command
}

/// The pinned clients.
///
/// # Errors
/// They cannot be installed.
pub fn prepare(root: &Path) -> Result<(), String> {
    tools::run(npm(root).args(["ci", "--no-audit", "--no-fund"]))
}

fn missing() -> Option<String> {
    let wanted = format!("install Node.js {NODE} or newer, with npm");
    let Ok(output) = Command::new("node").arg("--version").output() else { return Some(wanted) };
    let version = String::from_utf8_lossy(&output.stdout);
    let major: u32 = version.trim().trim_start_matches('v').split('.').next()?.parse().unwrap_or(0);
    (major < NODE).then_some(wanted)
}
