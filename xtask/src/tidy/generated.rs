//! Generated files are as the generator would write them now.

use std::process::Command;

use super::Violation;

/// Asks `generator` whether its files are fresh; `None` is a tree without a generator.
pub fn check(generator: Option<Command>) -> Result<Vec<Violation>, String> {
    let Some(mut generator) = generator else { return Ok(Vec::new()) };
    generator.arg("--check");
    let output = generator.output().map_err(|error| format!("the generator did not start: {error}"))?;
    if output.status.success() {
        return Ok(Vec::new());
    }
    // It names the stale files itself; a generator that does not compile ends here too, and its errors are shown.
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    Ok(vec![Violation::of_file(
        "docs",
        format!("a generated file is stale: run `cargo xtask generate`\n{}", said.trim_end()),
    )])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script, "generate"]);
        command
    }

    #[test]
    fn a_stale_file_is_refused_with_what_the_generator_said() {
        let script = r#"test "$1" = --check && echo "stale: docs/protocol.md" && exit 1"#;
        let violations = check(Some(shell(script))).unwrap();
        assert_eq!(violations.len(), 1);
        assert!(violations[0].message.contains("stale: docs/protocol.md"), "{}", violations[0]);
        assert!(violations[0].message.contains("cargo xtask generate"), "{}", violations[0]);
    }

    #[test]
    fn fresh_files_pass() {
        assert_eq!(check(Some(shell(r#"test "$1" = --check"#))), Ok(Vec::new()));
    }

    #[test]
    fn a_generator_that_cannot_start_is_an_error_not_a_pass() {
        assert!(check(Some(Command::new("/nonexistent/generate"))).is_err());
    }
}
