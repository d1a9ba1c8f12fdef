//! How a request is refused that Engine.IO cannot serve.

/// A fault, with the number that clients of every language know.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// No transport of that name.
    UnknownTransport,
    /// No session of that id (any more).
    UnknownSession,
    /// A handshake is a GET.
    BadHandshakeMethod,
    /// The request makes no sense here.
    BadRequest,
    /// The application refuses.
    Forbidden,
    /// Only version 4 is spoken.
    UnsupportedVersion,
}

impl Fault {
    /// Its number.
    pub fn code(self) -> u8 {
        match self {
            Self::UnknownTransport => 0,
            Self::UnknownSession => 1,
            Self::BadHandshakeMethod => 2,
            Self::BadRequest => 3,
            Self::Forbidden => 4,
            Self::UnsupportedVersion => 5,
        }
    }

    /// Its words.
    pub fn message(self) -> &'static str {
        match self {
            Self::UnknownTransport => "Transport unknown",
            Self::UnknownSession => "Session ID unknown",
            Self::BadHandshakeMethod => "Bad handshake method",
            Self::BadRequest => "Bad request",
            Self::Forbidden => "Forbidden",
            Self::UnsupportedVersion => "Unsupported protocol version",
        }
    }

    /// The HTTP status.
    pub fn status(self) -> u16 {
        if self == Self::Forbidden { 403 } else { 400 }
    }

    /// The body of the answer.
    pub fn json(self) -> String {
        format!("{{\"code\":{},\"message\":\"{}\"}}", self.code(), self.message())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_the_one_that_clients_know() {
        let all = [
            (Fault::UnknownTransport, 400, r#"{"code":0,"message":"Transport unknown"}"#),
            (Fault::UnknownSession, 400, r#"{"code":1,"message":"Session ID unknown"}"#),
            (Fault::BadHandshakeMethod, 400, r#"{"code":2,"message":"Bad handshake method"}"#),
            (Fault::BadRequest, 400, r#"{"code":3,"message":"Bad request"}"#),
            (Fault::Forbidden, 403, r#"{"code":4,"message":"Forbidden"}"#),
            (Fault::UnsupportedVersion, 400, r#"{"code":5,"message":"Unsupported protocol version"}"#),
        ];
        for (fault, status, json) in all {
            assert_eq!((fault.status(), fault.json().as_str()), (status, json));
        }
    }
}
