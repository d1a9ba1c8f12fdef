//! Tokio drivers: WebSocket, SSE, stream, poll.
