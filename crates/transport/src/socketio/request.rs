//! The request that a session began with. It says who a client is whenever a namespace is joined, however late, so it is kept; where nobody but
//! the hub looks at it, only what the hub looks at, in one piece.
use std::sync::Arc;

use http::{HeaderName, HeaderValue, Request, header, request::Parts};

use crate::{
    access::{SESSION_HEADER, Secure},
    node::Node,
};

/// What says who a client is.
static TELLING: [HeaderName; 7] = [
    header::AUTHORIZATION,
    header::COOKIE,
    header::HOST,
    header::ORIGIN,
    header::SEC_WEBSOCKET_PROTOCOL,
    HeaderName::from_static("sec-fetch-site"),
    SESSION_HEADER,
];

/// A request that is kept.
pub(crate) enum Kept {
    /// For those who decide and may look at all of it.
    Whole(Arc<Parts>),
    /// For the hub alone.
    Packed(Box<Packed>),
}

pub(crate) struct Packed {
    uri: Box<str>,
    /// Each as its place among [`TELLING`], its length in four bytes, its value.
    headers: Box<[u8]>,
    secure: bool,
}

impl Kept {
    /// Keeps what is looked at on this node.
    pub fn new(node: &Node, parts: &Parts) -> Self {
        match node.keeps_requests() {
            true => Self::Whole(Arc::new(parts.clone())),
            false => Self::Packed(Box::new(Packed::new(parts))),
        }
    }

    /// The request.
    pub fn parts(&self) -> Arc<Parts> {
        match self {
            Self::Whole(parts) => parts.clone(),
            Self::Packed(packed) => Arc::new(packed.unpack()),
        }
    }
}

impl Packed {
    fn new(parts: &Parts) -> Self {
        let mut headers = Vec::new();
        for (n, name) in TELLING.iter().enumerate() {
            for value in parts.headers.get_all(name) {
                headers.push(n as u8);
                headers.extend_from_slice(&(value.len() as u32).to_le_bytes());
                headers.extend_from_slice(value.as_bytes());
            }
        }
        Self {
            uri: parts.uri.to_string().into(),
            headers: headers.into(),
            secure: parts.extensions.get::<Secure>().is_some(),
        }
    }

    fn unpack(&self) -> Parts {
        let (mut parts, ()) = Request::new(()).into_parts();
        // It was one when it was packed.
        parts.uri = self.uri.parse().unwrap_or_default();
        let mut rest = &*self.headers;
        while let Some((&[n, a, b, c, d], more)) = rest.split_first_chunk::<5>() {
            let length = u32::from_le_bytes([a, b, c, d]) as usize;
            let Some((value, more)) = more.split_at_checked(length) else { break };
            if let (Some(name), Ok(value)) = (TELLING.get(usize::from(n)), HeaderValue::from_bytes(value)) {
                parts.headers.append(name, value);
            }
            rest = more;
        }
        if self.secure {
            parts.extensions.insert(Secure);
        }
        parts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_unpacked_says_the_same() {
        let long = "x".repeat(300);
        let request = Request::get("/socket.io/?EIO=4&token=a%20b")
            .header("host", "hub.example")
            .header("cookie", "a=b")
            .header("cookie", &long)
            .header("user-agent", "nobody looks at it")
            .header("origin", "https://hub.example");
        let (mut parts, ()) = request.body(()).unwrap().into_parts();
        parts.extensions.insert(Secure);
        let packed = Packed::new(&parts).unpack();
        assert_eq!(packed.uri, parts.uri);
        parts.headers.remove("user-agent");
        let all = |parts: &Parts| -> Vec<(String, Vec<u8>)> {
            let mut all: Vec<_> =
                parts.headers.iter().map(|(n, v)| (n.to_string(), v.as_bytes().to_vec())).collect();
            all.sort();
            all
        };
        assert_eq!(all(&packed), all(&parts));
        assert!(packed.extensions.get::<Secure>().is_some());
    }
}
