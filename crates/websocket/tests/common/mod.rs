//! A client's frames, and a plain reading of RFC 6455 to compare the decoder with.
#![allow(dead_code)]

use bytes::Bytes;
use fanfare_websocket::{Limits, Message, close};

/// A masked frame with this first byte.
pub fn client_frame(first: u8, payload: &[u8], key: [u8; 4]) -> Vec<u8> {
    let mut out = vec![first];
    match payload.len() {
        len @ 0..=125 => out.push(0x80 | len as u8),
        len @ 126..=0xffff => {
            out.push(0x80 | 126);
            out.extend((len as u16).to_be_bytes());
        }
        len => {
            out.push(0x80 | 127);
            out.extend((len as u64).to_be_bytes());
        }
    }
    out.extend(key);
    out.extend(payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key));
    out
}

/// The messages in `input`, and the close code of the violation that ends them, if one does. Frame by frame,
/// byte by byte, with no state but the open message: slow, and short enough to be checked by eye.
pub fn reference(input: &[u8], limits: &Limits) -> (Vec<Message>, Option<u16>) {
    let mut messages = Vec::new();
    let mut open: Option<(bool, Vec<u8>, u32)> = None;
    let mut at = 0;
    let code = loop {
        // Every `None` from here on is "the input ends".
        match one_frame(input, &mut at, &mut open, limits) {
            Some(Ok(Some(message))) => {
                let last = matches!(message, Message::Close(_));
                messages.push(message);
                if last {
                    break None;
                }
            }
            Some(Ok(None)) => {}
            Some(Err(code)) => break Some(code),
            None => break None,
        }
    };
    (messages, code)
}

type OpenMessage = Option<(bool, Vec<u8>, u32)>;

fn one_frame(
    input: &[u8],
    at: &mut usize,
    open: &mut OpenMessage,
    limits: &Limits,
) -> Option<Result<Option<Message>, u16>> {
    let mut next = || {
        let byte = input.get(*at).copied();
        *at += 1;
        byte
    };
    let first = next()?;
    let (fin, opcode) = (first & 0x80 != 0, first & 0x0f);
    let control = opcode >= 8;
    let known = matches!(opcode, 0..=2 | 8..=10);
    if first & 0x70 != 0 || !known || (control && !fin) {
        return Some(Err(1002));
    }
    if !control && (opcode == 0) != open.is_some() {
        return Some(Err(1002));
    }
    if opcode == 0 && open.as_ref().is_some_and(|(_, _, frames)| *frames + 1 > limits.fragments) {
        return Some(Err(1008));
    }
    let second = next()?;
    if second & 0x80 == 0 || (control && second & 0x7f > 125) {
        return Some(Err(1002));
    }
    let wide = match second & 0x7f {
        126 => 2,
        127 => 8,
        _ => 0,
    };
    let mut len = if wide == 0 { u64::from(second & 0x7f) } else { 0 };
    for _ in 0..wide {
        len = len << 8 | u64::from(next()?);
    }
    if (wide == 2 && len < 126) || (wide == 8 && !(1 << 16..1 << 63).contains(&len)) {
        return Some(Err(1002));
    }
    let so_far = open.as_ref().map_or(0, |(_, data, _)| data.len() as u64);
    if !control && (len > limits.frame_bytes as u64 || len + so_far > limits.message_bytes as u64) {
        return Some(Err(1009));
    }
    let key = [next()?, next()?, next()?, next()?];
    let mut control_data = Vec::new();
    if opcode == 0 {
        open.as_mut()?.2 += 1;
    } else if !control {
        *open = Some((opcode == 1, Vec::new(), 1));
    }
    for i in 0..len as usize {
        let byte = next()? ^ key[i % 4];
        if control {
            control_data.push(byte);
            continue;
        }
        let (text, data, _) = open.as_mut()?;
        data.push(byte);
        let hopeless = std::str::from_utf8(data).is_err_and(|error| error.error_len().is_some());
        if *text && hopeless {
            return Some(Err(1007));
        }
    }
    Some(match opcode {
        8 => close_message(&control_data).map(Some),
        9 => Ok(Some(Message::Ping(Bytes::from(control_data)))),
        10 => Ok(Some(Message::Pong(Bytes::from(control_data)))),
        _ if !fin => Ok(None),
        _ => {
            let (text, data, _) = open.take()?;
            match (text, std::str::from_utf8(&data).is_ok()) {
                (true, false) => Err(1007),
                (true, true) => Ok(Some(Message::Text(Bytes::from(data)))),
                (false, _) => Ok(Some(Message::Binary(Bytes::from(data)))),
            }
        }
    })
}

fn close_message(payload: &[u8]) -> Result<Message, u16> {
    match payload {
        [] => Ok(Message::Close(None)),
        [high, low, reason @ ..] => {
            let code = u16::from_be_bytes([*high, *low]);
            if !close::is_sendable(code) {
                return Err(1002);
            }
            std::str::from_utf8(reason).map_err(|_| 1007u16)?;
            Ok(Message::Close(Some((code, Bytes::copy_from_slice(reason)))))
        }
        [_] => Err(1002),
    }
}
