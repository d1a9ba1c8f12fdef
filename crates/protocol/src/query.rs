//! Parameters of HTTP requests: how channels are read, which page is wanted.
use crate::{
    ChannelName, ClientId, Code, Cursor, Position, Problem, SubscribeOptions,
    command::Page,
    options::{CHANNELS, LIMIT, LIMIT_MOST, WAIT_MOST, check_rate},
};

/// Name and value pairs of a query, decoded. `channel` adds up; of any other parameter that comes twice, the last counts (servers refuse a
/// request that contradicts itself before they read it).
pub type Pairs = [(String, String)];

/// What a WebSocket, SSE, stream or poll request asks to read.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct SubscribeRequest {
    /// In the order given; at most 16, none twice.
    pub channels: Vec<ChannelName>,
    /// Where each of them begins, when `since` was given: as many elements as channels.
    pub cursor: Option<Cursor>,
    /// The same for every channel; `start.since` is none here and in [`SubscribeRequest::options_of`] the cursor's.
    pub options: SubscribeOptions,
    /// SSE: whole message objects.
    pub envelope: bool,
    /// Poll: seconds to wait for a message, 0 to 60; none when absent, which is a short poll too.
    pub wait: Option<f64>,
}

impl SubscribeRequest {
    /// The options of the channel at this place, with its own element of the cursor.
    pub fn options_of(&self, at: usize) -> SubscribeOptions {
        let mut options = self.options.clone();
        options.start.since = self.cursor.as_ref().and_then(|cursor| cursor.0.get(at).copied().flatten());
        options
    }

    /// Every channel with its options, in the order given.
    pub fn subscriptions(&self) -> impl Iterator<Item = (&ChannelName, SubscribeOptions)> {
        self.channels.iter().enumerate().map(|(at, channel)| (channel, self.options_of(at)))
    }

    /// Goes on from a `Last-Event-ID`, which beats `since`. One that cannot be used stands nowhere: each channel begins
    /// with a gap, for an EventSource would not survive an error.
    pub fn resume(&mut self, last_event_id: &str) {
        let channels = self.channels.len();
        let nowhere = || Cursor(vec![Some(Position::NOWHERE); channels]);
        self.cursor = Some(Cursor::parse(last_event_id, channels).unwrap_or_else(|_| nowhere()));
    }
}

/// Reads the parameters of SSE, stream and poll: at least one channel.
///
/// # Errors
/// `bad_request` naming the parameter; `limit_exceeded` beyond 16 channels.
pub fn from_query(pairs: &Pairs) -> Result<SubscribeRequest, Problem> {
    let request = from_query_or_none(pairs)?;
    if request.channels.is_empty() {
        return Err(Problem::new(Code::BadRequest, "channel is missing").remedy("add ?channel=NAME"));
    }
    Ok(request)
}

/// Reads the parameters of a WebSocket, which need not name a channel.
///
/// # Errors
/// `bad_request` naming the parameter; `limit_exceeded` beyond 16 channels.
pub fn from_query_or_none(pairs: &Pairs) -> Result<SubscribeRequest, Problem> {
    let mut request = SubscribeRequest { channels: channels(pairs)?, ..SubscribeRequest::default() };
    for (name, value) in pairs {
        match name.as_str() {
            "since" => request.cursor = Some(Cursor::parse(value, request.channels.len().max(1))?),
            "last" => request.options.start.last = Some(count(name, value, 1)?),
            "snapshot" => request.options.start.snapshot = flag(name, value)?,
            "presence" => request.options.presence = flag(name, value)?,
            "rate" => request.options.rate = Some(rate(value)?),
            "echo" => request.options.echo = flag(name, value)?,
            "envelope" => request.envelope = flag(name, value)?,
            "wait" => request.wait = Some(wait(value)?),
            _ => {}
        }
    }
    Ok(request)
}

/// Reads the parameters of a history page.
///
/// # Errors
/// `bad_request` naming the parameter. A `before` that cannot be used is ignored.
pub fn page_from_query(pairs: &Pairs) -> Result<Page, Problem> {
    let mut page = Page::default();
    for (name, value) in pairs {
        match name.as_str() {
            "since" => page.since = Cursor::parse(value, 1)?.0.pop().flatten(),
            "before" => page.before = value.parse().ok(),
            "limit" => page.limit = count(name, value, 1)? as usize,
            "reverse" => page.reverse = flag(name, value)?,
            _ => {}
        }
    }
    Ok(page)
}

/// Reads the parameters of a page of members: how many (0: counts only), and after whom.
///
/// # Errors
/// `bad_request` naming the parameter.
pub fn members_from_query(pairs: &Pairs) -> Result<(usize, Option<ClientId>), Problem> {
    let (mut limit, mut after) = (LIMIT, None);
    for (name, value) in pairs {
        match name.as_str() {
            "limit" => limit = count(name, value, 0)? as usize,
            "after" => after = Some(ClientId::parse(value)?),
            _ => {}
        }
    }
    Ok((limit, after))
}

/// Reads `limit` of any other page: 1 to 1,000, 100 if absent.
///
/// # Errors
/// `bad_request` when it is not a whole number of at least 1.
pub fn limit_from_query(pairs: &Pairs) -> Result<usize, Problem> {
    let given = pairs.iter().rfind(|(name, _)| name == "limit");
    given.map_or(Ok(LIMIT), |(name, value)| Ok(count(name, value, 1)? as usize))
}

fn channels(pairs: &Pairs) -> Result<Vec<ChannelName>, Problem> {
    let mut channels: Vec<ChannelName> = Vec::new();
    for (_, name) in pairs.iter().filter(|(name, _)| name == "channel") {
        let channel = ChannelName::parse(name)?;
        if channels.contains(&channel) {
            return Err(Problem::new(Code::BadRequest, format!("the channel {channel:?} comes twice"))
                .remedy("name each channel once"));
        }
        if channels.len() == CHANNELS {
            return Err(Problem::new(
                Code::LimitExceeded,
                format!("more than {CHANNELS} channels in a request"),
            )
            .remedy(format!("use several requests of at most {CHANNELS} channels, or a WebSocket")));
        }
        channels.push(channel);
    }
    Ok(channels)
}

fn bad(name: &str, expected: &str) -> Problem {
    Problem::new(Code::BadRequest, format!("{name} is not {expected}"))
        .remedy(format!("send {name} as {expected}"))
}

fn flag(name: &str, value: &str) -> Result<bool, Problem> {
    match value {
        "1" | "true" => Ok(true),
        "0" | "false" => Ok(false),
        _ => Err(bad(name, "1, 0, true or false")),
    }
}

/// A whole number of at least `least`; whatever is beyond 1,000, also beyond 64 bits, is 1,000.
fn count(name: &str, value: &str, least: u64) -> Result<u64, Problem> {
    let digits = !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit());
    let count = value.parse().unwrap_or(u64::MAX).min(LIMIT_MOST as u64);
    if digits && count >= least {
        Ok(count)
    } else {
        Err(bad(name, &format!("a whole number of at least {least}")))
    }
}

fn rate(value: &str) -> Result<f64, Problem> {
    // What does not parse is as wrong as what is out of range.
    check_rate(value.parse().unwrap_or(f64::NAN))
}

fn wait(value: &str) -> Result<f64, Problem> {
    match value.parse::<f64>() {
        Ok(seconds) if seconds >= 0.0 => Ok(seconds.min(WAIT_MOST)),
        _ => Err(bad("wait", "seconds from 0 to 60")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(query: &str) -> Vec<(String, String)> {
        let pair = |pair: &str| pair.split_once('=').map(|(n, v)| (n.to_owned(), v.to_owned())).unwrap();
        query.split('&').filter(|part| !part.is_empty()).map(pair).collect()
    }

    fn refused(query: &str) -> Code {
        from_query(&pairs(query)).expect_err(query).code
    }

    #[test]
    fn every_parameter_is_read() {
        let query = "channel=a&channel=b:1&since=k3f9-42~&last=5&snapshot=1&presence=true&rate=2.5&echo=0&envelope=1\
                     &wait=2.5&token=x";
        let request = from_query(&pairs(query)).unwrap();
        let (first, second) = (&request.options_of(0), &request.options_of(1));
        let names: Vec<_> = request.subscriptions().map(|(channel, _)| channel.to_string()).collect();
        assert_eq!(names, ["a", "b:1"]);
        assert_eq!(first.start.since.unwrap().to_string(), "k3f9-42");
        assert_eq!(second.start.since, None);
        for options in [first, second] {
            assert_eq!((options.start.last, options.start.snapshot), (Some(5), true));
            assert_eq!((options.presence, options.rate, options.echo), (true, Some(2.5), false));
        }
        assert_eq!((request.envelope, request.wait), (true, Some(2.5)));
    }

    #[test]
    fn what_is_absent_has_its_default() {
        let request = from_query(&pairs("channel=a")).unwrap();
        assert_eq!(request.options, SubscribeOptions::default());
        assert_eq!((request.cursor, request.envelope, request.wait), (None, false, None));
        assert!(from_query_or_none(&[]).unwrap().channels.is_empty());
        assert_eq!(from_query(&[]).unwrap_err().code, Code::BadRequest);
    }

    #[test]
    fn bad_values_are_refused() {
        for query in [
            "channel=",
            "channel=a*",
            "channel=$x",
            "channel=a&channel=a",
            "since=k-1~k-2&channel=a",
            "since=K-1&channel=a",
            "since=k-&channel=a",
            "since=k--1&channel=a",
            "since=k-99999999999999999999&channel=a",
            "channel=a&channel=b&since=k-1",
            "channel=a&last=0",
            "channel=a&last=-1",
            "channel=a&last=x",
            "channel=a&last=",
            "channel=a&last=1.5",
            "channel=a&snapshot=yes",
            "channel=a&rate=0",
            "channel=a&rate=1001",
            "channel=a&rate=NaN",
            "channel=a&rate=inf",
            "channel=a&rate=x",
            "channel=a&echo=2",
            "channel=a&wait=-1",
            "channel=a&wait=x",
            "channel=a&wait=NaN",
        ] {
            assert_eq!(refused(query), Code::BadRequest, "{query}");
        }
        let many = |count: usize| (0..count).map(|n| format!("channel=c{n}")).collect::<Vec<_>>().join("&");
        assert_eq!(from_query(&pairs(&many(16))).unwrap().channels.len(), 16);
        assert_eq!(refused(&many(17)), Code::LimitExceeded);
    }

    #[test]
    fn huge_values_are_clamped() {
        let request = from_query(&pairs("channel=a&last=99999999999999999999&wait=1e9")).unwrap();
        assert_eq!((request.options.start.last, request.wait), (Some(1000), Some(60.0)));
        assert_eq!(page_from_query(&pairs("limit=5000")).unwrap().limit, 1000);
        assert_eq!(members_from_query(&pairs("limit=0")).unwrap(), (0, None));
        assert_eq!(limit_from_query(&pairs("limit=7")).unwrap(), 7);
        assert_eq!(limit_from_query(&[]).unwrap(), 100);
    }

    #[test]
    fn pages_refuse_a_garbage_since_and_ignore_a_garbage_before() {
        let page = page_from_query(&pairs("since=k-1&before=garbage&reverse=1")).unwrap();
        assert_eq!(
            (page.since.map(|p| p.offset), page.before, page.limit, page.reverse),
            (Some(1), None, 100, true)
        );
        for query in ["since=garbage", "limit=0", "limit=-1", "reverse=x"] {
            assert_eq!(page_from_query(&pairs(query)).unwrap_err().code, Code::BadRequest, "{query}");
        }
        assert!(members_from_query(&pairs("after=x")).is_err());
    }

    #[test]
    fn a_last_event_id_beats_since_and_never_fails() {
        let mut request = from_query(&pairs("channel=a&channel=b&since=k-1~k-2")).unwrap();
        request.resume("k-7~");
        assert_eq!(request.options_of(0).start.since.map(|p| p.offset), Some(7));
        assert_eq!(request.options_of(1).start.since, None);
        for unusable in ["", "k-7", "k-7~x", "garbage", "k-1~k-2~k-3"] {
            request.resume(unusable);
            assert_eq!(request.options_of(0).start.since, Some(Position::NOWHERE), "{unusable:?}");
            assert_eq!(request.options_of(1).start.since, Some(Position::NOWHERE), "{unusable:?}");
        }
    }
}
