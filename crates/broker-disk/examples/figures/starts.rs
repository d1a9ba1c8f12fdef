//! Starts: time until a directory can be served, and the memory of what is kept and idle. Each in a process of its own, as a start is.
use std::{
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use fanfare_broker_disk::DiskBroker;

use crate::{
    reads::copy,
    row,
    store::{Outcome, cpu, fill, fresh, memory, names, open},
};

const CHANNELS: usize = 1_000_000;
const GIGABYTE: u64 = 1 << 30;
/// Starts whose memory is measured: how far they differ is shown.
const STARTS: usize = 5;

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

/// A million channels of one message: made by one process and laid down by it, then found by others.
pub fn channels(root: &Path) -> Outcome<()> {
    let directory = fresh(root, "channels")?;
    let each = |bytes: u64| bytes / CHANNELS as u64;
    let made = each(apart(root, "made")?.first().copied().unwrap_or_default() as u64);
    let opened = (0..STARTS).map(|_| open_apart(root, "channels")).collect::<Outcome<Vec<Opened>>>()?;
    let most = |of: fn(&Opened) -> f64| opened.iter().map(of).fold(0.0, f64::max);
    row(
        "1,000,000 channels of one message: start",
        "5 s",
        &format!("{:.2} s at most, {:.2} s of CPU", most(|o| o.seconds), most(|o| o.cpu)),
        &format!("reading the files: {:.2} s", most(|o| o.files)),
        opened.iter().all(|opened| opened.seconds < 5.0).into(),
    );
    let of = |f: fn(&Opened) -> u64| opened.iter().map(|opened| each(f(opened))).collect::<Vec<_>>();
    let (at_once, later) = (of(|opened| opened.at_once), of(|opened| opened.later));
    row(
        &format!("memory of a kept and idle channel, {STARTS} starts"),
        "200 B",
        &format!("{later:?} B 3 s after the start"),
        &format!("{at_once:?} B at once; a name of 11 bytes in it"),
        later.iter().all(|bytes| *bytes <= 200).into(),
    );
    row(
        "the same, made by this process and laid down",
        "200 B",
        &format!("{made} B"),
        "a name of 11 bytes in it",
        (made <= 200).into(),
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
        (opened.seconds < 2.0).into(),
    );
    std::fs::remove_dir_all(directory)?;
    Ok(())
}

fn open_apart(root: &Path, what: &str) -> Outcome<Opened> {
    let [seconds, cpu, at_once, later, files] = apart(root, what)?[..] else {
        return Err("a start does not say all".into());
    };
    Ok(Opened { seconds, cpu, at_once: at_once as u64, later: later as u64, files })
}

/// What a process of its own says.
fn apart(root: &Path, what: &str) -> Outcome<Vec<f64>> {
    let output = Command::new(std::env::current_exe()?).arg(root).args(["apart", what]).output()?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into());
    }
    let text = String::from_utf8(output.stdout)?;
    Ok(text.split_whitespace().map(str::parse).collect::<Result<_, _>>()?)
}

/// What [`apart`] runs: `made` makes a million channels and says their memory, anything else is a directory to open.
pub fn by_itself(root: &Path, what: &str) -> Outcome<()> {
    if what == "made" {
        let broker = open(&root.join("channels"))?;
        let before = memory()?;
        let names = names(CHANNELS)?;
        fill(&broker, &names, CHANNELS, 8192)?;
        // Their names are the store's own now. What was used of late is laid down by the second pass.
        drop(names);
        for _ in 0..2 {
            broker.keep();
        }
        settle(&broker)?;
        println!("{}", memory()?.saturating_sub(before));
        return Ok(());
    }
    let directory = root.join(what);
    let files = copy(&directory)?;
    let (before, used, begun) = (memory()?, cpu()?, Instant::now());
    let broker = open(&directory)?;
    let (seconds, used) = (begun.elapsed().as_secs_f64(), cpu()? - used);
    let at_once = memory()?.saturating_sub(before);
    settle(&broker)?;
    let later = memory()?.saturating_sub(before);
    println!("{seconds} {used} {at_once} {later} {files}");
    Ok(())
}

/// What was needed for a while and let go is given back to the system bit by bit, as time goes by and memory is asked for again.
fn settle(broker: &DiskBroker) -> Outcome<()> {
    for _ in 0..30 {
        std::thread::sleep(Duration::from_millis(100));
        fill(broker, &names(1)?, 100, 100)?;
    }
    Ok(())
}
