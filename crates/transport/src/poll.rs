//! Short and long polls: a cursor that the client carries.
use std::{future::Future, sync::Arc, time::Duration};

use axum::{
    extract::{Request, State},
    response::{IntoResponse, Response},
};
use fanfare_hub::{Follower, PAGE_BYTES, Watch, unix_ms};
use fanfare_protocol::{
    Cursor, Message, Problem, Right,
    event::{Gap, GapReason},
    json,
    options::{SubscribeRequest, from_query},
};
use futures_util::{FutureExt, future::select_all};
use http::{HeaderValue, StatusCode, header, request::Parts};
use tokio::time::Instant;

use crate::{
    access::{self, Caller, SESSION_HEADER},
    authorizer::ask_reading,
    node::Node,
    parked::Parked,
    plan::check_reading,
    query,
    refusal::Refusal,
};

/// Messages of one answer at most.
const MESSAGES: usize = 1000;

/// One poll under way.
struct Poll {
    followers: Vec<Follower>,
    messages: Vec<Arc<Message>>,
    gaps: Vec<Gap>,
    bytes: usize,
    more: bool,
    newest_ms: u64,
}

/// `GET /v1/poll`. What is returned holds nothing of the request that the answer does not need: it may wait for a minute.
pub(crate) fn poll(
    State(node): State<Arc<Node>>,
    request: Request,
) -> impl Future<Output = Result<Response, Refusal>> + Send + use<> {
    let understood = Box::pin(understand(node.clone(), request));
    async move {
        let asked = understood.await?;
        let Asked { caller, request, known } = &*asked;
        // Numbered as a connection, so that the membership it holds is told apart from others'.
        let held = Held::new(&node, caller);
        let answered = answer(&node, request, caller, known.as_deref()).await;
        drop(held);
        let poll = answered?;
        Ok(respond(&node, request, caller, &poll, known.as_deref()))
    }
}

/// A poll as it was asked for.
struct Asked {
    caller: Caller,
    request: SubscribeRequest,
    /// The cursors that the client has answers for.
    known: Option<Vec<String>>,
}

/// Who asks, for what, and whether it may. What is done before a poll waits is boxed, here and below, so that nothing of it is held meanwhile.
async fn understand(node: Arc<Node>, request: Request) -> Result<Box<Asked>, Problem> {
    let (parts, _) = request.into_parts();
    let caller = access::caller(&node, &parts).await?;
    let mut request = from_query(&query::pairs(parts.uri.query())?)?;
    // Nothing of it is told, so that neither rights nor presence are needed for it.
    request.options.presence = false;
    check_reading(&node, &caller.identity, &request)?;
    ask_reading(&node, &caller, &parts, &request.channels, &request.options).await?;
    Ok(Box::new(Asked { caller, request, known: if_none_match(&parts) }))
}

/// A poll holds its client's memberships while it waits.
struct Held<'a> {
    node: &'a Node,
    connection: u64,
    client: fanfare_protocol::ClientId,
}

impl<'a> Held<'a> {
    fn new(node: &'a Node, caller: &Caller) -> Self {
        let connection = node.hub.number();
        node.hub.hold_client(connection, caller.client, caller.identity.user.as_ref());
        Self { node, connection, client: caller.client }
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.node.hub.release_client(self.connection, self.client);
    }
}

async fn answer(
    node: &Node,
    request: &SubscribeRequest,
    caller: &Caller,
    known: Option<&[String]>,
) -> Result<Poll, Problem> {
    let wait = request.wait.unwrap_or(0.0).clamp(0.0, 60.0);
    let mut poll = Box::pin(begin(node, request)).await?;
    Box::pin(poll.read(node, request, caller)).await?;
    if wait <= 0.0 || poll.is_news(request, known) {
        return Ok(poll);
    }
    let deadline = Instant::now() + Duration::from_secs_f64(wait);
    let parked = Parked::new(node, caller)?;
    let watches = Box::pin(watch_all(node, &poll)).await?;
    loop {
        let mut notified: Vec<_> = watches.iter().map(|watch| Box::pin(watch.delivered())).collect();
        for one in &mut notified {
            one.as_mut().enable();
        }
        Box::pin(poll.read(node, request, caller)).await?;
        if poll.is_news(request, known) || !parked.wait(deadline, select_all(notified).map(drop)).await? {
            return Ok(poll);
        }
    }
}

async fn watch_all(node: &Node, poll: &Poll) -> Result<Vec<Watch>, Problem> {
    let mut watches = Vec::with_capacity(poll.followers.len());
    for follower in &poll.followers {
        watches.push(node.hub.watch(&follower.channel).await?);
    }
    Ok(watches)
}

async fn begin(node: &Node, request: &SubscribeRequest) -> Result<Poll, Problem> {
    let mut poll = Poll {
        followers: Vec::new(),
        messages: Vec::new(),
        gaps: Vec::new(),
        bytes: 0,
        more: false,
        newest_ms: 0,
    };
    for (channel, options) in request.subscriptions() {
        let following = node.hub.follow(channel, &options.start).await?;
        if let Some(reason) = following.gap {
            poll.gaps.push(Gap { channel: channel.clone(), after: following.follower.at, reason });
        }
        poll.newest_ms = poll.newest_ms.max(following.bounds.newest_ms);
        poll.followers.push(following.follower);
    }
    Ok(poll)
}

impl Poll {
    /// Whether there is something that the client has not been told: `known` are the cursors that it has an answer for.
    fn is_news(&self, request: &SubscribeRequest, known: Option<&[String]>) -> bool {
        if !self.gaps.is_empty() {
            return true;
        }
        match known {
            Some(known) => !known.contains(&self.cursor().to_string()),
            None => request.cursor.is_none() || !self.messages.is_empty(),
        }
    }

    /// Reads what there is for every channel in turn, up to the limits of one answer.
    async fn read(
        &mut self,
        node: &Node,
        request: &SubscribeRequest,
        caller: &Caller,
    ) -> Result<(), Problem> {
        self.more = false;
        for follower in &mut self.followers {
            loop {
                let (limit, bytes) = (MESSAGES - self.messages.len(), PAGE_BYTES.saturating_sub(self.bytes));
                if limit == 0 || bytes == 0 {
                    self.more = true;
                    break;
                }
                let mut ahead = follower.clone();
                let followed = node.hub.read_on(&mut ahead, limit, bytes).await?;
                self.newest_ms = self.newest_ms.max(followed.newest_ms);
                let size: usize = followed.messages.iter().map(|m| m.data.len() + 200).sum();
                if !self.messages.is_empty() && self.bytes + size > PAGE_BYTES && size > bytes {
                    self.more = true;
                    break;
                }
                *follower = ahead;
                if let Some(reason) = followed.gap {
                    let reason = if reason == GapReason::Slow { GapReason::Expired } else { reason };
                    self.gaps.push(Gap { channel: follower.channel.clone(), after: follower.at, reason });
                }
                self.bytes += size;
                let own = |m: &Arc<Message>| !request.options.echo && m.origin == Some(caller.client);
                self.messages.extend(followed.messages.into_iter().filter(|m| !own(m)));
                if !followed.more {
                    break;
                }
            }
        }
        if request.options.rate.is_some() {
            self.conflate();
        }
        Ok(())
    }

    /// `rate` within one answer: the newest of every key of every channel.
    fn conflate(&mut self) {
        let mut newest = std::collections::HashMap::new();
        for message in &self.messages {
            newest.insert((message.channel.clone(), message.key.clone()), message.offset);
        }
        self.messages.retain(|m| newest.get(&(m.channel.clone(), m.key.clone())) == Some(&m.offset));
    }

    fn cursor(&self) -> Cursor {
        Cursor(self.followers.iter().map(|follower| Some(follower.at)).collect())
    }

    /// When asking again is worth it: soon after lively times, rarely after long silence.
    fn poll_after_ms(&self) -> u64 {
        if self.more {
            return 0;
        }
        match self.newest_ms {
            0 => 5_000,
            newest => (unix_ms().saturating_sub(newest) / 4).clamp(500, 15_000),
        }
    }
}

fn respond(
    node: &Node,
    request: &SubscribeRequest,
    caller: &Caller,
    poll: &Poll,
    known: Option<&[String]>,
) -> Response {
    let cursor = poll.cursor();
    let text = cursor.to_string();
    let empty = poll.messages.is_empty() && poll.gaps.is_empty();
    let unchanged = poll.gaps.is_empty() && known.is_some_and(|known| known.contains(&text));
    let mut response = if unchanged {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        let body = json::poll(&json::Poll {
            messages: &poll.messages,
            cursor: &cursor,
            gaps: &poll.gaps,
            poll_after_ms: poll.poll_after_ms(),
        });
        ([(header::CONTENT_TYPE, "application/json")], body).into_response()
    };
    // The same for everybody: no application decides, and nothing depends on who asks.
    let public = node.authorizer.is_none()
        && request.options.echo
        && request.channels.iter().all(|c| node.rules.anonymous(c).has(Right::Subscribe));
    let cache = match (public, empty) {
        (true, false) => "public, max-age=1",
        (true, true) => "no-store",
        (false, _) => "private, no-store",
    };
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(cache));
    if let Ok(etag) = HeaderValue::from_str(&format!("W/\"{text}\"")) {
        headers.insert(header::ETAG, etag);
    }
    // An answer that caches share must not hand one client's secret to the others; a poll without a session needs none.
    if caller.session_is_new
        && cache != "public, max-age=1"
        && let Ok(session) = HeaderValue::from_str(caller.session.reveal())
    {
        headers.insert(SESSION_HEADER, session);
    }
    response
}

/// The cursors that the client has answers for: entity tags compared weakly (RFC 9110 section 13.1.2).
fn if_none_match(parts: &Parts) -> Option<Vec<String>> {
    let value = parts.headers.get(header::IF_NONE_MATCH)?.to_str().ok()?;
    let tags = value.split(',').map(str::trim);
    Some(tags.map(|tag| tag.strip_prefix("W/").unwrap_or(tag).trim_matches('"').to_owned()).collect())
}
