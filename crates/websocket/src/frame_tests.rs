use super::*;

#[test]
fn section_5_2_headers_use_the_shortest_length() {
    assert_eq!(*header(Opcode::Text, true, 0), [0x81, 0]);
    assert_eq!(*header(Opcode::Binary, false, 125), [0x02, 125]);
    assert_eq!(*header(Opcode::Continuation, true, 126), [0x80, 126, 0, 126]);
    assert_eq!(*header(Opcode::Text, true, 65_535), [0x81, 126, 0xff, 0xff]);
    assert_eq!(*header(Opcode::Text, true, 65_536), [0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0]);
    for payload in [0, 125, 126, 65_535, 65_536] {
        assert_eq!(header(Opcode::Text, true, payload).len(), header_len(payload), "{payload}");
    }
}

#[test]
fn section_5_7_examples() {
    assert_eq!(text(b"Hello"), &[0x81, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f][..]);
    assert_eq!(ping(b"Hello"), &[0x89, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f][..]);
    assert_eq!(pong(b"Hello"), &[0x8a, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f][..]);
    assert_eq!(binary(&[7; 256])[..5], [0x82, 0x7e, 0x01, 0x00, 7]);
    assert_eq!(binary(&vec![7; 65_536])[..11], [0x82, 0x7f, 0, 0, 0, 0, 0, 1, 0, 0, 7]);
}

#[test]
fn section_5_5_control_payloads_never_exceed_125_bytes() {
    assert_eq!(ping(&[1; 126])[..2], [0x89, 125]);
    assert_eq!(ping(&[1; 126]).len(), 127);
}

#[test]
fn section_5_5_1_close_reasons_are_cut_between_characters() {
    assert_eq!(close_frame(1000, "bye"), &[0x88, 5, 0x03, 0xe8, b'b', b'y', b'e'][..]);
    let exact = "x".repeat(123);
    assert_eq!(&close_frame(1001, &exact)[4..], exact.as_bytes());
    assert_eq!(&close_frame(1001, &format!("{exact}y"))[4..], exact.as_bytes());
    for lead in 0..4 {
        let reason = "a".repeat(lead) + &"\u{1f642}".repeat(40);
        let frame = close_frame(4400, &reason);
        let sent = std::str::from_utf8(&frame[4..]).unwrap();
        assert!(reason.starts_with(sent), "lead {lead}");
        assert!(sent.len() <= 123 && sent.len() > 119, "lead {lead}: {} bytes", sent.len());
        assert_eq!(usize::from(frame[1]), sent.len() + 2, "lead {lead}");
    }
}

#[test]
fn section_7_4_codes_that_must_not_be_sent_are_not() {
    for code in [0, 999, 1004, 1005, 1006, 1015, 2000, 5000] {
        assert_eq!(close_frame(code, "why"), &[0x88, 0][..], "{code}");
    }
    assert_eq!(close_reply(None), &[0x88, 0][..]);
    assert_eq!(close_reply(Some(&(4001, Bytes::from_static(b"x")))), &[0x88, 2, 0x0f, 0xa1][..]);
}

#[test]
fn in_place_frames_equal_appended_ones_whatever_was_expected() {
    let sizes = [0, 1, 125, 126, 4_000, 65_535, 65_536, 70_000];
    for expected in sizes {
        for actual in sizes {
            let payload: Vec<u8> = (0..actual).map(|i| i as u8).collect();
            let mut want = b"before".to_vec();
            append_frame(&mut want, Opcode::Binary, &payload);
            let mut got = b"before".to_vec();
            let frame = InPlace::begin(&mut got, expected);
            got.extend_from_slice(&payload);
            frame.finish(&mut got, Opcode::Binary);
            assert!(got == want, "expected {expected}, was {actual}");
        }
    }
}

#[test]
fn in_place_frames_can_be_abandoned_and_survive_a_caller_that_truncates() {
    let mut out = b"before".to_vec();
    let frame = InPlace::begin(&mut out, 1000);
    out.extend_from_slice(b"half");
    frame.abandon(&mut out);
    assert_eq!(out, b"before");
    let frame = InPlace::begin(&mut out, 1000);
    out.clear();
    frame.finish(&mut out, Opcode::Text);
    assert_eq!(out[6..], [0x81, 0]);
}

#[test]
fn opcodes_round_trip_and_reserved_ones_are_none() {
    for bits in 0..16 {
        match Opcode::from_bits(bits) {
            Some(opcode) => assert_eq!(opcode as u8, bits),
            None => assert!(matches!(bits, 3..=7 | 11..=15), "{bits}"),
        }
    }
}
