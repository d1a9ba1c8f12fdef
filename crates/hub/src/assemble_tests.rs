//! Bytes for one reader alone.
use std::sync::Arc;

use fanfare_protocol::{ChannelName, Cursor, Position};

use super::Batch;
use crate::{
    Form,
    channel::Channel,
    place::Place,
    reader::{Kind, Reader, State},
    segment::Segment,
    shard::{Pace, Shard},
    test_support::{Counting, client, epoch, message},
};

fn reader(form: Form) -> Reader {
    let name = ChannelName::parse("c").unwrap();
    Reader {
        channel: Arc::new(Channel::new(name.clone())),
        shard: Shard::new(form, Kind::Messages, Pace::Live, Place::default(), 0),
        name,
        kind: Kind::Messages,
        generation: 1,
        epoch: epoch(),
        cursor: Place::at(2),
        state: State::InStep,
        kept_up: 0,
        skip: None,
        keyed: None,
        paced: None,
        present: None,
        snapshot: false,
        gap: None,
        until: u64::MAX,
        element: None,
    }
}

/// Messages 1, 2, 3 (of client 7), an ephemeral one, 4; and 5 (of client 7) in a second segment.
fn segments(form: Form) -> [Segment; 2] {
    let mut first = Segment::new(epoch(), Place::at(0), 0);
    for offset in 1..4 {
        let mut message = message(offset, offset, 0);
        message.origin = (offset == 3).then(|| client(7));
        first.push(form, Place::at(offset), 0, &message);
    }
    first.push(form, Place::at(3).next_ephemeral(), 0, &message(0, 99, 0));
    first.push(form, Place::at(4), 0, &message(4, 4, 0));
    let mut second = Segment::new(epoch(), Place::at(4), 0);
    let mut own = message(5, 5, 0);
    own.origin = Some(client(7));
    second.push(form, Place::at(5), 0, &own);
    [first, second]
}

fn text(batch: &Batch) -> &str {
    std::str::from_utf8(&batch.bytes).unwrap()
}

#[test]
fn what_the_reader_passed_skips_or_comes_too_late_for_is_left_out() {
    let (form, _) = Counting::form(940);
    let segments = segments(form);
    let mut reader = reader(form);
    assert_eq!(text(&Batch::assemble(form, &segments, &reader, None, true)), "[3:3][0:99][4:4][5:5]");
    assert_eq!(text(&Batch::assemble(form, &segments, &reader, None, false)), "[3:3][4:4][5:5]");
    reader.skip = Some(client(7));
    assert_eq!(text(&Batch::assemble(form, &segments, &reader, None, true)), "[0:99][4:4]");
    reader.skip = Some(client(8));
    assert_eq!(text(&Batch::assemble(form, &segments, &reader, None, false)), "[3:3][4:4][5:5]");
    reader.cursor = Place::at(4);
    reader.skip = Some(client(7));
    let nothing = Batch::assemble(form, &segments, &reader, None, true);
    assert!(nothing.bytes.is_empty() && nothing.units.is_empty());
}

#[test]
fn a_cut_holds_the_cursor_and_its_frame_together() {
    let (form, _) = Counting::form(941);
    let segments = segments(form);
    let mut reader = reader(form);
    reader.element = Some(1);
    let elements = Cursor(vec![Some(Position { epoch: epoch(), offset: 9 }), None]);
    let batch = Batch::assemble(form, &segments, &reader, Some(&elements), true);
    assert_eq!(text(&batch), "<e-9~e-3>[3:3][0:99]<e-9~e-4>[4:4]<e-9~e-5>[5:5]");
    let ends = ["<e-9~e-3>[3:3]", "[0:99]", "<e-9~e-4>[4:4]", "<e-9~e-5>[5:5]"].map(str::len);
    let places = [Place::at(3), Place::at(3).next_ephemeral(), Place::at(4), Place::at(5)];
    let mut begin = 0;
    for (len, place) in ends.into_iter().zip(places) {
        for at in begin + 1..=begin + len {
            assert_eq!(batch.cut(at), (place, begin + len), "cut at byte {at}");
        }
        begin += len;
    }
    let messages: Vec<_> = (3..6).map(|offset| message(offset, offset, 0)).collect();
    let encoded = Batch::encode(form, &messages, &reader, Some(&elements));
    assert_eq!(text(&encoded), "<e-9~e-3>[3:3]<e-9~e-4>[4:4]<e-9~e-5>[5:5]");
}
