//! nchan, the publish-subscribe module of nginx: `/sub?id=NAME` and `/pub?id=NAME` by convention of its examples.

use std::fmt::Write as _;

use super::{Adapter, Heard, Names, Opening, Place};
use crate::settings::{Settings, Transport};

/// An nginx with nchan.
pub struct Nchan {
    names: Names,
    host: String,
    sse: bool,
}

impl Nchan {
    pub fn new(settings: &Settings, names: Names) -> Self {
        Self { names, host: settings.host.clone(), sse: settings.transport == Transport::Sse }
    }
}

impl Adapter for Nchan {
    fn open(&self, place: &Place) -> Opening {
        let headers = if self.sse { vec!["Accept: text/event-stream".into()] } else { Vec::new() };
        Opening {
            target: format!("/sub?id={}", self.names.of(place.channels.start)),
            headers,
            ..Opening::default()
        }
    }

    fn hear(&self, _: &Place, _: &[u8]) -> Heard {
        Heard::Nothing
    }

    fn publish(&self, channel: u32, payload: &str, out: &mut String) {
        let _ = write!(
            out,
            "POST /pub?id={} HTTP/1.1\r\nHost: {}\r\nContent-Length: {}\r\n\r\n{payload}",
            self.names.of(channel),
            self.host,
            payload.len()
        );
    }

    fn single(&self) -> bool {
        !self.sse
    }
}
