//! The workspace's own commands: `cargo xtask test`, `tidy`, `generate`, ...
//!
//! Everything CI does is here, so that it runs the same on a laptop.

mod autobahn;
mod bench_rivals;
mod browser;
mod crash;
mod demos;
mod figures;
mod gates;
mod generate;
mod sdk;
mod socketio;
mod steps;
mod test;
mod tidy;
mod tools;

use std::path::Path;
use std::process::ExitCode;

use crate::steps::Outcome;

const HELP: &str = "\
cargo xtask COMMAND

  test [STEP...]      everything CI checks: fmt, tidy, demos, clippy, wasm, test, gates, races, scenarios, sdk,
                      socketio, deny.
                      Names select steps; with none, all of them run.
  tidy                the rules of this repository that rustc and clippy do not know:
                      pure crates stay pure, dependency arrows run one way, files stay
                      short, generated files are fresh
  gates [--record]    instructions a delivery costs in the hub, against the figures on record; needs valgrind
  generate            write the generated files again (docs/protocol.md's tables, docs/vectors)
  demos               build the demos' pages again (examples/demos into crates/fanfare/web/demos); needs Node
  autobahn [CASE...]  the Autobahn suite against an echo on the WebSocket codec (`6.*` is some of
                      its cases; none means all without compression); needs Python 2.7
  sdk                 the TypeScript SDK: npm ci, types, lint, tests, build, size, its contract tests
                      against the hub built here, then `browser` if there is a Chromium; needs Node.js 20 and npm
  browser             the SDK's tests in real pages, and every demo; needs Chromium too (CHROMIUM_BIN, or in PATH)
  socketio            the unmodified socket.io-client, the official suites' checks and every fault by hand; needs Node.js 20
  crash [KILLS SEED]  the disk log under kill -9 (200 times), power cuts and damaged ends
  figures DIR [ROW...]  the disk log in a directory of a disk: each figure beside what is asked and its base
  bench-rivals        Fanfare beside other servers, in turns, into docs/performance.md (`--help` tells more)
  help                this text
";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("xtask: {message}");
            ExitCode::FAILURE
        }
    }
}

/// The last part of `sdk`: a missing browser is told, and no failure.
fn browser_if_any(root: &Path) -> Result<(), String> {
    if let Outcome::Skipped(why) = browser::step(root)? {
        println!("xtask: all but the browser tests passed. {why}");
    }
    Ok(())
}

fn run(args: &[String]) -> Result<(), String> {
    let (command, rest) = match args.split_first() {
        Some((command, rest)) => (command.as_str(), rest),
        None => ("help", args),
    };
    let root = tools::workspace_root()?;
    match command {
        "test" => test::run(&root, rest),
        "tidy" => tidy::run(&root),
        "autobahn" => autobahn::run(&root, rest),
        "bench-rivals" => bench_rivals::run(&root, rest),
        "crash" => crash::run(&root, rest),
        "figures" => figures::run(&root, rest),
        "gates" => gates::run(&root, rest),
        "generate" => generate::write(&root),
        "demos" => demos::build(&root),
        "socketio" => socketio::run(&root),
        "sdk" => sdk::run(&root).and_then(|()| browser_if_any(&root)),
        "browser" => browser::run(&root),
        "help" | "-h" | "--help" => {
            print!("{HELP}");
            Ok(())
        }
        other => Err(format!("no command `{other}`; `cargo xtask help` lists them")),
    }
}
