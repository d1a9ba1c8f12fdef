//! Reading without a subscription: pages of the past, and of a keyed channel's state.
use std::sync::Arc;

use axum::{Extension, extract::State};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use fanfare_protocol::{
    Code, Epoch, Position, Problem, Reply, Right, json,
    options::{limit_from_query, page_from_query},
};
use fanfare_transport::{Caller, query};
use http::request::Parts;

use super::{
    Shared,
    answer::{self, Answer},
    target::Target,
    who,
};

/// `GET` of messages: a page of the past.
pub async fn history(
    State(app): State<Shared>,
    Extension(caller): Extension<Arc<Caller>>,
    Target(channel): Target,
    parts: Parts,
) -> Answer {
    let page = page_from_query(&query::pairs(parts.uri.query())?)?;
    who::may(&app, &caller, Right::History, &channel)?;
    who::may_read(&app, &caller, &parts, &channel, false).await?;
    let page = app.node.hub.history(&channel, &page).await?;
    Ok(answer::json(json::reply(&Reply::History(page))))
}

/// `GET` of a snapshot: a page of the newest per key. The pages show the state at the position that they all name; what came later
/// is read from there on.
pub async fn snapshot(
    State(app): State<Shared>,
    Extension(caller): Extension<Arc<Caller>>,
    Target(channel): Target,
    parts: Parts,
) -> Answer {
    let pairs = query::pairs(parts.uri.query())?;
    let limit = limit_from_query(&pairs)?;
    let after = pairs.iter().rfind(|(name, _)| name == "after");
    let begun = after.map(|(_, token)| Bookmark::read(token)).transpose()?;
    who::may(&app, &caller, Right::Subscribe, &channel)?;
    if !app.node.rules.keyed(&channel) {
        return Err(Problem::new(Code::BadRequest, format!("{channel} is not keyed and has no snapshot"))
            .remedy("read its messages, or set keyed = true for the namespace")
            .into());
    }
    who::may_read(&app, &caller, &parts, &channel, false).await?;
    let (offset, until) = begun.map_or((0, None), |mark| (mark.offset, Some(mark.until)));
    let (slice, until) = app.node.hub.snapshot(&channel, offset, until, limit).await?;
    let epoch = slice.bounds.epoch;
    if begun.is_some_and(|mark| mark.epoch != epoch || mark.until > until) {
        return Err(Problem::new(Code::BadRequest, "the channel has lost its past since the first page")
            .remedy("begin again without after")
            .into());
    }
    let next = (slice.next < until).then(|| Bookmark { epoch, offset: slice.next, until }.write());
    let at = Position { epoch, offset: until };
    Ok(answer::json(json::snapshot(&slice.messages, at, next.as_deref())))
}

/// Where the next page of a snapshot begins, and at which head the first one was read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Bookmark {
    epoch: Epoch,
    offset: u64,
    until: u64,
}

impl Bookmark {
    fn write(self) -> String {
        URL_SAFE_NO_PAD.encode(format!("{}-{}-{}", self.epoch, self.offset, self.until))
    }

    fn read(token: &str) -> Result<Self, Problem> {
        Self::decode(token).ok_or_else(|| {
            Problem::new(Code::BadRequest, "after is not what a page of this snapshot gave as next")
                .remedy("send next as it was received, or begin again without after")
        })
    }

    fn decode(token: &str) -> Option<Self> {
        let text = String::from_utf8(URL_SAFE_NO_PAD.decode(token).ok()?).ok()?;
        let (position, until) = text.rsplit_once('-')?;
        let Position { epoch, offset } = position.parse().ok()?;
        let until = until.parse().ok()?;
        (offset <= until).then_some(Self { epoch, offset, until })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bookmark_is_read_as_written_and_nothing_else_is() {
        let mark = Bookmark { epoch: Epoch::from_random(7), offset: 3, until: 9 };
        assert_eq!(Bookmark::read(&mark.write()).unwrap(), mark);
        let backwards = Bookmark { offset: 10, ..mark }.write();
        for token in ["", "x", "a2k", "k3f9-1", &backwards, &URL_SAFE_NO_PAD.encode("k-1-x")] {
            assert_eq!(Bookmark::read(token).unwrap_err().code, Code::BadRequest, "{token:?}");
        }
    }
}
