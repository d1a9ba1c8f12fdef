//! Running named steps one after another, each timed, with a summary at the end.

use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

/// How a step that did not fail ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It ran and everything held.
    Passed,
    /// It could not run here; the text says what is missing and how to install it.
    Skipped(String),
}

/// A step's body: given the workspace root, an outcome or what went wrong.
pub type Body = fn(&Path) -> Result<Outcome, String>;

/// One line of the summary.
pub struct Step {
    /// The name given to `cargo xtask test NAME`.
    pub name: &'static str,
    /// What it does.
    pub body: Body,
}

struct Record {
    name: &'static str,
    took: Duration,
    result: Result<Outcome, String>,
}

/// Runs the steps called `names`, or all when there are none. A failed step does not stop the later ones: one run
/// tells everything that is wrong.
///
/// # Errors
/// A name that is no step's, or the names of the steps that failed.
pub fn run(root: &Path, steps: &[Step], names: &[String]) -> Result<(), String> {
    for name in names {
        if !steps.iter().any(|step| step.name == name) {
            let known: Vec<&str> = steps.iter().map(|step| step.name).collect();
            return Err(format!("no step `{name}`; there are {}", known.join(", ")));
        }
    }
    let start = Instant::now();
    let mut records = Vec::new();
    for step in steps.iter().filter(|step| names.is_empty() || names.iter().any(|name| name == step.name)) {
        println!("\n== {} ==", step.name);
        let began = Instant::now();
        let result = (step.body)(root);
        let took = began.elapsed();
        match &result {
            Ok(Outcome::Passed) => println!("== {}: passed in {} ==", step.name, seconds(took)),
            Ok(Outcome::Skipped(why)) => println!("== {}: skipped: {why} ==", step.name),
            Err(why) => println!("== {}: FAILED in {}: {why} ==", step.name, seconds(took)),
        }
        records.push(Record { name: step.name, took, result });
    }
    print!("\n{}", summary(&records, start.elapsed()));
    let failed: Vec<&str> = records.iter().filter(|r| r.result.is_err()).map(|r| r.name).collect();
    if failed.is_empty() { Ok(()) } else { Err(format!("failed: {}", failed.join(", "))) }
}

fn summary(records: &[Record], total: Duration) -> String {
    let mut text = String::from("summary\n");
    for record in records {
        let (word, why) = match &record.result {
            Ok(Outcome::Passed) => ("ok", ""),
            Ok(Outcome::Skipped(why)) => ("skipped", why.as_str()),
            Err(why) => ("FAILED", why.as_str()),
        };
        let line = format!("  {:<10} {:<8} {:>8}  {why}", record.name, word, seconds(record.took));
        text.push_str(line.trim_end());
        text.push('\n');
    }
    let _ = writeln!(text, "  {:<10} {:<8} {:>8}", "total", "", seconds(total));
    text
}

fn seconds(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pass(_: &Path) -> Result<Outcome, String> {
        Ok(Outcome::Passed)
    }

    fn skip(_: &Path) -> Result<Outcome, String> {
        Ok(Outcome::Skipped("needs frobnicate: install it".into()))
    }

    fn fail(_: &Path) -> Result<Outcome, String> {
        Err("broken".into())
    }

    const STEPS: &[Step] =
        &[Step { name: "a", body: fail }, Step { name: "b", body: skip }, Step { name: "c", body: pass }];

    #[test]
    fn a_failed_step_fails_the_run_and_is_named() {
        assert_eq!(run(Path::new("."), STEPS, &[]), Err("failed: a".into()));
    }

    #[test]
    fn a_skipped_step_does_not_fail_the_run() {
        assert_eq!(run(Path::new("."), STEPS, &["b".into(), "c".into()]), Ok(()));
    }

    #[test]
    fn an_unknown_step_is_refused() {
        let message = run(Path::new("."), STEPS, &["x".into()]).unwrap_err();
        assert!(message.contains("no step `x`") && message.contains("a, b, c"), "{message}");
    }

    #[test]
    fn the_summary_has_a_line_for_each_step_with_its_reason() {
        let records: Vec<Record> = STEPS
            .iter()
            .map(|s| Record {
                name: s.name,
                took: Duration::from_millis(1500),
                result: (s.body)(Path::new(".")),
            })
            .collect();
        let text = summary(&records, Duration::from_secs(5));
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 5, "{text}");
        assert!(
            lines[1].contains("FAILED") && lines[1].contains("1.5 s") && lines[1].contains("broken"),
            "{text}"
        );
        assert!(lines[2].contains("skipped") && lines[2].contains("frobnicate"), "{text}");
        assert!(lines[4].contains("5.0 s"), "{text}");
    }
}
