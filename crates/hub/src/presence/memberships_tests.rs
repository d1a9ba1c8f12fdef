use fanfare_protocol::{Code, Data, SessionId};

use super::*;
use crate::{clock::unix_ms, presence::table::Most};

const MOST: Most = Most { of_channel: 2, of_client: 2 };

fn client(n: u32) -> ClientId {
    SessionId::parse(&format!("{n:022}")).unwrap().client()
}

fn enter(memberships: &Memberships, channel: &str, n: u32, data: &str) -> Result<(), Code> {
    let entering = Entering {
        client: client(n),
        user: None,
        info: None,
        data: Data::Json(data.to_owned().into()),
        connection: None,
        grace_ms: 1000,
    };
    let key = (ChannelName::parse(channel).unwrap(), client(n));
    let known = Known { entered_at: None, present: 0, most: MOST };
    let entered = memberships.enter(&key, known, entering, 30_000);
    entered.map(|_| ()).map_err(|problem| problem.code)
}

fn leave(memberships: &Memberships, channel: &str, n: u32) {
    let key = (ChannelName::parse(channel).unwrap(), client(n));
    assert!(memberships.table.lock().remove(&key).is_some());
}

#[test]
fn what_members_take_is_counted_and_given_back() {
    let budget = Arc::new(Budget::new(2000));
    let memberships = Memberships::new(budget.clone());
    enter(&memberships, "a", 1, "1").unwrap();
    let small = budget.used();
    enter(&memberships, "a", 1, &"1".repeat(1001)).unwrap();
    assert_eq!(budget.used(), small + 1000);
    // What does not fit changes nothing.
    assert_eq!(enter(&memberships, "a", 1, &"1".repeat(2000)), Err(Code::Unavailable));
    assert_eq!(enter(&memberships, "b", 2, "1"), Err(Code::Unavailable));
    assert_eq!(budget.used(), small + 1000);
    enter(&memberships, "a", 1, "1").unwrap();
    assert_eq!(budget.used(), small);
    enter(&memberships, "b", 2, "1").unwrap();
    leave(&memberships, "a", 1);
    leave(&memberships, "b", 2);
    assert_eq!(budget.used(), 0);
    let table = memberships.table.lock();
    assert!(table.by_channel.is_empty() && table.by_client.is_empty() && table.due.is_empty());
}

fn due(memberships: &Memberships, ms_from_now: u64) -> Vec<&'static str> {
    let found = memberships.take_due(unix_ms() + ms_from_now, 30_000);
    found.iter().map(|due| if matches!(due, Due::End(..)) { "end" } else { "renew" }).collect()
}

fn adopt(memberships: &Memberships, n: u32) -> Key {
    let (data, entered_at) = (Data::NULL, 1);
    let member = Member { client: client(n), user: None, info: None, data, entered_at };
    let channel = ChannelName::parse("a").unwrap();
    memberships.adopt(channel.clone(), member, 30_000);
    (channel, client(n))
}

#[test]
fn what_was_there_before_the_start_is_renewed_once_somebody_holds_it_and_else_left_to_its_lease() {
    let budget = Arc::new(Budget::new(1 << 20));
    let memberships = Memberships::new(budget.clone());
    memberships.hold(7, client(1), None);
    let early = adopt(&memberships, 1);
    let late = adopt(&memberships, 2);
    adopt(&memberships, 3);
    assert_eq!(due(&memberships, 100), ["renew"], "its stream is open already");
    assert!(memberships.renewed(&early, false).is_none());
    memberships.hold(8, client(2), None);
    assert_eq!(due(&memberships, 100), ["renew"], "at once, for its lease may soon be over");
    assert!(memberships.renewed(&late, true).is_none(), "too late: it is no member any more");
    assert!(!memberships.table.lock().memberships.contains_key(&late));
    // The first lost its lease later, as any membership may: it enters again.
    assert!(memberships.renewed(&early, true).is_some());
    assert_eq!(due(&memberships, 30_001), ["renew"], "the third one's lease ends it");
    memberships.lost(7, client(1), unix_ms());
    assert_eq!(due(&memberships, 60_002), ["end"]);
    assert_eq!(budget.used(), 0);
}

#[test]
fn who_polls_now_and_then_stays_and_its_lease_is_renewed() {
    let memberships = Memberships::new(Arc::new(Budget::new(1 << 20)));
    let channel = ChannelName::parse("a").unwrap();
    let entering = Entering {
        client: client(1),
        user: None,
        info: None,
        data: Data::NULL,
        connection: None,
        grace_ms: 30_000,
    };
    let known = Known { entered_at: None, present: 0, most: MOST };
    memberships.enter(&(channel, client(1)), known, entering, 30_000).unwrap();
    let start = unix_ms();
    let mut last_renewal = 0;
    for second in 1..=120 {
        // A poll a second, none at the moment of the tick.
        memberships.hold(second, client(1), None);
        memberships.lost(second, client(1), start + second * 1000);
        for due in memberships.take_due(start + second * 1000, 30_000) {
            assert!(matches!(due, Due::Renew(..)), "second {second}");
            last_renewal = second;
        }
        assert!(second - last_renewal <= 11, "second {second}: not renewed since {last_renewal}");
    }
    let ends = |ms: u64| {
        memberships.take_due(start + 120_000 + ms, 30_000).iter().any(|due| matches!(due, Due::End(..)))
    };
    assert!(!ends(29_000), "nobody has polled for a while");
    assert!(ends(30_000), "nobody has polled for the whole time");
}

#[test]
fn another_open_connection_of_the_client_holds_what_a_lost_one_held_once_the_grace_is_over() {
    let memberships = Memberships::new(Arc::new(Budget::new(1 << 20)));
    memberships.opened(0, client(1), None);
    enter(&memberships, "a", 1, "1").unwrap();
    let now = unix_ms();
    memberships.lost(0, client(1), now);
    memberships.opened(8, client(1), None);
    assert_eq!(due(&memberships, 60_000), ["renew"], "its grace is over, and it came back");
    memberships.lost(8, client(1), now);
    assert_eq!(due(&memberships, 120_000), ["end"]);
}

#[test]
fn a_node_that_stops_leaves_memberships_to_their_leases() {
    let memberships = Memberships::new(Arc::new(Budget::new(1 << 20)));
    enter(&memberships, "a", 1, "1").unwrap();
    memberships.stop();
    assert!(due(&memberships, 2000).is_empty());
    assert!(memberships.table.lock().memberships.is_empty());
}

#[test]
fn a_channel_and_a_client_have_as_many_memberships_as_they_may() {
    let memberships = Memberships::new(Arc::new(Budget::new(1 << 20)));
    enter(&memberships, "a", 1, "1").unwrap();
    enter(&memberships, "a", 2, "1").unwrap();
    assert_eq!(enter(&memberships, "a", 3, "1"), Err(Code::LimitExceeded));
    enter(&memberships, "a", 2, "2").unwrap();
    enter(&memberships, "b", 2, "1").unwrap();
    assert_eq!(enter(&memberships, "c", 2, "1"), Err(Code::LimitExceeded));
    leave(&memberships, "a", 2);
    enter(&memberships, "c", 2, "1").unwrap();
    enter(&memberships, "a", 3, "1").unwrap();
}
