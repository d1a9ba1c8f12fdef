//! One row: every entry once a round, each with a fresh server.

use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use super::host;
use super::install::Rivals;
use super::launch::{self, Running, pinned};
use super::results::{Measured, Results};
use super::rows::{Entry, Row, Who};

/// Measures a row in `rounds` rounds. Who fails once is left out from then on, with the reason.
pub fn row(rivals: &Rivals, row: &Row, entries: &[&Entry], rounds: usize, quick: bool) -> Results {
    let rounds = rounds.min(row.rounds);
    println!("\n{}: {} ({rounds} round{})", row.name, row.title, if rounds == 1 { "" } else { "s" });
    let load = host::load();
    let mut measured: Vec<Measured> = entries
        .iter()
        .map(|entry| Measured {
            name: entry.name.into(),
            command: format!("fanfare bench {}", arguments(row, entry, quick).join(" ")),
            reports: Vec::new(),
            missing: rivals.missing(entry.who),
        })
        .collect();
    for round in 1..=rounds {
        for (entry, measured) in entries.iter().zip(&mut measured) {
            if measured.missing.is_some() {
                continue;
            }
            match once(rivals, row, entry, quick) {
                Ok(report) => {
                    let (place, unit) = row.figure.place();
                    let figure = report.pointer(place).and_then(Value::as_f64).unwrap_or(f64::NAN) / unit;
                    println!("  round {round}  {:<24} {figure:>12.3} {}", entry.name, row.figure.title());
                    measured.reports.push(report);
                }
                Err(reason) => {
                    println!("  round {round}  {:<24} not run: {reason}", entry.name);
                    measured.missing = Some(reason);
                }
            }
        }
    }
    let about = json!({
        "unix_seconds": std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |now| now.as_secs()),
        "machine": host::describe(),
        "load_before": load,
        "rounds": rounds,
        "quick": quick,
        "versions": rivals.versions,
    });
    Results { row: row.name.into(), about, entries: measured }
}

fn arguments(row: &Row, entry: &Entry, quick: bool) -> Vec<String> {
    let (full, short) = row.seconds.unwrap_or((4.0, 1.5));
    let milliseconds = (if quick { short } else { full } * 1000.0) as u64;
    let mut args: Vec<String> = entry.who.protocol().iter().map(ToString::to_string).collect();
    args.extend(row.args.iter().chain(entry.args).map(ToString::to_string));
    args.extend(["--time".into(), format!("{milliseconds}ms"), "--warmup".into(), "500ms".into()]);
    if !row.args.contains(&"--settle") {
        args.extend(["--settle".into(), "0s".into()]);
    }
    args
}

fn generator(rivals: &Rivals, server: &Running, entry: &Entry, args: &[String]) -> Command {
    let mut command = pinned(&rivals.fanfare, Some(1));
    command.arg("bench").args(args).args([
        "--json",
        "--url",
        &server.url,
        "--pid",
        &server.pid().to_string(),
    ]);
    if let (Who::FanfareTls, Ok((certificate, _))) = (entry.who, &rivals.certificate) {
        command.arg("--ca").arg(certificate);
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn once(rivals: &Rivals, row: &Row, entry: &Entry, quick: bool) -> Result<Value, String> {
    let server = launch::start(rivals, entry.who)?;
    let _beside = entry.beside.map(|args| beside(rivals, &server, entry, args)).transpose()?;
    let output = generator(rivals, &server, entry, &arguments(row, entry, quick)).output();
    let output = output.map_err(|error| error.to_string())?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).trim().replace('\n', " "));
    }
    serde_json::from_slice(&output.stdout).map_err(|error| format!("the load generator's report: {error}"))
}

/// A second load generator that ends with this value.
struct Beside(Child);

impl Drop for Beside {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn beside(rivals: &Rivals, server: &Running, entry: &Entry, args: &[&str]) -> Result<Beside, String> {
    let mut all: Vec<String> = entry.who.protocol().iter().chain(args).map(ToString::to_string).collect();
    all.extend(["--settle", "0s", "--time", "10m"].map(str::to_owned));
    let child = generator(rivals, server, entry, &all).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    let beside = Beside(child.map_err(|error| error.to_string())?);
    // It shares a core with the other generator and gives way to it whenever that has something to do: what is measured waits for the server,
    // not for this.
    let _ = Command::new("chrt")
        .args(["--all-tasks", "--idle", "--pid", "0", &beside.0.id().to_string()])
        .output();
    // Its readers connect, and its load begins.
    thread::sleep(Duration::from_millis(1500));
    Ok(beside)
}
