//! Goal: every Live DB keeps the same promises. Method: one list of cases over `dyn LiveDb`, run for each store; each case
//! gets a fresh one.

mod contract;

/// Runs every case of the contract on a store that `$open` makes. What `$open` returns beside the store lives as long.
macro_rules! hold_to_the_contract {
    ($store:ident, $open:expr, [$($module:ident :: $case:ident),* $(,)?]) => {
        mod $store {
            $(
                #[tokio::test]
                async fn $case() {
                    let (db, _guard) = $open.await;
                    super::contract::$module::$case(&db).await;
                }
            )*
        }
    };
}

macro_rules! all_cases {
    ($store:ident, $open:expr) => {
        hold_to_the_contract!(
            $store,
            $open,
            [
                access::a_token_reads_back_until_it_is_revoked_or_ends,
                access::there_are_no_more_valid_tokens_than_may_be,
                access::tokens_are_listed_with_their_last_use,
                access::entries_are_kept_once_and_come_newest_first,
                access::entries_are_found_by_what_one_looks_for,
                access::old_tokens_and_entries_are_forgotten,
                access::producers_are_listed_by_id_page_by_page,
                access::keys_are_listed_newest_first_by_room_producer_and_state,
                access::a_key_is_shortened_and_never_lengthened,
                access::broadcasts_are_found_by_when_they_began,
                addresses::a_producer_has_one_room_for_ever,
                addresses::a_room_of_another_producer_is_refused,
                addresses::a_key_reads_back_as_it_was_written,
                addresses::one_key_too_many_retires_the_one_idle_longest,
                addresses::a_key_on_air_is_never_retired,
                addresses::expired_and_revoked_keys_take_no_place,
                addresses::revoking_twice_keeps_the_first_time,
                addresses::keys_and_holds_are_listed_page_by_page_until_they_expire,
                addresses::a_denied_key_is_listed_among_the_others_until_it_may_be_forgotten,
                events::a_session_is_told_from_grant_to_end,
                events::repeated_events_change_nothing,
                events::ended_alone_writes_session_broadcast_and_both_messages,
                events::live_after_ended_only_fills_in_the_start,
                events::a_session_that_never_went_live_is_no_broadcast,
                events::any_order_of_a_sessions_events_ends_in_the_same_rows,
                events::a_room_has_one_open_session,
                events::an_older_session_does_not_open_under_a_newer_one,
                events::a_refused_event_is_quarantined_and_the_rest_goes_on,
                events::a_number_no_column_holds_is_quarantined_too,
                events::a_batch_of_many_rooms_reads_back_as_it_was_told,
                ledger::nothing_is_written_under_a_term_that_is_not_ours,
                ledger::the_last_event_of_each_shard_is_known,
                ledger::a_quarantined_event_moves_the_position_too,
                ledger::open_sessions_are_found_by_their_shard,
                ledger::messages_are_numbered_per_shard_and_marked_once,
                ledger::what_is_not_shipped_is_kept_while_somebody_ships,
                ledger::totals_are_counted_as_it_happens_and_outlive_the_history,
                ledger::a_text_that_no_column_holds_is_no_reason_to_stop,
                upkeep::sessions_left_open_are_closed_lost_once,
                upkeep::last_media_is_noted_for_open_sessions_only,
                upkeep::what_is_too_old_is_forgotten_and_nothing_else,
                history::broadcasts_come_newest_first_page_by_page,
                history::filters_narrow_the_list,
                history::the_newest_epoch_of_each_shard_is_known,
            ]
        );
    };
}

all_cases!(sqlite, crate::contract::stores::sqlite());
all_cases!(postgres, crate::contract::stores::postgres());
