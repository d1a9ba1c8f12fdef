//! `fanfare store`: what an operator does with a data directory, mostly while no hub has it open.
mod export;
mod import;
mod look;
mod record;
mod words;

use std::path::PathBuf;

use clap::Subcommand;
use fanfare_broker_disk::tools::{self, ToolError};

use super::{exit::Failure, output, output::Style};
use crate::{
    config::{Config, Flags, Live, Sources},
    store::{StoreError, development_path, settings},
};

/// What to do with a data directory.
#[derive(Subcommand, Debug)]
pub enum StoreCommand {
    /// Say what is in it; also while a hub has it open
    Info {
        #[command(flatten)]
        which: Which,
        /// Every channel, not only the largest
        #[arg(long)]
        all: bool,
    },
    /// Read all of it and list what is damaged; also while a hub has it open
    Verify(Which),
    /// Let go on disk of everything that the configured retention does not need
    Compact {
        #[command(flatten)]
        which: Which,
        /// By the retention of dev mode, without a configuration file
        #[arg(long)]
        dev: bool,
    },
    /// Write all of it to stdout, one JSON object a line
    Export(Which),
    /// Make one from what `export` wrote: same channels, positions and epochs
    Import {
        #[command(flatten)]
        which: Which,
        /// What to read; `-` for stdin
        #[arg(default_value = "-", value_name = "FILE")]
        from: PathBuf,
    },
}

/// Which directory.
#[derive(clap::Args, Debug)]
pub struct Which {
    /// The directory [default: `data` of the configuration, in dev mode that of the port]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Configuration file
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl Which {
    fn sources(&self, dev: bool) -> Sources {
        let flags = Flags { data: self.data.clone(), dev, ..Flags::default() };
        Sources::of_process(self.config.clone(), flags)
    }

    /// The directory. Naming it needs no configuration.
    fn directory(&self) -> Result<PathBuf, Failure> {
        match &self.data {
            Some(directory) => Ok(directory.clone()),
            None => of(&self.sources(false).load()?),
        }
    }
}

fn of(config: &Config) -> Result<PathBuf, Failure> {
    match (&config.data, config.dev) {
        (Some(directory), _) => Ok(directory.clone()),
        (None, true) => Ok(development_path(config.listen.port())),
        (None, false) => Err(Failure::Other(
            "the configuration has no `data`: its messages are in memory\n  remedy: name a directory with --data".into(),
        )),
    }
}

/// Does what the command line says.
///
/// # Errors
/// The directory cannot be used, holds no store or a damaged one, or is in use by a hub (but for `info` and `verify`).
pub fn run(command: StoreCommand) -> Result<(), Failure> {
    match command {
        StoreCommand::Info { which, all } => look::info(&which.directory()?, all),
        StoreCommand::Verify(which) => look::verify(&which.directory()?),
        StoreCommand::Compact { which, dev } => compact(&which, dev),
        StoreCommand::Export(which) => export::run(&which.directory()?),
        StoreCommand::Import { which, from } => import::run(&which.directory()?, &from),
    }
}

fn compact(which: &Which, dev: bool) -> Result<(), Failure> {
    let sources = which.sources(dev);
    let config = sources.load()?;
    if which.data.is_some() && sources.file().is_none() && !dev {
        // Dev mode keeps less than a hub of which only the directory is known.
        return Err(Failure::Other(
            "what is not needed is for the hub's configuration to say\n  remedy: name it with --config, or say --dev if the hub runs without one".into(),
        ));
    }
    let directory = of(&config)?;
    let settings = settings(&config, &directory);
    let done = tools::compact(settings, Live::new(config), fanfare_hub::unix_ms()).map_err(failure)?;
    if let Some(cut) = &done.opened.cut {
        output::note(&format!(
            "cut a torn end: {} at byte {}, {} bytes ({})",
            cut.path.display(),
            cut.at,
            cut.bytes,
            cut.what
        ));
    }
    let ((segments_before, before), (segments, after)) = (done.before, done.after);
    if Style::of_stdout().is_human() {
        return output::line(&format!(
            "{}: {} in {} before, {} in {} now",
            directory.display(),
            words::size(before),
            words::count(segments_before as u64, "segment"),
            words::size(after),
            words::count(segments as u64, "segment")
        ));
    }
    output::line(&words::object(
        "compacted",
        &[
            ("directory", directory.display().to_string().into()),
            ("segments_before", segments_before.into()),
            ("bytes_before", before.into()),
            ("segments", segments.into()),
            ("bytes", after.into()),
        ],
    ))
}

/// What a tool reports, with what to do about it.
fn failure(error: ToolError) -> Failure {
    match error {
        ToolError::Open(error) => Failure::Store(StoreError::from(error)),
        ToolError::NotEmpty { path } => Failure::Other(format!(
            "data directory {}: there is a store, or the beginning of one\n  remedy: import into a directory that does not exist yet",
            path.display()
        )),
        ToolError::NoStore { path } => Failure::Other(format!(
            "data directory {}: there is no store\n  remedy: name the data directory of a hub with --data",
            path.display()
        )),
        other => Failure::Other(other.to_string()),
    }
}
