//! Where a write was cut, and what follows a cursor.
use super::Segment;
use crate::{
    place::Place,
    test_support::{Counting, epoch, message},
};

fn segment() -> Segment {
    let (form, _) = Counting::form(910);
    let mut segment = Segment::new(epoch(), Place::at(4), 0);
    for offset in 5..9 {
        segment.push(form, Place::at(offset), offset * 10, &message(offset, offset, offset as usize));
    }
    segment
}

#[test]
fn a_cut_belongs_to_the_frame_that_holds_the_last_byte_written() {
    let segment = segment();
    let mut begin = 0;
    for entry in &segment.index {
        let end = entry.end as usize;
        for at in begin + 1..=end {
            assert_eq!(segment.cut(at), (entry.place, end), "cut at byte {at}");
        }
        begin = end;
    }
    assert_eq!(begin, segment.bytes.len());
}

#[test]
fn what_follows_a_cursor_begins_where_the_frame_before_it_ends() {
    let segment = segment();
    assert_eq!((segment.first_after(Place::at(0)), segment.start(0)), (0, 0));
    assert_eq!(segment.first_after(Place::at(4)), 0);
    // An ephemeral place behind a message stands between it and the next.
    for (cursor, first) in [(Place::at(5), 1), (Place::at(5).next_ephemeral(), 1), (Place::at(7), 3)] {
        assert_eq!(segment.first_after(cursor), first);
        let start = segment.start(first);
        assert!(segment.bytes[start..].starts_with(format!("[{}:", 5 + first).as_bytes()));
    }
    assert_eq!(segment.first_after(Place::at(8)), 4);
    assert_eq!(segment.start(4), segment.bytes.len());
    assert_eq!((segment.to, segment.weight_to), (Place::at(8), 80));
}
