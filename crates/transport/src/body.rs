//! The pull driver: an HTTP body that reads from its connection's cursors when the client takes more.
use std::{
    convert::Infallible,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use fanfare_hub::Pulled;
use http_body::{Body, Frame};

use crate::{
    link::{Link, Wrote},
    node::Node,
    plan::Plan,
};

/// Bytes handed to the server at once.
const PULL_BYTES: usize = 16 << 10;

/// SSE or a stream as a body.
pub(crate) struct LinkBody {
    link: Link,
    finished: bool,
}

impl LinkBody {
    pub fn new(node: &Arc<Node>, plan: Plan) -> Self {
        Self { link: Link::open(node, plan, Box::new(Pulled)), finished: false }
    }
}

impl Body for LinkBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.finished {
            return Poll::Ready(None);
        }
        self.link.drive(cx);
        let mut pulled: Vec<u8> = Vec::new();
        let wrote = self.link.pump(cx, &mut |bytes| {
            let room = PULL_BYTES - pulled.len();
            if room == 0 {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            let taken = bytes.get(..room.min(bytes.len())).unwrap_or_default();
            pulled.extend_from_slice(taken);
            Ok(taken.len())
        });
        self.finished = matches!(wrote, Wrote::Finished | Wrote::Dead);
        if !pulled.is_empty() {
            return Poll::Ready(Some(Ok(Frame::data(pulled.into()))));
        }
        if self.finished { Poll::Ready(None) } else { Poll::Pending }
    }
}
