//! `cargo xtask autobahn`: the Autobahn test suite against the echo server built on the WebSocket codec.
//!
//! The suite is a Python 2.7 program; it is installed once, into `target/autobahn`, with versions that still build.
//! It exits 0 whatever it finds, so the verdict is taken from the report it writes.

use crate::tools;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The suite's cases but 12.* and 13.*, which test compression.
const CASES: usize = 301;
/// The name of the server in the report.
const AGENT: &str = "fanfare";
/// How long all cases may take; they need about two minutes.
const DEADLINE: Duration = Duration::from_secs(15 * 60);
/// The last virtualenv that makes Python 2.7 environments.
const VIRTUALENV: &str = "virtualenv<20.16";
/// Installed in this order, each without build isolation: newer setuptools and wheels do not know Python 2.7.
const PACKAGES: [&[&str]; 3] = [
    &["setuptools==44.0.0", "wheel==0.36.2", "incremental==16.10.1"],
    &["Twisted==19.10.0"],
    &["autobahntestsuite==25.10.1"],
];

/// Runs the suite; `cases` are patterns such as `6.*`, and none means all without compression.
///
/// # Errors
/// No Python 2.7, a tool that failed, or the cases that did not pass.
pub fn run(root: &Path, cases: &[String]) -> Result<(), String> {
    let directory = target_directory(root).join("autobahn");
    std::fs::create_dir_all(&directory).map_err(|error| format!("{}: {error}", directory.display()))?;
    let wstest = install(&directory)?;
    let program = build_echo(root)?;
    let (echo, url) = start_echo(&program)?;
    let report = run_suite(&directory, &wstest, &url, cases);
    drop(echo);
    let verdict = judge(&report?, cases.is_empty().then_some(CASES));
    println!("details: {}", directory.join("reports/index.html").display());
    println!("{}", verdict?);
    Ok(())
}

fn target_directory(root: &Path) -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), |directory| root.join(directory))
}

/// A child that does not outlive this program's interest in it.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // Fails only if the child has ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The path of `wstest`, after installing it if the cache does not have it.
fn install(directory: &Path) -> Result<PathBuf, String> {
    let environment = directory.join("venv");
    let wstest = environment.join("bin/wstest");
    // Written last, so that an interrupted installation is begun again.
    let complete = directory.join("installed");
    let wanted = format!("{PACKAGES:?}");
    if wstest.is_file() && std::fs::read_to_string(&complete).is_ok_and(|found| found == wanted) {
        return Ok(wstest);
    }
    let python2 = find_python2()?;
    let python3 =
        python_path("python3").ok_or("no python3: it is needed to install the Autobahn test suite")?;
    println!("installing the Autobahn test suite under {}", directory.display());
    let tools_environment = directory.join("tools");
    for stale in [&environment, &tools_environment] {
        if stale.exists() {
            std::fs::remove_dir_all(stale).map_err(|error| format!("{}: {error}", stale.display()))?;
        }
    }
    tools::run(Command::new(python3).args(["-m", "venv"]).arg(&tools_environment))?;
    tools::run(Command::new(tools_environment.join("bin/pip")).args(["install", "--quiet", VIRTUALENV]))?;
    tools::run(
        Command::new(tools_environment.join("bin/virtualenv"))
            .args(["--quiet", "--python"])
            .arg(&python2)
            .arg(&environment),
    )?;
    for packages in PACKAGES {
        let mut pip = Command::new(environment.join("bin/pip"));
        pip.args(["install", "--quiet", "--no-build-isolation", "--no-python-version-warning"]);
        tools::run(pip.args(packages))?;
    }
    std::fs::write(&complete, wanted).map_err(|error| format!("{}: {error}", complete.display()))?;
    Ok(wstest)
}

/// A Python 2.7: `$PYTHON2`, one on the path, or one of pyenv's.
fn find_python2() -> Result<PathBuf, String> {
    let mut candidates: Vec<PathBuf> = std::env::var_os("PYTHON2").map(PathBuf::from).into_iter().collect();
    candidates.extend(["python2.7", "python2"].map(PathBuf::from));
    candidates.extend(pyenv_python2());
    let found =
        candidates.iter().filter_map(python_path).find(|path| version(path).as_deref() == Some("2.7"));
    found.ok_or_else(|| {
        "no Python 2.7, which the Autobahn test suite needs: install one (`pyenv install 2.7.18`) \
         or name it in the variable PYTHON2"
            .into()
    })
}

fn pyenv_python2() -> Option<PathBuf> {
    let versions = output(Command::new("pyenv").args(["versions", "--bare"]))?;
    let newest = versions.lines().map(str::trim).rfind(|name| name.starts_with("2.7"))?;
    let prefix = output(Command::new("pyenv").args(["prefix", newest]))?;
    Some(Path::new(prefix.trim()).join("bin/python2.7"))
}

/// Where a Python really is. A shim on the path may exist and yet run nothing.
fn python_path(name: impl AsRef<Path>) -> Option<PathBuf> {
    let path = output(Command::new(name.as_ref()).args(["-c", "import sys; print(sys.executable)"]))?;
    Some(PathBuf::from(path.trim())).filter(|path| path.is_file())
}

fn version(python: &Path) -> Option<String> {
    let script = "import sys; print('%d.%d' % sys.version_info[:2])";
    output(Command::new(python).args(["-c", script])).map(|version| version.trim().to_owned())
}

fn output(command: &mut Command) -> Option<String> {
    let output = command.stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Builds the echo server, optimised because the suite measures megabytes; gives its path.
fn build_echo(root: &Path) -> Result<PathBuf, String> {
    let mut command = tools::cargo(root);
    command.args(["build", "--release", "--package", "fanfare-websocket", "--example", "echo"]);
    command.arg("--message-format=json-render-diagnostics").stderr(Stdio::inherit());
    let output = command.output().map_err(|error| format!("cargo did not start: {error}"))?;
    if !output.status.success() {
        return Err("the echo server did not build".into());
    }
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|message| message["target"]["name"] == "echo")
        .find_map(|message| message["executable"].as_str().map(PathBuf::from))
        .ok_or_else(|| "cargo named no executable for the echo server".into())
}

/// Starts the echo server on a free port; gives its URL.
fn start_echo(program: &Path) -> Result<(Running, String), String> {
    let mut child = Command::new(program)
        .arg("127.0.0.1:0")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        // A case that breaks its connection makes a line there; the report has what matters.
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| format!("{}: {error}", program.display()))?;
    let stdout = child.stdout.take();
    let running = Running(child);
    let mut line = String::new();
    if let Some(stdout) = stdout {
        BufReader::new(stdout).read_line(&mut line).map_err(|error| format!("the echo server: {error}"))?;
    }
    let url = line.trim().strip_prefix("listening on ").ok_or("the echo server did not say its address")?;
    Ok((running, url.to_owned()))
}

/// Runs the cases; gives the report.
fn run_suite(directory: &Path, wstest: &Path, url: &str, cases: &[String]) -> Result<Value, String> {
    let reports = directory.join("reports");
    if reports.exists() {
        std::fs::remove_dir_all(&reports).map_err(|error| format!("{}: {error}", reports.display()))?;
    }
    let cases = if cases.is_empty() { vec!["*".to_owned()] } else { cases.to_vec() };
    let spec = serde_json::json!({
        "outdir": reports,
        "servers": [{ "agent": AGENT, "url": url }],
        "cases": cases,
        "exclude-cases": ["12.*", "13.*"],
        "exclude-agent-cases": {},
    });
    let path = directory.join("fuzzingclient.json");
    std::fs::write(&path, spec.to_string()).map_err(|error| format!("{}: {error}", path.display()))?;
    let log = directory.join("wstest.log");
    let file = std::fs::File::create(&log).map_err(|error| format!("{}: {error}", log.display()))?;
    let errors = file.try_clone().map_err(|error| format!("{}: {error}", log.display()))?;
    println!("running the Autobahn test suite (log: {})", log.display());
    let child = Command::new(wstest)
        .current_dir(directory)
        .args(["--mode", "fuzzingclient", "--spec"])
        .arg(&path)
        .stdin(Stdio::null())
        .stdout(file)
        .stderr(errors)
        .spawn()
        .map_err(|error| format!("{}: {error}", wstest.display()))?;
    wait(Running(child)).map_err(|error| format!("{error}; see {}", log.display()))?;
    let index = reports.join("index.json");
    let report = std::fs::read(&index)
        .map_err(|error| format!("no report ({}: {error}); see {}", index.display(), log.display()))?;
    serde_json::from_slice(&report).map_err(|error| format!("{}: {error}", index.display()))
}

fn wait(mut child: Running) -> Result<(), String> {
    let start = Instant::now();
    while start.elapsed() < DEADLINE {
        match child.0.try_wait() {
            Ok(None) => std::thread::sleep(Duration::from_millis(200)),
            Ok(Some(status)) if status.success() => return Ok(()),
            Ok(Some(status)) => return Err(format!("wstest ended with {status}")),
            Err(error) => return Err(format!("wstest: {error}")),
        }
    }
    Err(format!("wstest did not end within {} s", DEADLINE.as_secs()))
}

/// Reads the report's verdicts, one on the behaviour and one on the close of each case. Only OK, NON-STRICT and
/// INFORMATIONAL pass; `expected` is how many cases there must be.
fn judge(report: &Value, expected: Option<usize>) -> Result<String, String> {
    let cases = report[AGENT].as_object().filter(|cases| !cases.is_empty());
    let cases = cases.ok_or("the report has no cases")?;
    let mut counts = BTreeMap::new();
    let mut bad = Vec::new();
    for (case, result) in cases {
        let behaviour = result["behavior"].as_str().unwrap_or("missing");
        let close = result["behaviorClose"].as_str().unwrap_or("missing");
        *counts.entry(behaviour).or_insert(0usize) += 1;
        if ![behaviour, close].iter().all(|verdict| matches!(*verdict, "OK" | "NON-STRICT" | "INFORMATIONAL"))
        {
            bad.push(format!("{case}: {behaviour}, close {close}"));
        }
    }
    if !bad.is_empty() {
        return Err(format!("{} of {} cases failed\n  {}", bad.len(), cases.len(), bad.join("\n  ")));
    }
    if let Some(expected) = expected.filter(|expected| *expected != cases.len()) {
        return Err(format!("{} cases ran, {expected} were expected", cases.len()));
    }
    let mut text = format!("{} cases passed:", cases.len());
    for (verdict, count) in counts {
        let _ = write!(text, " {count} {verdict}");
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn report(behaviour: &str, close: &str) -> Value {
        json!({ AGENT: {
            "1.1.1": { "behavior": "OK", "behaviorClose": "OK" },
            "1.1.2": { "behavior": behaviour, "behaviorClose": close },
        }})
    }

    #[test]
    fn lenient_verdicts_pass_and_are_counted() {
        let text = judge(&report("NON-STRICT", "INFORMATIONAL"), Some(2)).unwrap();
        assert_eq!(text, "2 cases passed: 1 NON-STRICT 1 OK");
    }

    #[test]
    fn every_other_verdict_fails_and_is_named() {
        for verdict in ["FAILED", "UNCLEAN", "WRONG CODE", "FAILED BY CLIENT", "UNIMPLEMENTED", "anything"] {
            for report in [report(verdict, "OK"), report("OK", verdict)] {
                let error = judge(&report, Some(2)).unwrap_err();
                assert!(error.contains("1.1.2") && error.contains(verdict), "{error}");
            }
        }
        let unnamed = json!({ AGENT: { "1.1.1": {} } });
        assert!(judge(&unnamed, None).unwrap_err().contains("missing"));
    }

    #[test]
    fn missing_cases_fail() {
        assert!(judge(&report("OK", "OK"), Some(3)).unwrap_err().contains("3 were expected"));
        assert!(judge(&json!({}), None).is_err());
        assert!(judge(&json!({ AGENT: {} }), None).is_err());
    }
}
