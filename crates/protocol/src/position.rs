//! Where a message stands in its channel, and where a reader stands in several.
use std::{fmt, str::FromStr};

use crate::{Code, Problem};

/// The life of a log: 1 to 12 of `[0-9a-z]`. Offsets are comparable only inside one epoch.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Epoch {
    bytes: [u8; 12],
    len: u8,
}

impl Epoch {
    /// The epoch that never is: a position in it is always a gap.
    pub const NONE: Self = Self { bytes: [b'0', 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], len: 1 };

    /// A fresh epoch from random bits: 8 characters that never are `0`.
    pub fn from_random(bits: u64) -> Self {
        const DIGITS: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";
        let mut bytes = [0; 12];
        let mut rest = bits;
        for (at, byte) in bytes.iter_mut().take(8).enumerate() {
            // The first character is a letter, so that no epoch reads as a number.
            let (base, skip) = if at == 0 { (26, 10) } else { (36, 0) };
            *byte = DIGITS.get((rest % base + skip) as usize).copied().unwrap_or(b'a');
            rest /= base;
        }
        Self { bytes, len: 8 }
    }

    /// The characters.
    pub fn as_str(&self) -> &str {
        self.bytes.get(..usize::from(self.len)).and_then(|b| std::str::from_utf8(b).ok()).unwrap_or("0")
    }
}

impl FromStr for Epoch {
    type Err = Problem;
    fn from_str(text: &str) -> Result<Self, Problem> {
        let mut bytes = [0; 12];
        let ok = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit() || b.is_ascii_lowercase());
        match bytes.get_mut(..text.len()) {
            Some(place) if ok => place.copy_from_slice(text.as_bytes()),
            _ => return Err(unreadable(text)),
        }
        Ok(Self { bytes, len: text.len() as u8 })
    }
}
impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
impl fmt::Debug for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// `<epoch>-<offset>`: everything up to and including this offset has been seen.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Position {
    /// The life of the log that the offset belongs to.
    pub epoch: Epoch,
    /// 1 for the first message; 0 stands before it.
    pub offset: u64,
}

impl Position {
    /// A position that no log ever has: reading from it is a gap.
    pub const NOWHERE: Self = Self { epoch: Epoch::NONE, offset: 0 };
}

impl FromStr for Position {
    type Err = Problem;
    fn from_str(text: &str) -> Result<Self, Problem> {
        let (epoch, offset) = text.split_once('-').ok_or_else(|| unreadable(text))?;
        // One way to write a number: positions are compared as texts too (entity tags).
        let plain = offset.bytes().all(|b| b.is_ascii_digit()) && (offset == "0" || !offset.starts_with('0'));
        let offset = if plain { offset.parse().ok() } else { None };
        Ok(Self { epoch: epoch.parse()?, offset: offset.ok_or_else(|| unreadable(text))? })
    }
}
impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.epoch, self.offset)
    }
}

/// The positions of a request's channels in the order given, joined with `~`; an empty element is *from now*.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Cursor(pub Vec<Option<Position>>);

impl Cursor {
    /// Reads a cursor for a request of `channels` channels.
    ///
    /// # Errors
    /// `bad_request` when an element is not a position or the number of elements differs.
    pub fn parse(text: &str, channels: usize) -> Result<Self, Problem> {
        let elements: Vec<_> = text.split('~').take(channels + 1).collect();
        if elements.len() != channels {
            return Err(Problem::new(
                Code::BadRequest,
                format!("since has not one position for each of {channels} channels"),
            )
            .remedy("join one position per channel with '~', in the order of the channels"));
        }
        let read = |e: &str| if e.is_empty() { Ok(None) } else { e.parse().map(Some) };
        elements.into_iter().map(read).collect::<Result<_, _>>().map(Self)
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, position) in self.0.iter().enumerate() {
            if at > 0 {
                f.write_str("~")?;
            }
            if let Some(position) = position {
                position.fmt(f)?;
            }
        }
        Ok(())
    }
}

fn unreadable(text: &str) -> Problem {
    let shown: String = text.chars().take(40).collect();
    Problem::new(Code::BadRequest, format!("{shown:?} is not a position"))
        .remedy("send a position as it was received, such as k3f9-42")
}
