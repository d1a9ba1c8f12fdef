//! HTTP/1.1 requests on a connection that is kept.
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use tokio::time::timeout;

use super::{super::exit::Failure, Hub, PATIENCE};

/// Largest answer that is read whole, in bytes: a page of messages of the largest usual size.
const MOST: usize = 64 << 20;

/// A connection, opened when needed and again when it was closed.
pub struct Http<'a> {
    hub: &'a Hub,
    session: Option<String>,
    sender: Option<http1::SendRequest<Full<Bytes>>>,
}

impl<'a> Http<'a> {
    /// Not connected yet. With a `session` the requests are of one client.
    pub fn new(hub: &'a Hub, session: Option<String>) -> Self {
        Self { hub, session, sender: None }
    }

    /// Sends a request and waits for the answer's head, at most `PATIENCE` and `longer`.
    ///
    /// # Errors
    /// No connection, no answer.
    pub async fn send(
        &mut self,
        method: Method,
        path: &str,
        headers: &[(&'static str, &str)],
        body: Bytes,
        longer: std::time::Duration,
    ) -> Result<Response<Incoming>, Failure> {
        let mut request =
            Request::builder().method(method).uri(path).header(header::HOST, self.hub.authority());
        if let Some(bearer) = &self.hub.bearer {
            request = request.header(header::AUTHORIZATION, bearer);
        }
        if let Some(session) = &self.session {
            request = request.header("Fanfare-Session", session);
        }
        if !body.is_empty() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request
            .body(Full::new(body))
            .map_err(|error| Failure::Other(format!("the request cannot be made: {error}")))?;
        let mut sender = self.ready().await?;
        let answer = match timeout(PATIENCE + longer, sender.send_request(request)).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => return Err(Failure::Network(format!("{}: {error}", self.hub.authority()))),
            Err(_) => return Err(Failure::Network(format!("{} does not answer", self.hub.authority()))),
        };
        self.sender = Some(sender);
        Ok(answer)
    }

    async fn ready(&mut self) -> Result<http1::SendRequest<Full<Bytes>>, Failure> {
        if let Some(mut sender) = self.sender.take() {
            // The last answer was read to its end; it takes the connection's task a moment to notice.
            if sender.ready().await.is_ok() {
                return Ok(sender);
            }
        }
        let wire = self.hub.connect().await?;
        let failed = |error| Failure::Network(format!("{}: {error}", self.hub.authority()));
        let (sender, connection) = http1::handshake(TokioIo::new(wire)).await.map_err(failed)?;
        // What goes wrong there, requests report too.
        tokio::spawn(async move { drop(connection.await) });
        Ok(sender)
    }
}

/// Reads an answer to its end.
///
/// # Errors
/// The connection broke, or the answer is not 200; then what the hub said.
pub async fn read(answer: Response<Incoming>) -> Result<Bytes, Failure> {
    let status = answer.status();
    let body = Limited::new(answer.into_body(), MOST).collect().await;
    let body = body.map_err(|error| Failure::Network(format!("the answer broke off: {error}")))?.to_bytes();
    if status == StatusCode::OK { Ok(body) } else { Err(refused(status, &body)) }
}

/// What an answer other than 200 says.
pub fn refused(status: StatusCode, body: &[u8]) -> Failure {
    let problem = serde_json::from_slice(body).ok();
    problem.as_ref().and_then(Failure::refused).unwrap_or_else(|| {
        let text =
            format!("the answer is {status}; this does not look like a Fanfare hub\n  remedy: check --url");
        if status.is_server_error() { Failure::Network(text) } else { Failure::Other(text) }
    })
}
