//! `fanfare store info` and `verify`: they only read.
use std::path::Path;

use fanfare_broker_disk::tools::{ChannelSurvey, Survey, survey};

use super::{failure, words};
use crate::{
    cli::{
        exit::{Failure, plain},
        output,
        output::Style,
    },
    store::StoreError,
};

/// Channels that people are shown unless they ask for all.
const SHOWN: usize = 20;

/// Says what is in a store.
///
/// # Errors
/// There is none, or the system refuses. Damage is told, and no failure here.
pub fn info(directory: &Path, all: bool) -> Result<(), Failure> {
    let found = survey(directory).map_err(failure)?;
    if !Style::of_stdout().is_human() {
        output::line(&summary(directory, &found))?;
        for channel in &found.channels {
            output::line(&row(channel))?;
        }
        return Ok(());
    }
    output::line(&describe(directory, &found))?;
    let mut channels: Vec<_> = found.channels.iter().collect();
    if !all && channels.len() > SHOWN {
        channels.sort_by_key(|channel| std::cmp::Reverse(channel.bytes));
        channels.truncate(SHOWN);
    }
    output::line(&table(&channels))?;
    let left = found.channels.len() - channels.len();
    if left > 0 {
        output::line(&format!("... and {left} smaller ones (--all)"))?;
    }
    Ok(())
}

fn summary(directory: &Path, found: &Survey) -> String {
    words::object(
        "store",
        &[
            ("directory", directory.display().to_string().into()),
            ("epoch", found.epoch.map(|epoch| epoch.to_string()).into()),
            ("in_use", found.in_use.into()),
            ("clean", found.clean.into()),
            ("segments", found.segments.len().into()),
            ("bytes", found.bytes().into()),
            ("channels", found.channels.len().into()),
            ("messages", found.messages().into()),
            ("torn_bytes", found.torn.as_ref().map_or(0, |cut| cut.bytes).into()),
            ("damages", found.damage_count.into()),
        ],
    )
}

fn row(channel: &ChannelSurvey) -> String {
    words::object(
        "channel",
        &[
            ("channel", (*channel.channel).into()),
            ("epoch", channel.epoch.to_string().into()),
            ("offset", channel.head.into()),
            ("oldest", channel.oldest.into()),
            ("messages", channel.messages.into()),
            ("bytes", channel.bytes.into()),
            ("keys", channel.keys.into()),
            ("newest_ms", channel.newest_ms.into()),
        ],
    )
}

/// A place in a file, and what is wrong there.
fn place(kind: &str, file: &Path, at: u64, what: &str, bytes: Option<u64>) -> String {
    let mut fields =
        vec![("file", file.display().to_string().into()), ("at", at.into()), ("what", what.into())];
    fields.extend(bytes.map(|bytes| ("bytes", bytes.into())));
    words::object(kind, &fields)
}

fn describe(directory: &Path, found: &Survey) -> String {
    let state = match (found.in_use, found.clean) {
        (true, _) => "a hub has it open",
        (false, true) => "stopped in order",
        (false, false) => "not stopped in order (the next start reads on from what is there)",
    };
    let epoch = found.epoch.map_or_else(|| "unknown".into(), |epoch| epoch.to_string());
    let mut text = format!(
        "directory  {}\nstate      {state}\nepoch      {epoch}\nlog        {} in {}\nholds      {} in {}\n",
        directory.display(),
        words::size(found.bytes()),
        words::count(found.segments.len() as u64, "segment"),
        words::count(found.messages(), "message"),
        words::count(found.channels.len() as u64, "channel"),
    );
    if let Some(cut) = found.torn.as_ref().filter(|_| !found.in_use) {
        text += &format!("torn end   {} bytes, which the next start cuts off ({})\n", cut.bytes, cut.what);
    }
    if found.damage_count > 0 {
        text += &format!("DAMAGED    in {} place(s): see `fanfare store verify`\n", found.damage_count);
    }
    text
}

/// Columns, the widest name as wide as it is.
fn table(channels: &[&ChannelSurvey]) -> String {
    let names: Vec<String> = channels.iter().map(|channel| plain(&channel.channel)).collect();
    let width = names.iter().map(|name| name.chars().count()).max().unwrap_or(0).max("channel".len());
    let now_ms = fanfare_hub::unix_ms();
    let mut text = format!(
        "{:width$}  {:>12}  {:>9}  {:>9}  {:>7}  newest",
        "channel", "head", "messages", "bytes", "keys"
    );
    for (name, channel) in names.iter().zip(channels) {
        text += &format!(
            "\n{name:width$}  {:>12}  {:>9}  {:>9}  {:>7}  {}",
            channel.head,
            channel.messages,
            words::size(channel.bytes),
            channel.keys,
            words::ago(channel.newest_ms, now_ms)
        );
    }
    text
}

/// Reads a whole store, and lists what is wrong with it.
///
/// # Errors
/// It is damaged: a hub would not start with it. A torn end is no damage: a crash leaves one, and the next start cuts it off.
pub fn verify(directory: &Path) -> Result<(), Failure> {
    let found = survey(directory).map_err(failure)?;
    if Style::of_stdout().is_human() {
        verify_for_people(directory, &found)?;
    } else {
        for damage in &found.damages {
            output::line(&place("damage", &damage.path, damage.at, damage.what, None))?;
        }
        if let Some(cut) = &found.torn {
            output::line(&place("torn", &cut.path, cut.at, cut.what, Some(cut.bytes)))?;
        }
        output::line(&summary(directory, &found))?;
    }
    match found.damages.into_iter().next() {
        None => Ok(()),
        Some(first) => {
            Err(Failure::Store(StoreError::Damaged { path: first.path, at: first.at, what: first.what }))
        }
    }
}

fn verify_for_people(directory: &Path, found: &Survey) -> Result<(), Failure> {
    for damage in &found.damages {
        output::line(&format!("{}: byte {}: {}", damage.path.display(), damage.at, damage.what))?;
    }
    if found.damage_count > found.damages.len() {
        output::line(&format!("... {} damages in all", found.damage_count))?;
    }
    if found.damage_count == 0 {
        let frames: u64 = found.segments.iter().map(|segment| segment.frames).sum();
        output::line(&format!(
            "ok: {} in {}, every one of {} as it was written",
            words::count(found.messages(), "message"),
            directory.display(),
            words::count(frames, "frame")
        ))?;
    }
    match &found.torn {
        Some(_) if found.in_use => output::line("a hub has it open: what it is just writing was left out"),
        Some(cut) => output::line(&format!(
            "torn end: {} at byte {}, {} bytes ({}); the next start cuts it off, as after any crash",
            cut.path.display(),
            cut.at,
            cut.bytes,
            cut.what
        )),
        None => Ok(()),
    }
}
