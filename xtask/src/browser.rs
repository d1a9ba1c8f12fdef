//! `cargo xtask browser`: what is checked in a real browser. The SDK in its test pages, socket.io-client in an empty one, then every demo.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::demos;
use crate::sdk;
use crate::socketio;
use crate::steps::Outcome;
use crate::tools;

/// Names it as a program.
const VARIABLE: &str = "CHROMIUM_BIN";
/// What systems call it, looked for in `PATH`.
const NAMES: &[&str] = &["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
/// Where it is without being in `PATH`.
const PLACES: &[&str] = &[
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    "C:\\Program Files\\Google\\Chrome\\Application\\chrome.exe",
];
/// What playwright has downloaded, if anything: its own word for where that is.
const PLAYWRIGHTS: &str =
    "import('playwright-core').then(({ chromium }) => process.stdout.write(chromium.executablePath()))";

/// As a step of `cargo xtask test`: without Node.js or Chromium it is skipped, and says what is missing.
///
/// # Errors
/// The first suite that failed.
pub fn step(root: &Path) -> Result<Outcome, String> {
    if let Some(why) = sdk::missing(root) {
        return Ok(Outcome::Skipped(why));
    }
    demos::prepare(root)?;
    let Some(chromium) = chromium(root) else { return Ok(Outcome::Skipped(not_found())) };
    sdk::prepare(root)?;
    socketio::prepare(root)?;
    let hub = sdk::hub(root)?;
    let suites =
        [(sdk::npm(root), "test:browser"), (socketio::npm(root), "test:browser"), (demos::npm(root), "test")];
    for (mut npm, script) in suites {
        npm.env("FANFARE_BIN", &hub).env(VARIABLE, &chromium);
        tools::run(npm.args(["run", "--silent", script]))?;
    }
    Ok(Outcome::Passed)
}

/// As a command of its own: what is missing is an error.
///
/// # Errors
/// What is missing, or the first suite that failed.
pub fn run(root: &Path) -> Result<(), String> {
    match step(root)? {
        Outcome::Passed => Ok(()),
        Outcome::Skipped(why) => Err(why),
    }
}

/// The browser to test in; none where there is none.
fn chromium(root: &Path) -> Option<PathBuf> {
    if let Some(named) = std::env::var_os(VARIABLE) {
        return Some(named.into());
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let in_path =
        NAMES.iter().flat_map(|name| std::env::split_paths(&path).map(move |directory| directory.join(name)));
    in_path.chain(PLACES.iter().map(PathBuf::from)).find(|place| place.is_file()).or_else(|| downloaded(root))
}

fn downloaded(root: &Path) -> Option<PathBuf> {
    let mut node = Command::new("node");
    node.current_dir(root.join(demos::SOURCE)).args(["-e", PLAYWRIGHTS]).stderr(Stdio::null());
    let output = node.output().ok()?;
    let place = PathBuf::from(String::from_utf8(output.stdout).ok()?.trim());
    place.is_file().then_some(place)
}

fn not_found() -> String {
    format!(
        "Chromium is missing: `apt-get install chromium`, or `npx playwright-core install chromium` in {}, or its path in {VARIABLE} \
         (looked for {} in PATH)",
        demos::SOURCE,
        NAMES.join(", ")
    )
}
