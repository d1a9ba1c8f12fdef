//! `cargo xtask gates`: what a delivery costs in the hub, in instructions. They are the same on a busy machine as on a quiet one, so that a change
//! which makes the hub slower is seen when it is made.
//!
//! The figures on record belong to one compiler: another one makes other code, and then they are to be recorded anew, from the same source.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;

use crate::steps::Outcome;
use crate::tools::{self, cargo};

/// The figures on record, in instructions a delivery.
const RECORD: &str = "crates/hub/instructions.txt";
/// Parts of a hundred by which a figure may differ.
const TOLERANCE: f64 = 5.0;
/// The shapes of `examples/deliveries.rs`, and how often the short and the long run repeat them: their difference leaves the start out.
const SHAPES: [(&str, [u64; 2]); 3] = [("one", [20, 120]), ("eight", [20, 70]), ("many", [5, 15])];

/// Counts and compares, or with `--record` writes the figures down.
///
/// # Errors
/// A figure that differs by more than five parts of a hundred, whichever way.
pub fn run(root: &Path, args: &[String]) -> Result<(), String> {
    match args {
        [] => match step(root)? {
            Outcome::Passed => Ok(()),
            Outcome::Skipped(why) => Err(why),
        },
        [one] if one == "--record" => {
            if let Some(missing) = missing() {
                return Err(missing);
            }
            let mut text = format!("{}\n", compiler(root)?);
            for (shape, cost) in measure(root)? {
                let _ = writeln!(text, "{shape} {cost:.1}");
            }
            fs::write(root.join(RECORD), text).map_err(|error| format!("{RECORD}: {error}"))
        }
        _ => Err("gates takes --record or nothing".into()),
    }
}

/// The same as a step of `cargo xtask test`.
///
/// # Errors
/// As [`run`].
pub fn step(root: &Path) -> Result<Outcome, String> {
    if let Some(missing) = missing() {
        return Ok(Outcome::Skipped(missing));
    }
    let text = fs::read_to_string(root.join(RECORD)).map_err(|error| format!("{RECORD}: {error}"))?;
    let (recorded_by, figures) = text.split_once('\n').unwrap_or_default();
    let compiler = compiler(root)?;
    if compiler != recorded_by {
        return Ok(Outcome::Skipped(format!(
            "the figures are of {recorded_by}, this is {compiler}: `cargo xtask gates --record` on the commit before yours"
        )));
    }
    compare(figures, &measure(root)?).map(|()| Outcome::Passed)
}

fn compare(recorded: &str, measured: &[(&str, f64)]) -> Result<(), String> {
    let mut wrong = Vec::new();
    for (shape, now) in measured {
        let line = recorded.lines().find_map(|line| line.strip_prefix(shape)?.trim().parse::<f64>().ok());
        let Some(then) = line else {
            wrong.push(format!("{shape} is not in {RECORD}"));
            continue;
        };
        let more = (now / then - 1.0) * 100.0;
        println!("  {shape:<6} {now:>8.1} instructions a delivery, {then:.1} on record ({more:+.1} %)");
        if more.abs() > TOLERANCE {
            wrong.push(format!("{shape}: {now:.1} instructions a delivery, {then:.1} on record"));
        }
    }
    if wrong.is_empty() {
        return Ok(());
    }
    Err(format!("{}; if that is meant, `cargo xtask gates --record` and say why", wrong.join("; ")))
}

/// What cannot be done without, and how to get it.
fn missing() -> Option<String> {
    let found =
        Command::new("valgrind").arg("--version").output().is_ok_and(|output| output.status.success());
    (!found).then(|| "needs valgrind: install with `apt install valgrind`".to_owned())
}

fn compiler(root: &Path) -> Result<String, String> {
    let output = Command::new("rustc").arg("--version").current_dir(root).output();
    let output = output.map_err(|error| format!("`rustc --version`: {error}"))?;
    let version = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    Ok(format!("{version} on {}", std::env::consts::ARCH))
}

/// Instructions a delivery of each shape.
fn measure(root: &Path) -> Result<Vec<(&'static str, f64)>, String> {
    let mut build = cargo(root);
    build.args(["build", "--profile", "gates", "--package", "fanfare-hub", "--example", "deliveries"]);
    tools::run(&mut build)?;
    let target = std::env::var("CARGO_TARGET_DIR").map_or_else(|_| root.join("target"), Into::into);
    let program = target.join("gates/examples/deliveries");
    let cost = |(shape, [few, many]): (&'static str, [u64; 2])| {
        let (short, long) = (count(&program, shape, few)?, count(&program, shape, many)?);
        let deliveries = long.deliveries.saturating_sub(short.deliveries).max(1);
        let instructions = long.instructions.saturating_sub(short.instructions);
        Ok((shape, instructions as f64 / deliveries as f64))
    };
    SHAPES.into_iter().map(cost).collect()
}

struct Run {
    deliveries: u64,
    instructions: u64,
}

fn count(program: &Path, shape: &str, times: u64) -> Result<Run, String> {
    let mut command = Command::new("valgrind");
    command.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]);
    command.arg(program).args([shape, &times.to_string()]);
    let output = command.output().map_err(|error| format!("valgrind did not start: {error}"))?;
    let told = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        return Err(format!("{} failed:\n{told}", tools::show(&command)));
    }
    // `==1234== Collected : 56789`
    let collected = told.lines().find_map(|line| line.split_once("Collected :")?.1.trim().parse().ok());
    let deliveries = String::from_utf8_lossy(&output.stdout).trim().parse().ok();
    match (collected, deliveries) {
        (Some(instructions), Some(deliveries)) => Ok(Run { deliveries, instructions }),
        _ => Err(format!("callgrind did not tell what it counted:\n{told}")),
    }
}

#[cfg(test)]
mod tests {
    use super::compare;

    #[test]
    fn a_figure_may_differ_by_a_twentieth_either_way() {
        let recorded = "one 100.0\neight 20.0\n";
        assert!(compare(recorded, &[("one", 104.9), ("eight", 19.1)]).is_ok());
        let worse = compare(recorded, &[("one", 105.2), ("eight", 20.0)]).unwrap_err();
        assert!(worse.contains("one: 105.2") && !worse.contains("eight"), "{worse}");
        assert!(compare(recorded, &[("one", 94.0)]).is_err(), "a gain is recorded, or it is lost unseen");
        assert!(compare(recorded, &[("many", 1.0)]).unwrap_err().contains("many"));
    }
}
