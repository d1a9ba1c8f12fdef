//! What every [`Broker`](crate::Broker) must do, as tests that any implementation runs.
//!
//! An implementation's crate depends on this one with the feature `contract` among its dev-dependencies and writes, in one
//! of its test files:
//!
//! ```ignore
//! fanfare_broker::contract!(|setup: fanfare_broker::contract::Setup| async move {
//!     std::sync::Arc::new(MyBroker::connect(setup).await) as std::sync::Arc<dyn fanfare_broker::Broker>
//! });
//! ```
//!
//! which makes one `#[test]` of each case. The maker is called at least once a case and must give a broker with an empty
//! store of its own (a fresh directory, a fresh key prefix). Time is virtual: the suite passes it in `Append::unix_ms` and
//! `tick`. Nothing here assumes that an offset is known before an append is answered, that this is the only writer, or that
//! what falls due on a tick has been done when the tick returns.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "these are tests: a panic is the report")]
#![allow(missing_docs, reason = "a case's name says what it asserts")]

pub mod appends;
pub mod delivery;
pub mod harness;
pub mod idempotency;
pub mod keyed;
pub mod leases;
pub mod limits;
pub mod listing;
pub mod model;
pub mod reads;
pub mod recorder;
pub mod retention;

pub use harness::{Harness, Maker, PolicyTable, Setup, run};
pub use recorder::Recorder;

/// Makes a `#[test]` of every case of the contract. Takes a closure from `contract::Setup` to a future of
/// `Arc<dyn Broker>`.
#[macro_export]
macro_rules! contract {
    ($make:expr) => {
        $crate::contract_cases! { $make;
            appends {
                offsets_begin_at_one_and_have_no_holes,
                a_message_carries_what_was_published,
                pipelined_appends_keep_their_order,
                concurrent_writers_share_one_order,
                channels_are_numbered_apart,
                an_append_at_the_head_is_taken_and_another_is_a_conflict,
                of_concurrent_conditional_appends_one_wins,
            }
            idempotency {
                a_repeated_id_is_answered_with_the_first_position,
                an_id_counts_for_its_channel_alone,
                concurrent_retries_of_one_id_append_once,
                an_id_is_looked_up_before_the_condition,
                a_failed_append_is_not_remembered,
                an_id_is_forgotten_after_the_window,
                the_oldest_ids_are_forgotten_beyond_the_limit,
                ids_of_the_server_are_unique,
            }
            retention {
                count_bounds_what_a_new_read_returns,
                age_bounds_what_a_new_read_returns,
                bytes_bound_what_a_new_read_returns,
                expiry_changes_neither_epoch_nor_head,
                without_history_the_head_still_moves,
                a_changed_policy_applies_at_once,
                held_reaches_at_least_as_far_as_retained,
            }
            reads {
                an_unknown_channel_stands_at_nought,
                reading_creates_nothing,
                a_read_returns_what_follows_a_position,
                a_read_is_bounded_by_count,
                a_read_is_bounded_by_bytes_and_returns_one_at_least,
                a_position_before_the_oldest_is_expired,
                a_position_of_another_epoch_is_lost,
                a_position_beyond_the_head_is_lost,
                pages_backwards_meet_without_overlap,
                an_unusable_before_is_ignored,
            }
            keyed {
                a_snapshot_is_the_newest_of_each_key_in_order,
                a_snapshot_is_paged,
                a_key_updated_during_paging_comes_once_more_at_the_end,
                keys_outlive_retention,
                tombstones_are_left_out_up_to_an_offset_and_told_after_it,
                tombstones_are_dropped_with_age_and_bounds_say_so,
                a_key_set_again_is_no_longer_removed,
                a_keyed_read_says_what_it_has_covered,
            }
            leases {
                a_key_whose_time_is_over_is_removed_by_a_tombstone,
                a_renewed_key_stays_without_a_message,
                renewing_never_shortens,
                keys_that_do_not_exist_are_returned,
                an_update_without_ttl_stays,
                an_update_with_ttl_begins_anew,
            }
            delivery {
                what_is_appended_is_delivered_in_order,
                nothing_is_delivered_without_interest,
                interest_may_come_before_the_channel,
                interest_among_concurrent_writers_misses_nothing,
                interest_may_be_repeated,
                disinterest_ends_delivery,
                a_duplicate_is_not_delivered_again,
                ephemeral_messages_are_delivered_and_leave_no_trace,
                an_ephemeral_message_creates_no_channel,
            }
            limits {
                beyond_the_limit_the_longest_idle_lose_their_past,
                channels_with_readers_are_never_dropped,
                a_channel_that_waits_for_its_first_message_keeps_its_epoch,
                channels_with_leases_are_not_idle,
                no_position_is_given_twice,
            }
            listing {
                written_channels_are_listed_by_name,
                listing_is_paged,
                internal_channels_are_listed_only_when_asked_for,
                channels_without_messages_are_not_listed,
            }
            model {
                random_histories_agree_with_a_simple_model,
            }
        }
    };
}

/// One test per case: see [`contract!`].
#[doc(hidden)]
#[macro_export]
macro_rules! contract_cases {
    ($make:expr; $($group:ident { $($case:ident),+ $(,)? })+) => {
        $(mod $group {
            #[allow(unused_imports)]
            use super::*;
            $(#[test]
            fn $case() {
                let maker = $crate::contract::Maker::new($make);
                $crate::contract::run(maker, $crate::contract::$group::$case);
            })+
        })+
    };
}
