//! The client's side of HTTP/1.1 (RFC 9112), as far as a load generator needs it.

use memchr::memmem;

use super::{Framing, Malformed, Unit};

/// The longest head that is waited for.
const LONGEST_HEAD: usize = 64 << 10;
/// The longest chunk or body.
const LONGEST_BODY: usize = 64 << 20;

/// What an answer's head says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Head {
    /// The status.
    pub status: u16,
    /// Bytes of the head itself.
    pub length: usize,
    /// `Content-Length`.
    pub body: Option<usize>,
    /// `Transfer-Encoding: chunked`.
    pub chunked: bool,
    /// The server ends the connection after it.
    pub close: bool,
}

/// The head that `data` begins with; none when it has not all come.
///
/// # Errors
/// It is no head of an answer.
pub fn head(data: &[u8]) -> Result<Option<Head>, Malformed> {
    let Some(end) = memmem::find(data, b"\r\n\r\n") else {
        return if data.len() > LONGEST_HEAD { Err(Malformed("an endless HTTP head")) } else { Ok(None) };
    };
    let text = data.get(..end).and_then(|head| std::str::from_utf8(head).ok());
    let mut lines = text.ok_or(Malformed("an HTTP head that is no text"))?.split("\r\n");
    let status = lines.next().and_then(|line| line.strip_prefix("HTTP/1.")?.split(' ').nth(1)?.parse().ok());
    let status = status.ok_or(Malformed("no HTTP answer"))?;
    let mut head = Head { status, length: end + 4, body: None, chunked: false, close: false };
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        let value = value.trim();
        if name.eq_ignore_ascii_case("content-length") {
            let length = value.parse().ok().filter(|&length| length <= LONGEST_BODY);
            head.body = Some(length.ok_or(Malformed("a bad Content-Length"))?);
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            head.chunked = value.eq_ignore_ascii_case("chunked");
        } else if name.eq_ignore_ascii_case("connection") {
            head.close = value.eq_ignore_ascii_case("close");
        }
    }
    Ok(Some(head))
}

impl Head {
    /// How an endless answer goes on behind this head.
    pub fn framing(&self) -> Framing {
        if self.chunked { Framing::Chunked } else { Framing::Endless }
    }
}

/// A line of hexadecimal digits, its length with the line's end; none when it has not all come.
#[inline]
fn chunk_size(data: &[u8]) -> Result<Option<(usize, usize)>, Malformed> {
    let mut size = 0_usize;
    for (at, &byte) in data.iter().enumerate() {
        match (byte as char).to_digit(16) {
            Some(digit) => size = size << 4 | digit as usize,
            None if at == 0 => return Err(Malformed("a chunk without a size")),
            // An extension may stand before the line's end.
            None => {
                let end = memchr::memchr(b'\n', data.get(at..).unwrap_or_default());
                return Ok(end.map(|end| (size, at + end + 1)));
            }
        }
        if size > LONGEST_BODY {
            return Err(Malformed("a chunk is longer than 64 MB"));
        }
    }
    Ok(None)
}

/// One chunk (RFC 9112, section 7.1).
#[inline]
pub fn chunk(data: &[u8]) -> Result<Option<(Unit<'_>, usize)>, Malformed> {
    let Some((size, header)) = chunk_size(data)? else { return Ok(None) };
    let Some(body) = data.get(header..header + size + 2) else { return Ok(None) };
    let unit = match size {
        0 => Unit::End(b"the answer ended"),
        _ => Unit::Data(body.get(..size).unwrap_or_default()),
    };
    Ok(Some((unit, header + size + 2)))
}

/// All whole lines.
pub fn lines(data: &[u8]) -> Option<(Unit<'_>, usize)> {
    let end = memchr::memrchr(b'\n', data)? + 1;
    Some((Unit::Data(data.get(..end)?), end))
}

/// One whole answer. Chunked ones are given with their chunk headers in the body.
pub fn answer(data: &[u8]) -> Result<Option<(Unit<'_>, usize)>, Malformed> {
    let Some(head) = head(data)? else { return Ok(None) };
    let mut end = head.length;
    if head.chunked {
        loop {
            let Some((unit, used)) = chunk(data.get(end..).unwrap_or_default())? else { return Ok(None) };
            end += used;
            if matches!(unit, Unit::End(_)) {
                break;
            }
        }
    } else {
        // 204 and 304 have no body, whatever they say (RFC 9110, section 6.4.1).
        end += if matches!(head.status, 204 | 304) { 0 } else { head.body.unwrap_or(0) };
    }
    let Some(body) = data.get(head.length..end) else { return Ok(None) };
    Ok(Some((Unit::Answer { status: head.status, body, close: head.close }, end)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_say_what_follows() {
        let text =
            b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\ntransfer-encoding: Chunked\r\n\r\n5\r\n";
        let found = head(text).unwrap().unwrap();
        assert_eq!(
            (found.status, found.length, found.chunked, found.body),
            (200, text.len() - 3, true, None)
        );
        assert_eq!(found.framing(), Framing::Chunked);
        assert_eq!(head(b"HTTP/1.1 200 OK\r\nA: b\r\n"), Ok(None));
        assert!(head(b"SMTP\r\n\r\n").is_err());
    }

    #[test]
    fn chunks_are_counted_whole_wherever_reads_split_them() {
        let bytes = b"3\r\nabc\r\n1a;x=y\r\nabcdefghijklmnopqrstuvwxyz\r\n0\r\n\r\n";
        for cut in 0..8 {
            assert_eq!(chunk(&bytes[..cut]), Ok(None), "cut at {cut}");
        }
        assert_eq!(chunk(bytes), Ok(Some((Unit::Data(b"abc"), 8))));
        let (unit, used) = chunk(&bytes[8..]).unwrap().unwrap();
        assert_eq!(unit, Unit::Data(b"abcdefghijklmnopqrstuvwxyz"));
        assert!(matches!(chunk(&bytes[8 + used..]), Ok(Some((Unit::End(_), 5)))));
        assert!(chunk(b"x\r\n").is_err() && chunk(b"fffffffff\r\n").is_err());
    }

    #[test]
    fn answers_are_taken_whole_one_after_another() {
        let bytes = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}HTTP/1.1 304 Not\r\nContent-Length: 9\r\nConnection: close\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n";
        let (mut at, mut found) = (0, Vec::new());
        while let Some((Unit::Answer { status, body, close }, used)) = answer(&bytes[at..]).unwrap() {
            found.push((status, body.to_vec(), close));
            at += used;
            if at == bytes.len() {
                break;
            }
        }
        let chunked = b"1\r\na\r\n0\r\n\r\n".to_vec();
        assert_eq!(found, [(200, b"{}".to_vec(), false), (304, vec![], true), (200, chunked, false)]);
        assert_eq!(at, bytes.len());
        assert_eq!(answer(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{"), Ok(None));
    }

    #[test]
    fn lines_are_taken_as_far_as_they_are_whole() {
        assert_eq!(lines(b"a\nb\nc"), Some((Unit::Data(b"a\nb\n"), 4)));
        assert_eq!(lines(b"abc"), None);
    }
}
