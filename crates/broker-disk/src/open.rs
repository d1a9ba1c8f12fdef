//! Opening a directory: what was left in it, and whether it can be trusted.
use std::{
    hash::{BuildHasher, RandomState},
    io,
    path::PathBuf,
    sync::Arc,
};

use fanfare_broker::Policies;
use fanfare_protocol::Epoch;

use crate::{
    DiskSettings, OpenError, Opened,
    channels::{Channel, Channels},
    directory::{Directory, Left, boot_id},
    found::Table,
    frame::{Kind, SEGMENT_HEADER, write_frame},
    log::Log,
    record::ChannelBody,
    recover::{Recovered, recover, reset},
    segment::{Segment, sync_directory},
    spare::Spare,
};

/// An open directory.
pub(crate) struct Store {
    pub directory: Directory,
    pub channels: Channels,
    pub opened: Opened,
    /// Full segments.
    pub sealed: Vec<Arc<Segment>>,
    /// The one that is written to.
    pub newest: Arc<Segment>,
    /// Channels with keys, ids or messages that are seen before they are synced.
    pub active: Vec<Arc<Channel>>,
    pub newest_ms: u64,
}

/// Opens a directory; `anew` with a segment of its own, so that all there was is in full ones.
pub(crate) fn open(settings: &DiskSettings, policies: &dyn Policies, anew: bool) -> Result<Store, OpenError> {
    let directory = Directory::open(&settings.directory)?;
    let io = |path: PathBuf| move |error: io::Error| OpenError::Io { path, error };
    let boot = settings.boot_id.clone().or_else(boot_id);
    let left = directory.left()?;
    let mut recovered = recover(&directory.log(), settings, policies)?;
    // A first start that was killed leaves a segment in which nothing is.
    if left.is_none() && recovered.segments.iter().any(|segment| segment.len() > SEGMENT_HEADER as u64) {
        let (path, what) = (directory.path.join("store"), "it is missing, though there is a log");
        return Err(OpenError::Damaged { path, at: 0, what });
    }
    let unclean = left.as_ref().is_some_and(|left| !left.clean);
    let other_boot = boot.is_none() || left.as_ref().map(|left| &left.boot) != boot.as_ref();
    let mut opened = Opened {
        messages: recovered.messages,
        unclean,
        power_cut: unclean && other_boot,
        cut: recovered.cut.clone(),
        ..Opened::default()
    };
    if opened.power_cut && recovered.unwritten {
        // What was not synced was seen by nobody, or else its channel is loose.
        recovered.lost = Some(Vec::new());
    }
    // A channel of which nothing is left stands in the store's epoch, as does every channel that is yet to begin.
    let channels = &mut recovered.channels;
    let mut is_left = |number: &u32| channels.get(*number).is_some();
    let all_left = recovered.lost.as_ref().is_some_and(|lost| lost.iter().all(&mut is_left));
    let epoch = match left {
        Some(left) if all_left => left.epoch,
        _ => fresh_epoch(),
    };
    let segment = newest(&directory, &mut recovered, anew)?;
    let mut channels = recovered.channels;
    let frames = distrust(&mut channels, &segment, &mut opened, recovered.lost.as_deref());
    let path = segment.path.clone();
    segment.append(&frames).and_then(|()| segment.sync()).map_err(io(path))?;
    sync_directory(&directory.log()).map_err(io(directory.log()))?;
    let left = Left { epoch, boot: boot.unwrap_or_default(), clean: false };
    if directory.mark(&left).is_err() {
        // A full disk: what is kept can be read all the same.
        Spare::new(settings).release();
        directory.mark(&left).map_err(io(directory.path.clone()))?;
    }
    let store = Channels::new(epoch, channels.len());
    let forget = |log: &mut Log| {
        log.forget_ids_at(recovered.newest_ms, settings.idempotency_ms, settings.idempotency_ids);
    };
    let active = store.fill(channels, forget);
    opened.channels = store.written();
    if let Some(cut) = &opened.cut {
        tracing::warn!(segment = %cut.path.display(), at = cut.at, bytes = cut.bytes, what = cut.what,
            "the end of the log was cut off at its last good frame");
    }
    if !opened.reset.is_empty() {
        let count = opened.reset.len();
        tracing::warn!(channels = count, "channels that may have lost messages go on in another epoch");
    }
    let (sealed, newest_ms) = (recovered.segments, recovered.newest_ms);
    Ok(Store { directory, channels: store, opened, sealed, newest: segment, active, newest_ms })
}

/// The segment to go on with; the full ones stay behind.
fn newest(directory: &Directory, recovered: &mut Recovered, anew: bool) -> Result<Arc<Segment>, OpenError> {
    let path = directory.log();
    let io = |error| OpenError::Io { path: path.clone(), error };
    let mut id = 1;
    if let Some(newest) = recovered.segments.pop() {
        if !anew {
            return Ok(newest);
        }
        newest.sync().map_err(io)?;
        id = newest.id + 1;
        recovered.segments.push(newest);
    }
    Ok(Arc::new(Segment::create(&path, id).map_err(io)?))
}

/// Gives another epoch to each channel that may have lost what readers have seen, and returns the frames that say so.
fn distrust(channels: &mut Table, segment: &Segment, opened: &mut Opened, lost: Option<&[u32]>) -> Vec<u8> {
    let mut frames = Vec::new();
    for (number, found) in channels.iter_mut() {
        let by_cut = lost.is_none_or(|lost| lost.contains(&number));
        let by_power_cut = opened.power_cut && found.is_loose();
        if (by_cut || by_power_cut)
            && let Some(log) = found.log()
        {
            let epoch = fresh_epoch();
            reset(log, epoch);
            log.carrier = segment.id;
            let name = found.name.clone();
            let body = ChannelBody { head: 0, newest_ms: 0, tombstones_after: 0, epoch, name };
            write_frame(segment.id, Kind::Channel, number, &body.write(), &mut frames);
            opened.reset.push(found.name.clone());
        }
    }
    frames
}

/// An epoch that no log has had. A fresh `RandomState` has keys of its own: random bits enough, for an epoch is no secret.
pub(crate) fn fresh_epoch() -> Epoch {
    Epoch::from_random(RandomState::new().hash_one(std::process::id()))
}
