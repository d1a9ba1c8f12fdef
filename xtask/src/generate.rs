//! The generator of everything that is written from the code: it lives in the protocol crate, beside its source.

use std::path::Path;
use std::process::Command;

use crate::tools;

const SOURCE: &str = "crates/protocol/examples/generate.rs";

/// The generator's command line without its own arguments; none in a tree that has no generator.
pub fn command(root: &Path) -> Option<Command> {
    if !root.join(SOURCE).is_file() {
        return None;
    }
    let mut command = tools::cargo(root);
    command.args(["run", "--quiet", "--package", "fanfare-protocol", "--example", "generate", "--"]);
    Some(command)
}

/// Writes the generated files again.
///
/// # Errors
/// There is no generator, or it failed.
pub fn write(root: &Path) -> Result<(), String> {
    let mut command = command(root).ok_or_else(|| format!("{SOURCE} does not exist"))?;
    tools::run(&mut command)
}
