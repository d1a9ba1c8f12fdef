//! `cargo xtask figures`: the disk log's figures, each beside what is asked of it and its base.

use std::path::Path;

use crate::tools::{self, cargo};

/// Measures in a directory of the disk that is meant; `args` name it, and the rows if not all.
///
/// # Errors
/// When no directory is named, or it cannot be written.
pub fn run(root: &Path, args: &[String]) -> Result<(), String> {
    if args.is_empty() {
        return Err("name a directory to write in, on the disk that is to be measured".to_owned());
    }
    let mut command = cargo(root);
    command.args([
        "run",
        "--quiet",
        "--release",
        "--package",
        "fanfare-broker-disk",
        "--example",
        "figures",
        "--",
    ]);
    command.args(args);
    tools::run(&mut command)
}
