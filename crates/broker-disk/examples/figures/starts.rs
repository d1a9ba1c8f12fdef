//! Starts: time until a directory can be served, and the memory of what is kept and idle. Each in a process of its own, as a start is.
use std::{
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use crate::{
    reads::copy,
    row,
    store::{Outcome, cpu, fill, fresh, memory, names, open},
};

const CHANNELS: usize = 1_000_000;
const GIGABYTE: u64 = 1 << 30;

/// What a process that opened a directory says.
struct Opened {
    seconds: f64,
    cpu: f64,
    /// Memory more than before, at once and a little later.
    at_once: u64,
    later: u64,
    /// Reading the files alone.
    files: f64,
}

/// A million channels of one message.
pub fn channels(root: &Path) -> Outcome<()> {
    let directory = fresh(root, "channels")?;
    fill(&open(&directory)?, &names(CHANNELS)?, CHANNELS, 8192)?;
    let opened = open_apart(root, "channels")?;
    let each = |bytes: u64| bytes / CHANNELS as u64;
    row(
        "1,000,000 channels of one message: start",
        "5 s",
        &format!("{:.2} s, {:.2} s of CPU", opened.seconds, opened.cpu),
        &format!("reading the files: {:.2} s", opened.files),
        opened.seconds < 5.0,
    );
    row(
        "memory of a kept and idle channel",
        "200 B",
        &format!("{} B at once after the start, {} B 3 s later", each(opened.at_once), each(opened.later)),
        "a name of 11 bytes in it",
        each(opened.at_once) <= 200,
    );
    std::fs::remove_dir_all(directory)?;
    Ok(())
}

/// A gigabyte of log in 1,000 channels.
pub fn log(root: &Path) -> Outcome<()> {
    let directory = fresh(root, "log")?;
    let broker = open(&directory)?;
    let channels = names(1000)?;
    while broker.counters().written_bytes.get() < GIGABYTE {
        fill(&broker, &channels, 100_000, 8192)?;
    }
    drop(broker);
    let opened = open_apart(root, "log")?;
    row(
        "ready with 1 GB of log",
        "2 s",
        &format!("{:.2} s, {:.2} s of CPU", opened.seconds, opened.cpu),
        &format!("reading the files: {:.2} s", opened.files),
        opened.seconds < 2.0,
    );
    std::fs::remove_dir_all(directory)?;
    Ok(())
}

fn open_apart(root: &Path, what: &str) -> Outcome<Opened> {
    let output = Command::new(std::env::current_exe()?).arg(root).args(["opened", what]).output()?;
    let text = String::from_utf8(output.stdout)?;
    let numbers: Vec<f64> = text.split_whitespace().map(str::parse).collect::<Result<_, _>>()?;
    let [seconds, cpu, at_once, later, files] = numbers[..] else {
        return Err(String::from_utf8_lossy(&output.stderr).into());
    };
    Ok(Opened { seconds, cpu, at_once: at_once as u64, later: later as u64, files })
}

/// What [`open_apart`] runs: five numbers.
pub fn opened(root: &Path, what: &str) -> Outcome<()> {
    let directory = root.join(what);
    let files = copy(&directory)?;
    let (before, used, begun) = (memory()?, cpu()?, Instant::now());
    let broker = open(&directory)?;
    let (seconds, used) = (begun.elapsed().as_secs_f64(), cpu()? - used);
    let at_once = memory()?.saturating_sub(before);
    // What the start needed and let go is given back bit by bit, as memory is asked for again.
    for _ in 0..30 {
        std::thread::sleep(Duration::from_millis(100));
        fill(&broker, &names(1)?, 100, 100)?;
    }
    let later = memory()?.saturating_sub(before);
    println!("{seconds} {used} {at_once} {later} {files}");
    Ok(())
}
