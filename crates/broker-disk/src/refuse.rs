//! Taking back what could not be kept: its offset is free again, its id is not remembered, and its publisher is told.
use fanfare_protocol::Problem;

use crate::{
    queue::{Pending, What},
    shared::Shared,
};

/// Takes back something that readers have not seen. `counted`: it is among the log's `unsynced`.
pub(crate) fn take_back(shared: &Shared, pending: Pending, counted: bool, problem: &Problem) {
    if let Some(channel) = &pending.channel {
        let mut log = channel.log.lock();
        log.unsynced -= u32::from(counted);
        if let What::Message(entry) = &pending.what {
            shared.counters.refused.inc();
            let had = log.assigned > 0;
            log.take_back();
            if had && log.assigned == 0 {
                shared.channels.count(false);
            }
            if let (Some(keys), Some(key)) = (&mut log.keys, &entry.message.key) {
                keys.expected(key);
                if entry.ends_key {
                    keys.not_ended(key);
                    let cx = shared.context(&channel.name);
                    shared.arm_sooner(channel, &mut log, &cx);
                }
            }
        }
        if let Some(keys) = &mut log.keys {
            keys.not_said();
        }
    }
    refuse(pending, problem);
}

/// Tells whoever waits for it.
pub(crate) fn refuse(pending: Pending, problem: &Problem) {
    if let Some((reply, _)) = pending.reply {
        reply.send(Err(problem.clone()));
    }
    if let What::Stop(reply) = pending.what {
        reply.send(Err(problem.clone()));
    }
}
