//! What a request's query asks of Engine.IO, and the packet that opens a session.
use percent_encoding::percent_decode_str;

use super::Fault;

/// How packets travel.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Transport {
    /// HTTP requests: GET drains, POST pushes.
    Polling,
    /// One packet a frame.
    WebSocket,
}

impl Transport {
    /// Its name in queries.
    pub fn name(self) -> &'static str {
        match self {
            Self::Polling => "polling",
            Self::WebSocket => "websocket",
        }
    }
}

/// The query of an Engine.IO request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Query {
    /// How.
    pub transport: Transport,
    /// Of which session; none opens one.
    pub sid: Option<String>,
}

impl Query {
    /// Reads a query. Without a session it must be a handshake that this server speaks.
    ///
    /// # Errors
    /// The fault to answer with. The transport is looked at first, then the session, then the version.
    pub fn parse(query: Option<&str>) -> Result<Self, Fault> {
        let find = |name: &str| {
            let pairs = query.unwrap_or_default().split('&');
            let raw = pairs.filter_map(|pair| pair.split_once('=')).find(|(found, _)| *found == name)?.1;
            Some(percent_decode_str(raw).decode_utf8_lossy().into_owned())
        };
        let transport = match find("transport").as_deref() {
            Some("polling") => Transport::Polling,
            Some("websocket") => Transport::WebSocket,
            _ => return Err(Fault::UnknownTransport),
        };
        let sid = find("sid").filter(|sid| !sid.is_empty());
        if find("EIO").as_deref() != Some("4") {
            return Err(Fault::UnsupportedVersion);
        }
        Ok(Self { transport, sid })
    }
}

/// The packet that opens a session: exactly these five keys. Times in milliseconds, `max_payload` in bytes.
pub fn open_packet(
    sid: &str,
    upgradable: bool,
    ping_interval: u64,
    ping_timeout: u64,
    max_payload: usize,
) -> String {
    let upgrades = if upgradable { "\"websocket\"" } else { "" };
    format!(
        "0{{\"sid\":\"{sid}\",\"upgrades\":[{upgrades}],\"pingInterval\":{ping_interval},\
         \"pingTimeout\":{ping_timeout},\"maxPayload\":{max_payload}}}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_read_and_faults_told_apart() {
        let read = |query| Query::parse(Some(query));
        let polling =
            |sid: Option<&str>| Ok(Query { transport: Transport::Polling, sid: sid.map(str::to_owned) });
        assert_eq!(read("EIO=4&transport=polling"), polling(None));
        assert_eq!(read("EIO=4&transport=polling&t=abc&sid=a%2Db"), polling(Some("a-b")));
        assert_eq!(read("transport=websocket&EIO=4").unwrap().transport, Transport::WebSocket);
        for (query, fault) in [
            ("EIO=4", Fault::UnknownTransport),
            ("EIO=4&transport=abc", Fault::UnknownTransport),
            ("transport=polling", Fault::UnsupportedVersion),
            ("EIO=3&transport=polling", Fault::UnsupportedVersion),
            ("EIO=abc&transport=websocket", Fault::UnsupportedVersion),
        ] {
            assert_eq!(read(query), Err(fault), "{query}");
        }
        assert_eq!(Query::parse(None), Err(Fault::UnknownTransport));
    }

    #[test]
    fn a_session_opens_with_exactly_five_keys() {
        assert_eq!(
            open_packet("x1", true, 25000, 20000, 1_000_000),
            r#"0{"sid":"x1","upgrades":["websocket"],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}"#
        );
        assert!(open_packet("x", false, 1, 2, 3).contains(r#""upgrades":[],"#));
    }
}
