//! The command line of the `fanfare` binary.

#[cfg(feature = "bench")]
mod bench;
mod check;
mod client;
mod exit;
mod output;
mod publish;
mod serve;
mod store;
mod subscribe;
mod token;

use std::{path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};

use crate::config::Flags;

/// Exit codes: 0 done, 1 failed, 2 the command line itself is wrong, 3 the data directory cannot be used.
#[derive(Parser, Debug)]
#[command(
    name = "fanfare",
    version,
    about = "A self-hosted real-time messaging hub: one hub, every client",
    args_conflicts_with_subcommands = true,
    after_help = "Without a command it serves. Every setting is in docs/configuration.md."
)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    settings: Settings,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Run the hub (also without a command)
    Serve(Settings),
    /// Print what is published on channels, and go on after interruptions
    Sub(subscribe::SubscribeArgs),
    /// Publish
    Pub(publish::PublishArgs),
    /// Make a token
    Token(token::TokenArgs),
    /// Check the configuration and say what it means
    Check(Settings),
    /// Look at a data directory, verify, compact, export or import it
    #[command(subcommand)]
    Store(store::StoreCommand),
    /// Measure a hub, or another server: deliveries, latency, processor time, memory, order and loss
    #[cfg(feature = "bench")]
    Bench(Box<bench::BenchArgs>),
    /// Print the version
    Version,
}

/// Where the configuration comes from.
#[derive(clap::Args, Clone, Debug, Default)]
struct Settings {
    /// Configuration file [default: $FANFARE_CONFIG, else ./fanfare.toml if it is there]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    flags: Flags,
}

/// Runs what the command line says.
pub fn run() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return exit::usage(&error),
    };
    let done = match cli.command {
        None => serve::run(cli.settings),
        Some(Command::Serve(settings)) => serve::run(settings),
        Some(Command::Sub(args)) => subscribe::run(&args),
        Some(Command::Pub(args)) => publish::run(&args),
        Some(Command::Token(args)) => token::run(args),
        Some(Command::Check(settings)) => check::run(settings),
        Some(Command::Store(command)) => store::run(command),
        #[cfg(feature = "bench")]
        Some(Command::Bench(args)) => bench::run(*args),
        Some(Command::Version) => output::line(&format!("fanfare {}", env!("CARGO_PKG_VERSION"))),
    };
    exit::code(done)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn serving_is_the_default_and_takes_its_flags_either_way() {
        for line in [
            &["fanfare", "--listen", "127.0.0.1:1", "--config", "f", "--workers", "2", "--dev", "--insecure"]
                [..],
            &[
                "fanfare",
                "serve",
                "--listen",
                "127.0.0.1:1",
                "--config",
                "f",
                "--workers",
                "2",
                "--dev",
                "--insecure",
            ],
        ] {
            let cli = Cli::try_parse_from(line).unwrap();
            let settings = match cli.command {
                None => cli.settings,
                Some(Command::Serve(settings)) => settings,
                other => panic!("{other:?}"),
            };
            assert_eq!(settings.config, Some("f".into()));
            let flags = settings.flags;
            assert_eq!((flags.listen.as_deref(), flags.workers), (Some("127.0.0.1:1"), Some(2)));
            assert!(flags.dev && flags.insecure);
        }
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for line in [
            &["fanfare", "sub"][..],
            &["fanfare", "sub", "a", "--sse", "--poll"],
            &["fanfare", "sub", "a b"],
            &["fanfare", "pub", "a"],
            &["fanfare", "pub", "a", "1", "--lines"],
            &["fanfare", "token", "--grant", "chat:*"],
            &["fanfare", "token", "--grant", "chat:*=subscibe"],
            &["fanfare", "token", "--ttl", "5 minutes"],
            &["fanfare", "--workers", "many"],
            &["fanfare", "surve"],
            &["fanfare", "store"],
            &["fanfare", "store", "info", "--dev"],
        ] {
            assert!(Cli::try_parse_from(line).is_err(), "{line:?}");
        }
    }
}
