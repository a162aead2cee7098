//! Each rule on its own.

use onair_cluster::events::EndReason;
use onair_cluster::{Event, SessionCard, UnixMs};

use super::fixtures::{card, ended, facts, granted, live};
use super::{BroadcastWrite, Changes, changes, lost};
use crate::live_db::{Outcome, SessionEnd, SessionRow, Totals};

fn row(card: &SessionCard, live_at: Option<u64>, end: Option<SessionEnd>) -> SessionRow {
    SessionRow { card: card.clone(), facts: facts(live_at, live_at, 1), end }
}

fn end(at: u64, reason: EndReason) -> SessionEnd {
    SessionEnd { ended_at: UnixMs(at), detected_at: UnixMs(at + 5), reason }
}

fn told(changes: &Changes) -> Vec<&str> {
    changes.messages.iter().map(|out| out.message.event_id.rsplit('/').next().unwrap()).collect()
}

fn one(on_record: Vec<SessionRow>, event: Event) -> Changes {
    changes(on_record, &[event])
}

#[test]
fn a_grant_opens_a_row_uses_its_key_and_tells_nobody() {
    let card = card("r", 10);
    let done = one(vec![], granted(&card));
    assert_eq!(done.outcomes, [Outcome::Applied]);
    assert_eq!(
        done.inserts[0].row,
        SessionRow { card: card.clone(), facts: facts(None, None, 0), end: None }
    );
    assert_eq!(done.inserts[0].broadcast, BroadcastWrite::Nothing);
    assert_eq!(done.keys_used[&card.live_key_id], UnixMs(10));
    assert_eq!((told(&done).len(), done.updates.len(), done.totals.len()), (0, 0, 0));
    assert_eq!(done.positions[&card.room_id.shard()], 1);
}

#[test]
fn what_is_on_record_makes_repeats() {
    let card = card("r", 10);
    let over = row(&card, Some(12), Some(end(20, EndReason::Unpublished)));
    for event in [granted(&card), live(&card, 12), ended(&card, 30, facts(Some(12), None, 9))] {
        let done = one(vec![over.clone()], event);
        assert_eq!(done.outcomes, [Outcome::Repeat]);
        assert!(done.updates.is_empty() && done.inserts.is_empty() && done.messages.is_empty());
    }
}

#[test]
fn the_first_media_starts_the_broadcast() {
    let card = card("r", 10);
    let done = one(vec![row(&card, None, None)], live(&card, 12));
    assert_eq!(done.updates[0].row.facts.live_at, Some(UnixMs(12)));
    assert_eq!(done.updates[0].broadcast, BroadcastWrite::Insert);
    assert_eq!(told(&done), ["live"]);
    assert_eq!(done.totals[&card.room_id].1, Totals { broadcasts: 1, live_ms: 0, bytes_in: 0 });
}

#[test]
fn live_alone_opens_and_starts() {
    let card = card("r", 10);
    let done = one(vec![], live(&card, 12));
    assert_eq!((done.inserts.len(), done.updates.len()), (1, 0));
    assert_eq!(done.inserts[0].broadcast, BroadcastWrite::Insert);
    assert_eq!(told(&done), ["live"]);
}

#[test]
fn an_end_closes_the_broadcast_and_counts_it() {
    let card = card("r", 10);
    let done = one(vec![row(&card, Some(12), None)], ended(&card, 20, facts(Some(12), Some(19), 700)));
    assert_eq!(done.updates[0].row.end, Some(end(20, EndReason::Disconnected)));
    assert_eq!(done.updates[0].broadcast, BroadcastWrite::End);
    assert_eq!(told(&done), ["ended"]);
    assert_eq!(done.totals[&card.room_id].1, Totals { broadcasts: 0, live_ms: 8, bytes_in: 700 });
}

#[test]
fn an_end_alone_writes_everything() {
    let card = card("r", 10);
    let done = one(vec![], ended(&card, 20, facts(Some(12), Some(19), 700)));
    assert_eq!(done.inserts[0].broadcast, BroadcastWrite::Insert);
    assert!(done.inserts[0].row.end.is_some());
    assert_eq!(told(&done), ["live", "ended"]);
    assert_eq!(done.totals[&card.room_id].1, Totals { broadcasts: 1, live_ms: 8, bytes_in: 700 });
}

#[test]
fn an_end_that_does_not_know_the_start_keeps_the_one_on_record() {
    let card = card("r", 10);
    let done = one(vec![row(&card, Some(12), None)], ended(&card, 20, facts(None, None, 0)));
    let facts = &done.updates[0].row.facts;
    assert_eq!((facts.live_at, facts.last_media_at), (Some(UnixMs(12)), Some(UnixMs(12))));
}

#[test]
fn a_start_that_comes_after_the_end_fills_it_in() {
    let card = card("r", 10);
    let over =
        SessionRow { facts: facts(None, Some(19), 700), ..row(&card, None, Some(end(20, EndReason::Crash))) };
    let done = one(vec![over], live(&card, 12));
    let write = &done.updates[0];
    assert_eq!((write.row.facts.live_at, write.row.facts.bytes_in), (Some(UnixMs(12)), 700));
    assert_eq!(write.row.facts.last_media_at, Some(UnixMs(19)));
    assert_eq!(write.broadcast, BroadcastWrite::Insert);
    assert_eq!(told(&done), ["live", "ended"]);
}

#[test]
fn a_session_that_never_went_live_is_told_to_nobody() {
    let card = card("r", 10);
    let done = changes(vec![], &[granted(&card), ended(&card, 20, facts(None, None, 0))]);
    assert_eq!(done.inserts.len(), 1, "one row, however many events");
    assert_eq!(done.inserts[0].broadcast, BroadcastWrite::Nothing);
    assert!(done.messages.is_empty() && done.totals.is_empty());
}

#[test]
fn a_newer_grant_closes_what_was_left_open_and_goes_first() {
    let (older, newer) = (card("r", 10), card("r", 30));
    let done = one(vec![row(&older, Some(12), None)], granted(&newer));
    let superseded =
        SessionEnd { ended_at: UnixMs(30), detected_at: UnixMs(30), reason: EndReason::Superseded };
    assert_eq!(done.updates[0].row.end, Some(superseded));
    assert_eq!(done.inserts[0].row.card, newer);
    assert_eq!(told(&done), ["ended"]);
}

#[test]
fn an_older_session_does_not_open_under_a_newer_but_its_end_is_recorded() {
    let (older, newer) = (card("r", 10), card("r", 30));
    let on_record = || vec![row(&newer, None, None)];
    assert_eq!(one(on_record(), granted(&older)).outcomes, [Outcome::Fenced]);
    let done = one(on_record(), live(&older, 12));
    assert_eq!(done.outcomes, [Outcome::Fenced]);
    assert!(done.inserts.is_empty() && done.messages.is_empty());
    let done = one(on_record(), ended(&older, 20, facts(Some(12), None, 1)));
    assert_eq!((done.outcomes[0].clone(), done.updates.len(), told(&done).len()), (Outcome::Applied, 0, 2));
}

#[test]
fn a_whole_life_in_one_batch_is_one_row() {
    let card = card("r", 10);
    let end = ended(&card, 20, facts(Some(12), Some(19), 700));
    let done = changes(vec![], &[granted(&card), live(&card, 12), end.clone(), end]);
    assert_eq!(done.outcomes[3], Outcome::Repeat);
    assert_eq!((done.inserts.len(), told(&done)), (1, vec!["live", "ended"]));
}

#[test]
fn what_is_lost_ends_at_its_last_media_or_its_grant() {
    let (seen, unseen) = (card("r", 10), card("s", 11));
    let done = lost(vec![row(&seen, Some(12), None), row(&unseen, None, None)], UnixMs(99));
    let ends: Vec<_> = done.updates.iter().map(|write| write.row.end.unwrap()).collect();
    assert!(ends.iter().all(|end| end.reason == EndReason::Lost && end.detected_at == UnixMs(99)));
    assert_eq!((ends[0].ended_at, ends[1].ended_at), (UnixMs(12), UnixMs(11)));
    assert_eq!(told(&done), ["ended"]);
}

#[test]
fn a_repair_moves_no_position() {
    let card = card("r", 10);
    let repair = Event { n: 0, ..ended(&card, 20, facts(None, None, 0)) };
    assert!(one(vec![], repair).positions.is_empty());
}
