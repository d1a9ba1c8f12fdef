use super::*;

const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
const TEXT: u8 = 0x1;
const BINARY: u8 = 0x2;
const CONTINUATION: u8 = 0x0;
const CLOSE: u8 = 0x8;
const PING: u8 = 0x9;
const PONG: u8 = 0xa;
const FIN: u8 = 0x80;

/// A masked client frame whose first byte is `first`.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = crate::frame::header(Opcode::Binary, true, payload.len()).to_vec();
    out[0] = first;
    out[1] |= 0x80;
    out.extend_from_slice(&KEY);
    out.extend(payload.iter().enumerate().map(|(i, byte)| byte ^ KEY[i % 4]));
    out
}

fn run(limits: Limits, input: &[u8]) -> (Vec<Message>, Option<WsError>) {
    let mut decoder = Decoder::new(limits);
    let (mut messages, mut rest) = (Vec::new(), input);
    loop {
        match decoder.feed(&mut rest) {
            Ok(Some(message)) => messages.push(message),
            Ok(None) => return (messages, None),
            Err(error) => return (messages, Some(error)),
        }
    }
}

fn messages(input: &[u8]) -> Vec<Message> {
    let (messages, error) = run(Limits::default(), input);
    assert_eq!(error, None);
    messages
}

fn error(input: &[u8]) -> WsError {
    run(Limits::default(), input).1.expect("an error")
}

fn text(data: &'static str) -> Message {
    Message::Text(Bytes::from_static(data.as_bytes()))
}

fn binary(data: &[u8]) -> Message {
    Message::Binary(Bytes::copy_from_slice(data))
}

#[test]
fn section_5_7_examples() {
    let hello = [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
    assert_eq!(messages(&hello), [text("Hello")]);
    let pong = [0x8a, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
    assert_eq!(messages(&pong), [Message::Pong(Bytes::from_static(b"Hello"))]);
}

#[test]
fn section_5_2_every_length_form() {
    for len in [0, 1, 125, 126, 127, 65_535, 65_536, 70_000] {
        let payload: Vec<u8> = (0..len).map(|i| (i % 251) as u8).collect();
        assert!(messages(&frame(FIN | BINARY, &payload)) == [binary(&payload)], "{len} bytes");
    }
}

#[test]
fn section_5_2_reserved_bits_and_opcodes() {
    for bit in [0x40, 0x20, 0x10] {
        assert_eq!(error(&[FIN | bit | TEXT]), WsError::ReservedBits);
    }
    for opcode in [3, 4, 5, 6, 7, 11, 12, 13, 14, 15] {
        assert_eq!(error(&[FIN | opcode]), WsError::UnknownOpcode(opcode));
    }
    assert_eq!(WsError::ReservedBits.close_code(), 1002);
    assert_eq!(WsError::UnknownOpcode(3).close_code(), 1002);
}

#[test]
fn section_5_2_lengths_in_their_shortest_form_only() {
    assert_eq!(error(&[FIN | BINARY, 0xfe, 0, 125]), WsError::LengthEncoding);
    assert_eq!(error(&[FIN | BINARY, 0xff, 0, 0, 0, 0, 0, 0, 0xff, 0xff]), WsError::LengthEncoding);
    assert_eq!(error(&[FIN | BINARY, 0xff, 0x80, 0, 0, 0, 0, 1, 0, 0]), WsError::LengthEncoding);
    assert_eq!(WsError::LengthEncoding.close_code(), 1002);
}

#[test]
fn section_5_1_unmasked_frames_are_refused() {
    assert_eq!(error(&[FIN | TEXT, 0x05]), WsError::Unmasked);
    assert_eq!(error(&[FIN | PING, 0x00]), WsError::Unmasked);
    assert_eq!(WsError::Unmasked.close_code(), 1002);
}

#[test]
fn section_5_4_fragments_with_control_frames_between() {
    let mut input = frame(TEXT, b"one ");
    input.extend(frame(FIN | PING, b"p"));
    input.extend(frame(CONTINUATION, b""));
    input.extend(frame(FIN | PONG, b""));
    input.extend(frame(FIN | CONTINUATION, b"two"));
    input.extend(frame(FIN | BINARY, b"x"));
    let want =
        [Message::Ping(Bytes::from_static(b"p")), Message::Pong(Bytes::new()), text("one two"), binary(b"x")];
    assert_eq!(messages(&input), want);
}

#[test]
fn section_5_4_order_of_fragments() {
    assert_eq!(error(&frame(FIN | CONTINUATION, b"x")), WsError::UnexpectedContinuation);
    let mut input = frame(TEXT, b"x");
    input.extend(frame(FIN | TEXT, b"y"));
    assert_eq!(error(&input), WsError::ExpectedContinuation);
    let mut input = frame(BINARY, b"x");
    input.extend(frame(FIN | CONTINUATION, b"y"));
    input.extend(frame(FIN | CONTINUATION, b"z"));
    assert_eq!(run(Limits::default(), &input), (vec![binary(b"xy")], Some(WsError::UnexpectedContinuation)));
}

#[test]
fn section_5_5_control_frames_are_short_and_whole() {
    for opcode in [CLOSE, PING, PONG] {
        assert_eq!(error(&frame(opcode, b"")), WsError::ControlFragmented);
        assert_eq!(error(&[FIN | opcode, 0x80 | 126]), WsError::ControlTooLong);
        assert_eq!(error(&[FIN | opcode, 0x80 | 127]), WsError::ControlTooLong);
    }
    assert_eq!(messages(&frame(FIN | PING, &[7; 125])), [Message::Ping(Bytes::from_static(&[7; 125]))]);
}

#[test]
fn section_5_5_1_close_payloads() {
    let close = |payload: &[u8]| run(Limits::default(), &frame(FIN | CLOSE, payload));
    assert_eq!(close(b""), (vec![Message::Close(None)], None));
    let bye = Message::Close(Some((4000, Bytes::from_static(b"bye"))));
    assert_eq!(close(b"\x0f\xa0bye"), (vec![bye], None));
    assert_eq!(close(b"\x03"), (vec![], Some(WsError::CloseTruncated)));
    assert_eq!(close(b"\x03\xed"), (vec![], Some(WsError::CloseCode(1005))));
    assert_eq!(close(b"\x03\xe8\xff"), (vec![], Some(WsError::CloseReason)));
    assert_eq!(WsError::CloseReason.close_code(), 1007);
    assert_eq!(WsError::CloseCode(1005).close_code(), 1002);
}

#[test]
fn section_5_5_1_nothing_counts_after_a_close() {
    let mut input = frame(TEXT, b"half");
    input.extend(frame(FIN | CLOSE, b""));
    input.extend(b"\xff\xff anything");
    let mut decoder = Decoder::new(Limits::default());
    let mut rest = input.as_slice();
    assert_eq!(decoder.feed(&mut rest), Ok(Some(Message::Close(None))));
    assert!(decoder.is_closed() && decoder.is_idle() && rest.is_empty());
    let mut rest: &[u8] = b"more";
    assert_eq!(decoder.feed(&mut rest), Ok(None));
    assert!(rest.is_empty());
}

#[test]
fn an_error_is_final() {
    let mut decoder = Decoder::new(Limits::default());
    let mut rest: &[u8] = &[FIN | TEXT, 0x05];
    assert_eq!(decoder.feed(&mut rest), Err(WsError::Unmasked));
    let good = frame(FIN | TEXT, b"x");
    let mut rest = good.as_slice();
    assert_eq!(decoder.feed(&mut rest), Err(WsError::Unmasked));
    assert!(rest.is_empty() && !decoder.is_closed() && decoder.buffered() == 0);
}

#[test]
fn section_8_1_text_fails_at_its_first_bad_byte() {
    // 'ok', then a surrogate (ED A0 80): the second byte is the first that no character can have.
    let mut decoder = Decoder::new(Limits::default());
    let whole = frame(TEXT, b"ok\xed\xa0\x80 and much more that never arrives");
    let header = whole.len() - 38;
    for (at, byte) in whole.iter().enumerate() {
        let result = decoder.feed(&mut std::slice::from_ref(byte));
        if at < header + 3 {
            assert_eq!(result, Ok(None), "byte {at}");
        } else {
            assert_eq!(result, Err(WsError::InvalidUtf8), "byte {at}");
            return;
        }
    }
    panic!("the bad byte was not noticed");
}

#[test]
fn section_8_1_characters_may_be_cut_by_fragments() {
    let word = "κόσμε \u{10ffff}";
    for cut in 0..=word.len() {
        let mut input = frame(TEXT, &word.as_bytes()[..cut]);
        input.extend(frame(FIN | PING, b""));
        input.extend(frame(FIN | CONTINUATION, &word.as_bytes()[cut..]));
        assert_eq!(messages(&input).last(), Some(&text(word)), "cut at {cut}");
    }
}

#[test]
fn section_8_1_a_message_cannot_end_inside_a_character() {
    assert_eq!(error(&frame(FIN | TEXT, b"\xce")), WsError::InvalidUtf8);
    let mut input = frame(TEXT, b"\xce");
    input.extend(frame(FIN | CONTINUATION, b""));
    assert_eq!(error(&input), WsError::InvalidUtf8);
    assert_eq!(WsError::InvalidUtf8.close_code(), 1007);
}

#[test]
fn section_10_4_a_large_frame_is_refused_by_its_header() {
    let limits = Limits { frame_bytes: 1 << 20, message_bytes: usize::MAX, fragments: 8 };
    let nine_megabytes = (9u64 << 20).to_be_bytes();
    let mut header = vec![FIN | BINARY, 0xff];
    header.extend(nine_megabytes);
    let error = WsError::FrameTooLarge { announced: 9 << 20 };
    assert_eq!(run(limits, &header), (vec![], Some(error)));
    assert_eq!(error.close_code(), 1009);
    let huge = [FIN | BINARY, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
    assert_eq!(run(limits, &huge).1.map(|error| error.close_code()), Some(1009));
}

#[test]
fn section_10_4_a_message_is_limited_over_its_fragments() {
    let limits = Limits { frame_bytes: 100, message_bytes: 10, fragments: 8 };
    let mut input = frame(BINARY, b"12345");
    input.extend(frame(CONTINUATION, b"67890"));
    let mut exact = input.clone();
    exact.extend(frame(FIN | CONTINUATION, b""));
    assert_eq!(run(limits, &exact), (vec![binary(b"1234567890")], None));
    input.extend(frame(FIN | PING, b"a control frame is no part of it"));
    input.extend(frame(FIN | CONTINUATION, b"1"));
    let (_, error) = run(limits, &input);
    assert_eq!(error, Some(WsError::MessageTooLarge { announced: 11 }));
    assert_eq!(error.map(|error| error.close_code()), Some(1009));
    assert_eq!(
        run(limits, &frame(FIN | BINARY, &[0; 11])).1,
        Some(WsError::MessageTooLarge { announced: 11 })
    );
}

#[test]
fn section_10_4_fragments_are_limited() {
    let limits = Limits { fragments: 3, ..Limits::default() };
    let mut input = frame(BINARY, b"");
    input.extend(frame(CONTINUATION, b""));
    let mut three = input.clone();
    three.extend(frame(FIN | CONTINUATION, b"x"));
    assert_eq!(run(limits, &three), (vec![binary(b"x")], None));
    input.extend(frame(CONTINUATION, b""));
    input.extend(frame(CONTINUATION, b""));
    let error = run(limits, &input).1.unwrap();
    assert_eq!(error, WsError::TooManyFragments { limit: 3 });
    assert_eq!(error.close_code(), 1008);
}

#[test]
fn memory_is_held_only_for_what_is_half_received() {
    assert!(size_of::<Decoder>() <= 96, "{} bytes", size_of::<Decoder>());
    let mut decoder = Decoder::new(Limits::default());
    assert!(decoder.is_idle() && decoder.buffered() == 0);
    let input = frame(FIN | BINARY, &[1; 1000]);
    assert!(decoder.feed(&mut &input[..3]).unwrap().is_none());
    assert!(!decoder.is_idle());
    assert_eq!(decoder.buffered(), 0, "the header is kept in the decoder itself");
    assert!(decoder.feed(&mut &input[3..108]).unwrap().is_none());
    let held = decoder.buffered() - size_of::<Partial>();
    assert!((100..=200).contains(&held), "100 of 1,000 announced bytes came, {held} are held");
    let message = decoder.feed(&mut &input[108..]).unwrap().unwrap();
    assert_eq!(message.len(), 1000);
    assert!(decoder.is_idle() && decoder.buffered() == 0);
}

#[test]
fn many_small_reads_hold_at_most_twice_what_came() {
    let mut decoder = Decoder::new(Limits { fragments: u32::MAX, ..Limits::default() });
    let mut came = 0;
    for i in 0..20_000usize {
        let input = frame(if i == 0 { BINARY } else { CONTINUATION }, &[0; 7]);
        for byte in input {
            assert_eq!(decoder.feed(&mut [byte].as_slice()), Ok(None));
        }
        came += 7;
        assert!(decoder.buffered() <= 2 * came + size_of::<Partial>(), "{} held", decoder.buffered());
    }
}

#[test]
fn every_reason_fits_a_close_frame() {
    let errors = [
        WsError::ReservedBits,
        WsError::UnknownOpcode(3),
        WsError::Unmasked,
        WsError::ControlFragmented,
        WsError::ControlTooLong,
        WsError::LengthEncoding,
        WsError::UnexpectedContinuation,
        WsError::ExpectedContinuation,
        WsError::CloseTruncated,
        WsError::CloseCode(1005),
        WsError::CloseReason,
        WsError::InvalidUtf8,
        WsError::FrameTooLarge { announced: u64::MAX },
        WsError::MessageTooLarge { announced: u64::MAX },
        WsError::TooManyFragments { limit: 1 },
    ];
    for error in errors {
        assert!((1..=123).contains(&error.reason().len()), "{error}");
        assert!(crate::close::is_sendable(error.close_code()), "{error}");
    }
}
