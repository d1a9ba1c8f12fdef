//! The client's side of RFC 6455, as far as a load generator needs it: servers here send whole, uncompressed messages.

use super::{Malformed, Unit};

/// The longest frame that a server may send us.
const LONGEST: u64 = 64 << 20;

/// The first frame of `data` (section 5.2; a server does not mask).
#[inline]
pub fn next(data: &[u8]) -> Result<Option<(Unit<'_>, usize)>, Malformed> {
    let &[first, second, ref rest @ ..] = data else { return Ok(None) };
    if second & 0x80 != 0 {
        return Err(Malformed("the server masks its frames"));
    }
    let (length, header) = match second & 0x7f {
        126 => match rest.first_chunk::<2>() {
            Some(length) => (u64::from(u16::from_be_bytes(*length)), 4),
            None => return Ok(None),
        },
        127 => match rest.first_chunk::<8>() {
            Some(length) => (u64::from_be_bytes(*length), 10),
            None => return Ok(None),
        },
        length => (u64::from(length), 2),
    };
    if length > LONGEST {
        return Err(Malformed("a frame is longer than 64 MB"));
    }
    let end = header + length as usize;
    let Some(payload) = data.get(header..end) else { return Ok(None) };
    let unit = match first & 0x0f {
        0..=2 => Unit::Data(payload),
        8 => Unit::End(payload.get(2..).unwrap_or_default()),
        9 => Unit::Ping(payload),
        _ => Unit::Other,
    };
    Ok(Some((unit, end)))
}

/// Opcodes that a client sends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Opcode {
    /// UTF-8.
    Text = 1,
    /// Goodbye.
    Close = 8,
    /// The answer to a ping.
    Pong = 10,
}

/// Any key will do (section 5.3 protects proxies, not servers), but not zero, which would spare the server the work of unmasking.
const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// Appends a whole masked frame.
pub fn append(opcode: Opcode, payload: &[u8], out: &mut Vec<u8>) {
    out.push(0x80 | opcode as u8);
    match payload.len() {
        length @ 0..=125 => out.push(0x80 | length as u8),
        length @ 126..=0xffff => {
            out.push(0x80 | 126);
            out.extend_from_slice(&(length as u16).to_be_bytes());
        }
        length => {
            out.push(0x80 | 127);
            out.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(&MASK);
    out.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(opcode: u8, length: usize) -> Vec<u8> {
        let mut out = vec![0x80 | opcode];
        match length {
            0..=125 => out.push(length as u8),
            126..=0xffff => {
                out.push(126);
                out.extend((length as u16).to_be_bytes());
            }
            _ => {
                out.push(127);
                out.extend((length as u64).to_be_bytes());
            }
        }
        out.extend(std::iter::repeat_n(b'a', length));
        out
    }

    #[test]
    fn frames_of_every_length_are_counted_whole_wherever_reads_split_them() {
        let lengths = [0, 1, 125, 126, 127, 65_535, 65_536];
        for length in lengths {
            let bytes = frame(1, length);
            for cut in [0, 1, 2, 3, 5, 9, bytes.len() - 1] {
                if cut < bytes.len() {
                    assert_eq!(next(&bytes[..cut]), Ok(None), "{length} cut at {cut}");
                }
            }
            let (unit, used) = next(&bytes).unwrap().unwrap();
            assert_eq!((unit, used), (Unit::Data(&vec![b'a'; length]), bytes.len()));
        }
    }

    #[test]
    fn pings_ends_and_frames_in_a_row_are_told_apart() {
        let bytes = [frame(9, 3), frame(2, 2), vec![0x88, 4, 0x0f, 0xa0, b'n', b'o'], frame(10, 0)].concat();
        let (mut at, mut units) = (0, Vec::new());
        while let Some((unit, used)) = next(&bytes[at..]).unwrap() {
            units.push(unit);
            at += used;
        }
        assert_eq!(units, [Unit::Ping(b"aaa"), Unit::Data(b"aa"), Unit::End(b"no"), Unit::Other]);
    }

    #[test]
    fn a_masked_or_endless_frame_is_refused() {
        assert!(next(&[0x81, 0x80]).is_err());
        assert!(next(&[0x81, 127, 255, 0, 0, 0, 0, 0, 0, 0]).is_err());
    }

    #[test]
    fn what_a_client_sends_is_masked_and_can_be_unmasked() {
        let mut out = Vec::new();
        append(Opcode::Text, b"hello", &mut out);
        assert_eq!(out[..2], [0x81, 0x85]);
        let plain: Vec<u8> = out[6..].iter().zip(out[2..6].iter().cycle()).map(|(a, b)| a ^ b).collect();
        assert_eq!(plain, b"hello");
    }
}
