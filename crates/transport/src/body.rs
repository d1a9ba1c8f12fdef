//! SSE and streams as HTTP bodies: the same driver, over a pipe that the HTTP server reads from when the client takes more.
use std::{
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame};
use tokio::io::{AsyncRead, DuplexStream, ReadBuf, duplex};

use crate::{driver::Driver, node::Node, plan::Plan, socket::Stream};

/// Bytes in the pipe at most.
const PIPE_BYTES: usize = 16 << 10;

/// The reading end of a driver's pipe. The driver ends when this is dropped, and this when the driver ends: a client that takes nothing is
/// judged by the driver as any other.
pub(crate) struct LinkBody(DuplexStream);

impl LinkBody {
    pub fn new(node: &Arc<Node>, plan: Plan) -> Self {
        let (near, far) = duplex(PIPE_BYTES);
        tokio::spawn(Driver::new(node, plan, Stream::new(near), &[]));
        Self(far)
    }
}

impl Body for LinkBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let mut bytes = BytesMut::zeroed(PIPE_BYTES);
        let mut buffer = ReadBuf::new(&mut bytes);
        // A pipe that was cut reads as ended.
        let read = ready!(Pin::new(&mut self.0).poll_read(cx, &mut buffer));
        let filled = if read.is_ok() { buffer.filled().len() } else { 0 };
        bytes.truncate(filled);
        Poll::Ready((filled > 0).then(|| Ok(Frame::data(Bytes::copy_from_slice(&bytes)))))
    }
}
