//! `cargo xtask test`: everything CI checks, in the order that fails soonest.
//!
//! One profile throughout, so that dependencies compile once for checking and once for testing.

use std::path::Path;
use std::process::Output;

use crate::demos;
use crate::gates;
use crate::sdk;
use crate::socketio;
use crate::steps::{self, Outcome, Step};
use crate::tidy;
use crate::tools::{self, cargo};

/// A new check is one more line here.
const STEPS: &[Step] = &[
    Step { name: "fmt", body: fmt },
    Step { name: "tidy", body: tidy_step },
    Step { name: "demos", body: demos::check },
    Step { name: "clippy", body: clippy },
    Step { name: "wasm", body: wasm },
    Step { name: "test", body: test },
    Step { name: "gates", body: gates::step },
    Step { name: "races", body: races },
    Step { name: "scenarios", body: scenarios },
    Step { name: "sdk", body: sdk::step },
    Step { name: "socketio", body: socketio::step },
    Step { name: "deny", body: deny },
];

const WASM: &str = "wasm32-unknown-unknown";
const SCENARIOS: &str = "tests/tests/scenarios.rs";

/// Runs the named steps, or all.
///
/// # Errors
/// Names the steps that failed.
pub fn run(root: &Path, names: &[String]) -> Result<(), String> {
    steps::run(root, STEPS, names)
}

fn fmt(root: &Path) -> Result<Outcome, String> {
    needs_component(root, "fmt", "rustfmt")?;
    cargo_passes(root, &["fmt", "--all", "--check"])
}

fn tidy_step(root: &Path) -> Result<Outcome, String> {
    tidy::run(root).map(|()| Outcome::Passed)
}

fn clippy(root: &Path) -> Result<Outcome, String> {
    needs_component(root, "clippy", "clippy")?;
    cargo_passes(root, &["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"])
}

/// The pure crates build for a target that has no sockets, files or clocks behind its standard library.
fn wasm(root: &Path) -> Result<Outcome, String> {
    if !tools::has_target(WASM) {
        return Ok(Outcome::Skipped(format!("install with `rustup target add {WASM}`")));
    }
    let mut args = vec!["check".to_owned(), "--target".to_owned(), WASM.to_owned()];
    for name in tidy::PURE_CRATES {
        args.extend(["--package".to_owned(), format!("fanfare-{}", name.replace('/', "-"))]);
    }
    tools::run(cargo(root).args(args)).map(|()| Outcome::Passed)
}

/// Unit, integration and documentation tests. Every binary runs even after one failed, so that the counts are whole.
fn test(root: &Path) -> Result<Outcome, String> {
    cargo_passes(root, &["test", "--workspace", "--no-fail-fast"])
}

/// The hub's locks under a model checker, whose own locks take the place of all: so by itself, not with the workspace.
fn races(root: &Path) -> Result<Outcome, String> {
    cargo_passes(root, &["test", "--package", "fanfare-hub", "--features", "shuttle", "--test", "races"])
}

/// The long scenarios: marked `#[ignore]` so that a plain `cargo test` stays quick.
fn scenarios(root: &Path) -> Result<Outcome, String> {
    if !root.join(SCENARIOS).is_file() {
        return Ok(Outcome::Skipped(format!("this tree has no {SCENARIOS}")));
    }
    // `--workspace` although one target is wanted: another selection would be another set of features, and compile anew.
    cargo_passes(root, &["test", "--workspace", "--test", "scenarios", "--", "--ignored"])
}

/// Licences, banned crates, sources; advisories too where their database can be reached.
fn deny(root: &Path) -> Result<Outcome, String> {
    if !tools::has_cargo_subcommand(root, "deny") {
        return Ok(Outcome::Skipped("install with `cargo install cargo-deny --locked`".into()));
    }
    tools::run(cargo(root).args(["deny", "check", "bans", "licenses", "sources"]))?;
    let output = cargo(root)
        .args(["deny", "check", "advisories"])
        .output()
        .map_err(|error| format!("`cargo deny check advisories` did not start: {error}"))?;
    advisories(&output)
}

fn advisories(output: &Output) -> Result<Outcome, String> {
    let text = String::from_utf8_lossy(&output.stderr);
    eprint!("{text}");
    if output.status.success() {
        return Ok(Outcome::Passed);
    }
    if text.contains("failed to fetch advisory database") || text.contains("failed to load advisory database")
    {
        return Ok(Outcome::Skipped(
            "licences passed; the advisory database cannot be reached from here".into(),
        ));
    }
    Err("`cargo deny check advisories` found something".into())
}

fn cargo_passes(root: &Path, args: &[&str]) -> Result<Outcome, String> {
    tools::run(cargo(root).args(args)).map(|()| Outcome::Passed)
}

fn needs_component(root: &Path, subcommand: &str, component: &str) -> Result<(), String> {
    if tools::has_cargo_subcommand(root, subcommand) {
        Ok(())
    } else {
        Err(format!("missing: install with `rustup component add {component}`"))
    }
}
