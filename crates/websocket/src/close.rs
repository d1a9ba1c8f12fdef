//! Close status codes (RFC 6455 section 7.4 and its IANA registry).

/// The purpose of the connection is fulfilled.
pub const NORMAL: u16 = 1000;
/// The endpoint goes away.
pub const GOING_AWAY: u16 = 1001;
/// A frame broke the protocol.
pub const PROTOCOL_ERROR: u16 = 1002;
/// A kind of message that this endpoint does not take.
pub const UNSUPPORTED_DATA: u16 = 1003;
/// Stands for "no code was given"; never on the wire.
pub const NO_STATUS: u16 = 1005;
/// Data that does not fit its type, such as text that is not UTF-8.
pub const INVALID_DATA: u16 = 1007;
/// A message that breaks this endpoint's policy.
pub const POLICY: u16 = 1008;
/// A message that is too big.
pub const TOO_LARGE: u16 = 1009;
/// The server failed.
pub const INTERNAL: u16 = 1011;
/// The service restarts.
pub const RESTART: u16 = 1012;
/// Try again later.
pub const TRY_AGAIN: u16 = 1013;

/// Whether a Close frame may carry `code`.
///
/// That is the registered codes but 1004 (undefined), 1005, 1006 and 1015 (they stand for what did *not* arrive),
/// and the ranges for libraries (3000-3999) and applications (4000-4999).
#[must_use]
pub fn is_sendable(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}

#[cfg(test)]
mod tests {
    use super::is_sendable;

    #[test]
    fn section_7_4_ranges() {
        for code in
            [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999]
        {
            assert!(is_sendable(code), "{code}");
        }
        for code in [0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535] {
            assert!(!is_sendable(code), "{code}");
        }
    }
}
