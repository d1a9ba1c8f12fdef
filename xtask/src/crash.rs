//! `cargo xtask crash`: the disk log's crash harness in its long form.

use std::path::Path;

use crate::tools::{self, cargo};

/// How often the child is killed.
const KILLS: &str = "200";

/// Kills a publishing process again and again, each time followed by a simulated power cut and by damaged ends. `args` may name
/// the number of kills and the seed of an earlier run.
///
/// # Errors
/// When something that was acknowledged was lost, with the seed that shows it again.
pub fn run(root: &Path, args: &[String]) -> Result<(), String> {
    let mut command = cargo(root);
    command.args(["test", "--package", "fanfare-broker-disk", "--test", "crash", "--", "--nocapture"]);
    command.env("FANFARE_CRASH_KILLS", args.first().map_or(KILLS, String::as_str));
    if let Some(seed) = args.get(1) {
        command.env("FANFARE_CRASH_SEED", seed);
    }
    tools::run(&mut command)
}
