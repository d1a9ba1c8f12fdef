//! `fanfare store import`: a store made from what `export` wrote.
use std::{
    fs::File,
    io::{BufRead, BufReader, Read as _},
    path::Path,
};

use fanfare_broker_disk::tools::{Import, Imported};

use super::{
    failure,
    record::{self, Record},
    words,
};
use crate::{
    cli::{exit::Failure, output, output::Style},
    store::make,
};

/// Bytes of one line, at most: far more than a message may have.
const LINE_BYTES: u64 = 64 << 20;

/// Makes a store in a directory that has none.
///
/// # Errors
/// There is something in the directory, a line is wrong (with its number), or the system refuses.
pub fn run(directory: &Path, from: &Path) -> Result<(), Failure> {
    let named = |error| Failure::Other(format!("{}: {error}", from.display()));
    let input: Box<dyn BufRead> = if from == Path::new("-") {
        Box::new(BufReader::with_capacity(1 << 16, std::io::stdin().lock()))
    } else {
        Box::new(BufReader::with_capacity(1 << 16, File::open(from).map_err(named)?))
    };
    let mut lines = Lines { input, line: Vec::new(), number: 0 };
    // Before anything is made: an input of another kind leaves nothing behind.
    let epoch = match lines.next()? {
        Some(Record::Store(epoch)) => epoch,
        _ => return Err(Failure::Other(
            "the input does not begin with {\"type\":\"store\",...}\n  remedy: give it what `fanfare store export` wrote".into(),
        )),
    };
    let was_there = directory.exists();
    make(directory)?;
    let import = Import::begin(directory, epoch).map_err(failure)?;
    match fill(import, &mut lines) {
        Ok(imported) => tell(directory, &imported),
        Err(error) => {
            // Half a store is of no use to anybody; what was there before is not this command's to remove.
            if !was_there {
                let _ = std::fs::remove_dir_all(directory);
            }
            Err(error)
        }
    }
}

fn fill(mut import: Import, lines: &mut Lines) -> Result<Imported, Failure> {
    while let Some(record) = lines.next()? {
        let done = match record {
            Record::Store(_) => return Err(lines.wrong("a second store begins")),
            Record::Channel(state) => import.channel(state),
            Record::Message(stored) => import.message(&stored),
            Record::Other => Ok(()),
        };
        done.map_err(|error| lines.wrong(&error.to_string()))?;
    }
    import.finish().map_err(failure)
}

fn tell(directory: &Path, imported: &Imported) -> Result<(), Failure> {
    let Imported { channels, messages, bytes } = *imported;
    if Style::of_stdout().is_human() {
        return output::line(&format!(
            "imported {} in {} into {} ({})",
            words::count(messages, "message"),
            words::count(channels, "channel"),
            directory.display(),
            words::size(bytes)
        ));
    }
    output::line(&words::object(
        "imported",
        &[
            ("directory", directory.display().to_string().into()),
            ("channels", channels.into()),
            ("messages", messages.into()),
            ("bytes", bytes.into()),
        ],
    ))
}

/// The input's lines, counted.
struct Lines {
    input: Box<dyn BufRead>,
    line: Vec<u8>,
    number: u64,
}

impl Lines {
    /// The next line that is not empty.
    fn next(&mut self) -> Result<Option<Record>, Failure> {
        loop {
            self.line.clear();
            self.number += 1;
            (&mut self.input).take(LINE_BYTES).read_until(b'\n', &mut self.line)?;
            if self.line.is_empty() {
                return Ok(None);
            }
            if self.line.len() as u64 == LINE_BYTES {
                return Err(self.wrong("it is longer than any message"));
            }
            if !self.line.trim_ascii().is_empty() {
                return record::read(self.line.trim_ascii()).map(Some).map_err(|what| self.wrong(&what));
            }
        }
    }

    fn wrong(&self, what: &str) -> Failure {
        Failure::Other(format!(
            "line {}: {what}\n  remedy: give it what `fanfare store export` wrote, whole and unchanged",
            self.number
        ))
    }
}
