//! `cargo xtask bench-rivals`: Fanfare beside other servers and beside the kernel's own price, in one run, in turns.

mod host;
mod install;
mod launch;
mod measure;
mod page;
mod results;
mod rows;
mod scaling;

use std::path::{Path, PathBuf};

use crate::tools::{self, cargo};
use install::Rivals;
use rows::{ROWS, Row};

const HELP: &str = "\
cargo xtask bench-rivals [OPTION...]

  --rows NAME,...     these rows of docs/performance.md (default: all; `--list` names them)
  --rounds N          measurements of each entry, taken in turns; the median counts (default: 5)
  --only WORD,...     these entries alone (rawlimit, fanfare, bun, ws, socket.io, nchan, sockudo), and the base
  --quick             1.5 s a measurement instead of 4 s
  --fanfare FILE      this binary instead of building one
  --page              measure nothing; write docs/performance.md from what was measured before
  --list              name the rows
";

/// What the command line asks for.
struct Options {
    rows: Vec<&'static Row>,
    rounds: usize,
    only: Vec<String>,
    quick: bool,
    fanfare: Option<PathBuf>,
    page: bool,
}

/// Installs, measures, writes docs/performance.md.
///
/// # Errors
/// Wrong arguments, or a build that fails. Who cannot be installed or measured is named in the page, with the reason.
pub fn run(root: &Path, args: &[String]) -> Result<(), String> {
    if args.iter().any(|arg| arg == "--help" || arg == "-h") {
        print!("{HELP}");
        return Ok(());
    }
    if args.iter().any(|arg| arg == "--list") {
        for row in ROWS {
            println!("{:<18} {}", row.name, row.title);
        }
        return Ok(());
    }
    let options = parse(args)?;
    let cache = root.join("target").join("bench-rivals");
    if !options.page {
        let fanfare = match &options.fanfare {
            Some(binary) => binary.clone(),
            None => build(root)?,
        };
        let rivals = Rivals::install(&cache, fanfare, |who| wanted(&options, who))?;
        for row in &options.rows {
            let entries: Vec<_> = row
                .entries
                .iter()
                .enumerate()
                .filter(|(at, entry)| *at == 0 || wanted(&options, entry.who.word()))
                .map(|(_, entry)| entry)
                .collect();
            measure::row(&rivals, row, &entries, options.rounds, options.quick).save(&cache)?;
        }
    }
    page::write(root, &cache)
}

fn wanted(options: &Options, word: &str) -> bool {
    options.only.is_empty() || options.only.iter().any(|only| only == word)
}

fn build(root: &Path) -> Result<PathBuf, String> {
    tools::run(cargo(root).args(["build", "--release", "--package", "fanfare"]))?;
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    Ok(target.join("release").join("fanfare"))
}

fn parse(args: &[String]) -> Result<Options, String> {
    let mut options = Options {
        rows: ROWS.iter().collect(),
        rounds: 5,
        only: Vec::new(),
        quick: false,
        fanfare: None,
        page: false,
    };
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        let mut value = || args.next().cloned().ok_or(format!("{arg} needs a value"));
        match arg.as_str() {
            "--rows" => {
                let names = value()?;
                options.rows = names.split(',').map(row).collect::<Result<_, _>>()?;
            }
            "--rounds" => {
                let rounds = value()?;
                options.rounds =
                    rounds.parse().ok().filter(|rounds| *rounds > 0).ok_or(format!("`{rounds}` rounds?"))?;
            }
            "--only" => options.only = value()?.split(',').map(str::to_owned).collect(),
            "--fanfare" => {
                let path = PathBuf::from(value()?);
                options.fanfare = Some(path.canonicalize().map_err(|e| format!("{}: {e}", path.display()))?);
            }
            "--quick" => options.quick = true,
            "--page" => options.page = true,
            other => {
                return Err(format!("no option `{other}`; `cargo xtask bench-rivals --help` lists them"));
            }
        }
    }
    Ok(options)
}

fn row(name: &str) -> Result<&'static Row, String> {
    ROWS.iter()
        .find(|row| row.name == name)
        .ok_or_else(|| format!("no row `{name}`; `cargo xtask bench-rivals --list` names them"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn rows_and_rounds_are_chosen_and_wrong_ones_refused() {
        let options =
            parse(&words("--rows one_in_flight,idle_memory --rounds 7 --quick --only bun")).unwrap();
        let names: Vec<_> = options.rows.iter().map(|row| row.name).collect();
        assert_eq!((names, options.rounds, options.quick), (vec!["one_in_flight", "idle_memory"], 7, true));
        assert!(wanted(&options, "bun") && !wanted(&options, "ws"));
        for wrong in ["--rows nothing", "--rounds 0", "--rounds", "--fast"] {
            assert!(parse(&words(wrong)).is_err(), "{wrong}");
        }
    }
}
