//! What a reader of members is told, from wherever it stands, against replaying what happened.
use std::collections::BTreeSet;

use fanfare_protocol::{ChannelName, Data, Member, Message};
use proptest::prelude::*;

use super::{DEPARTURES, Roster};
use crate::{
    Form,
    presence::member,
    test_support::{Counting, client, message},
};

fn roster() -> Roster {
    Roster::new(ChannelName::parse("c").unwrap(), 0)
}

fn entering(offset: u64, n: u64) -> Message {
    let member = Member {
        client: client(n),
        user: Some(format!("u{}", n % 3).into()),
        info: None,
        data: Data::NULL,
        entered_at: offset,
    };
    Message {
        key: Some(client(n).as_str().into()),
        data: member::encode(&member),
        ..message(offset, offset, 0)
    }
}

fn leaving(offset: u64, n: u64) -> Message {
    Message { key: Some(client(n).as_str().into()), data: Data::NULL, ..message(offset, offset, 0) }
}

fn told(roster: &Roster, form: Form, after: u64) -> String {
    let mut out = Vec::new();
    roster.write(form, after, &mut out);
    String::from_utf8(out).unwrap()
}

#[test]
fn one_frame_an_action_and_rejoining_is_leaving_and_entering() {
    let (form, _) = Counting::form(930);
    let mut roster = roster();
    let story = [
        entering(1, 1),
        entering(2, 2),
        entering(3, 1),
        leaving(4, 2),
        entering(5, 3),
        entering(6, 2),
        leaving(7, 3),
    ];
    story.iter().for_each(|message| roster.apply(message));
    assert_eq!(told(&roster, form, 0), "enter:1,2;");
    assert_eq!(told(&roster, form, 1), "enter:2;update:1;");
    assert_eq!(told(&roster, form, 2), "leave:2;enter:2;update:1;");
    assert_eq!(told(&roster, form, 5), "leave:3;enter:2;");
    assert_eq!(told(&roster, form, 6), "leave:3;");
    assert_eq!(told(&roster, form, 7), "");
}

#[test]
fn members_come_in_pages_of_a_hundred_and_at_least_one() {
    let (form, _) = Counting::form(931);
    let mut roster = roster();
    let present = |roster: &Roster| {
        let mut out = Vec::new();
        let mut after = roster.write_present(form, None, &mut out);
        while after.is_some() {
            after = roster.write_present(form, after, &mut out);
        }
        let text = String::from_utf8(out).unwrap();
        let pages = text.split_terminator(';');
        let sizes = pages.map(|page| {
            let (action, members) = page.split_once(':').unwrap();
            (action.to_owned(), members.split(',').filter(|m| !m.is_empty()).count())
        });
        sizes.collect::<Vec<_>>()
    };
    assert_eq!(present(&roster), [("present".to_owned(), 0)]);
    (1..=100).for_each(|n| roster.apply(&entering(n, n)));
    assert_eq!(present(&roster), [("present".to_owned(), 100)]);
    (101..=250).for_each(|n| roster.apply(&entering(n, n)));
    let more = || ("present+".to_owned(), 100);
    assert_eq!(present(&roster), [more(), more(), ("present".to_owned(), 50)]);
    let first = roster.page(100, None);
    assert_eq!((first.members.len(), first.count, first.users), (100, 250, 3));
    let rest = roster.page(1000, first.next);
    assert_eq!((rest.members.len(), rest.next), (150, None));
    let counts = roster.page(0, None);
    assert_eq!((counts.members.len(), counts.count, counts.next), (0, 250, None));
}

#[test]
fn who_is_further_behind_than_departures_are_remembered_is_told_all_again() {
    let (form, _) = Counting::form(932);
    let mut roster = roster();
    roster.apply(&entering(1, 1));
    let mut offset = 1;
    for _ in 0..=DEPARTURES {
        roster.apply(&entering(offset + 1, 2));
        roster.apply(&leaving(offset + 2, 2));
        offset += 2;
    }
    assert!(roster.is_far(2), "a departure is forgotten");
    assert!(!roster.is_far(3));
    assert_eq!(told(&roster, form, 3), "");
    roster.clear();
    assert_eq!((roster.count(), told(&roster, form, 0)), (0, String::new()));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// (client, whether it enters) one after another; a reader that knew everything up to any point and is told the rest knows all.
    #[test]
    fn from_any_offset_the_frames_lead_to_the_members_that_are(story in prop::collection::vec((0_u64..6, any::<bool>()), 1..40)) {
        let (form, _) = Counting::form(933);
        let mut roster = roster();
        let mut states: Vec<BTreeSet<u64>> = vec![BTreeSet::new()];
        for (offset, (n, enters)) in (1_u64..).zip(&story) {
            let mut now = states.last().unwrap().clone();
            if *enters {
                roster.apply(&entering(offset, n + 1));
                now.insert(n + 1);
            } else {
                roster.apply(&leaving(offset, n + 1));
                now.remove(&(n + 1));
            }
            states.push(now);
        }
        let end = states.last().unwrap().clone();
        prop_assert_eq!(roster.count(), end.len() as u64);
        for (after, state) in (0_u64..).zip(&states) {
            let mut known = state.clone();
            for frame in told(&roster, form, after).split_terminator(';') {
                let (action, members) = frame.split_once(':').unwrap();
                for member in members.split(',').map(|m| m.parse::<u64>().unwrap()) {
                    match action {
                        "enter" => prop_assert!(known.insert(member)),
                        "leave" => prop_assert!(known.remove(&member)),
                        "update" => prop_assert!(known.contains(&member)),
                        other => prop_assert!(false, "{} was told", other),
                    }
                }
            }
            prop_assert_eq!(&known, &end, "from offset {}", after);
        }
    }
}
