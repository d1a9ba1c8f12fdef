//! Where the head of an HTTP/1.1 request ends, found without parsing it.

/// Looks for the end of a head in bytes that grow: each byte is looked at once, however many reads it takes.
#[derive(Debug, Default)]
pub struct HeadEnd {
    looked_at: usize,
}

impl HeadEnd {
    /// The head's length, its empty line included, once it is there. `bytes` are all that was read: those of the last call, and more.
    /// Bare line feeds count as line ends (RFC 9112 section 2.2).
    pub fn find(&mut self, bytes: &[u8]) -> Option<usize> {
        let new = bytes.get(self.looked_at..).unwrap_or_default();
        let ends = new.iter().enumerate().filter(|(_, byte)| **byte == b'\n');
        let found = ends.map(|(at, _)| self.looked_at + at).find_map(|at| match bytes.get(at + 1..) {
            Some([b'\n', ..]) => Some(at + 2),
            Some([b'\r', b'\n', ..]) => Some(at + 3),
            _ => None,
        });
        // The end may have begun: with a line feed, and a carriage return after it.
        self.looked_at = bytes.len().saturating_sub(2);
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at_once(bytes: &[u8]) -> Option<usize> {
        HeadEnd::default().find(bytes)
    }

    #[test]
    fn a_head_ends_with_its_empty_line() {
        assert_eq!(at_once(b"GET / HTTP/1.1\r\nHost: a\r\n\r\nrest"), Some(27));
        assert_eq!(at_once(b"GET / HTTP/1.1\nHost: a\n\nrest"), Some(24));
        assert_eq!(at_once(b"GET / HTTP/1.1\nHost: a\n\r\nrest"), Some(25));
        assert_eq!(at_once(b"GET / HTTP/1.1\r\nHost: a\r\n"), None);
        assert_eq!(at_once(b""), None);
    }

    #[test]
    fn it_is_found_at_the_same_place_however_the_bytes_are_split() {
        for head in ["GET / HTTP/1.1\r\na: b\r\n\r\nrest", "GET / HTTP/1.1\na: b\n\nrest\n\n", "a\n\r\n"] {
            let head = head.as_bytes();
            let whole = at_once(head).unwrap();
            for step in 1..head.len() {
                let mut end = HeadEnd::default();
                let found = (1..=head.len().div_ceil(step))
                    .find_map(|n| end.find(head.get(..(n * step).min(head.len())).unwrap()));
                assert_eq!(found, Some(whole), "{step}");
            }
        }
    }
}
