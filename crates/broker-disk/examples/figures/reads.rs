//! Messages read back, beside copying the same bytes out of files in blocks.
use std::{
    fs::File,
    io::Read as _,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    thread,
    time::Instant,
};

use fanfare_broker::{Bound, Broker, Read};
use fanfare_broker_disk::DiskBroker;
use fanfare_protocol::{ChannelName, Position};

use crate::{
    row,
    store::{Outcome, cpu, fill, fresh, names, open, wait},
};

const MESSAGES: usize = 500_000;
const ASKED: f64 = 500_000.0;

/// One channel, and 50 whose messages lie between each other: in the groups in which a busy hub commits, and one by one.
pub fn all(root: &Path) -> Outcome<()> {
    for (channels, group, what) in [
        (1, 4096, "1 channel"),
        (50, 4096, "50 channels, committed in groups of 4096"),
        (50, 50, "50 channels, one message each a commit"),
    ] {
        let directory = fresh(root, "read")?;
        let channels = names(channels)?;
        {
            let broker = open(&directory)?;
            fill(&broker, &channels, MESSAGES, group)?;
            wait(broker.stop())?;
        }
        let broker = Arc::new(open(&directory)?);
        for channel in &channels {
            // Where the first read of a channel looks up what retention allows.
            wait(broker.bounds(channel))?;
        }
        let copied = copy(&directory)?;
        for readers in [1, 8.min(channels.len())] {
            let (used, begun) = (cpu()?, Instant::now());
            let messages = read(&broker, &channels, readers)?;
            let (seconds, used) = (begun.elapsed().as_secs_f64(), cpu()? - used);
            let rate = messages as f64 / seconds;
            row(
                &format!("read back, {what}, {readers} at once"),
                "500,000/s",
                &format!("{rate:.0}/s, {:.0} a second of CPU", messages as f64 / used.max(0.01)),
                &format!("copying the files: {:.0}/s", MESSAGES as f64 / copied),
                (rate >= ASKED).into(),
            );
            if channels.len() == 1 {
                break;
            }
        }
    }
    std::fs::remove_dir_all(root.join("read"))?;
    Ok(())
}

/// Reads every channel once, so many at a time, as catch-up does: 64 KB and then another.
fn read(broker: &Arc<DiskBroker>, channels: &[ChannelName], readers: usize) -> Outcome<usize> {
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        let threads: Vec<_> = (0..readers)
            .map(|_| {
                scope.spawn(|| -> Outcome<usize> {
                    let mut messages = 0;
                    while let Some(channel) = channels.get(next.fetch_add(1, Relaxed)) {
                        messages += read_one(broker, channel)?;
                    }
                    Ok(messages)
                })
            })
            .collect();
        let mut messages = 0;
        for thread in threads {
            messages += thread.join().map_err(|_| "a reader panicked")??;
        }
        Ok(messages)
    })
}

fn read_one(broker: &DiskBroker, channel: &ChannelName) -> Outcome<usize> {
    let bounds = wait(broker.bounds(channel))?;
    let (mut after, mut messages) = (Position { epoch: bounds.epoch, offset: 0 }, 0);
    while after.offset < bounds.head {
        let read = Read { after, limit: 1000, bytes: 64 << 10, bound: Bound::Held };
        let slice = wait(broker.read(channel, read))?.map_err(|lost| format!("{lost:?}"))?;
        messages += slice.messages.len();
        after = slice.messages.last().ok_or("nothing came")?.position();
    }
    Ok(messages)
}

/// Seconds to copy the log's files into memory, 64 KB at a time.
pub fn copy(directory: &Path) -> Outcome<f64> {
    let (begun, mut block) = (Instant::now(), vec![0; 64 << 10]);
    for entry in std::fs::read_dir(directory.join("log"))? {
        let mut file = File::open(entry?.path())?;
        while file.read(&mut block)? > 0 {}
    }
    Ok(begun.elapsed().as_secs_f64())
}
