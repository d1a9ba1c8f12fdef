//! `fanfare store export`: a whole store as NDJSON on stdout.
use std::{
    io::{BufWriter, IsTerminal as _, Write as _},
    path::Path,
};

use fanfare_broker_disk::tools;

use super::{failure, record, words};
use crate::cli::{exit::Failure, output};

/// Writes every channel and every message.
///
/// # Errors
/// There is no store, a hub has it open, it is damaged, or what is written has nowhere to go.
pub fn run(directory: &Path) -> Result<(), Failure> {
    let export = tools::export(directory).map_err(failure)?;
    let (channels, messages) = (export.channels.len() as u64, export.messages);
    let stdout = std::io::stdout().lock();
    let is_terminal = stdout.is_terminal();
    let mut out = BufWriter::with_capacity(1 << 16, stdout);
    writeln!(out, "{}", record::store(export.epoch))?;
    for state in &export.channels {
        writeln!(out, "{}", record::channel(state))?;
    }
    let mut line = Vec::new();
    for stored in export {
        line.clear();
        record::message(&stored.map_err(failure)?, &mut line);
        line.push(b'\n');
        out.write_all(&line)?;
    }
    out.flush()?;
    if !is_terminal {
        let (messages, channels) = (words::count(messages, "message"), words::count(channels, "channel"));
        output::note(&format!("exported {messages} in {channels}"));
    }
    Ok(())
}
