//! Goal: what looks wrong is found, and nothing else. Method: leases and open sessions side by side.

use onair_cluster::{Epoch, Facts, LiveKeyId, NodeId, ProducerId, SessionCard};

use super::*;

fn card(name: &str, epoch: u64) -> SessionCard {
    let room_id = RoomId::parse(name).unwrap();
    SessionCard {
        session_id: SessionId::random(),
        live_key_id: LiveKeyId::random(&room_id),
        producer_id: ProducerId::parse("p").unwrap(),
        epoch: Epoch(epoch),
        node_id: NodeId::parse("n").unwrap(),
        client_addr: "127.0.0.1".parse().unwrap(),
        client_agent: String::new(),
        granted_at: UnixMs(1_000),
        room_id,
    }
}

fn facts(live_at: Option<u64>) -> Facts {
    Facts { live_at: live_at.map(UnixMs), last_media_at: live_at.map(UnixMs), ..Facts::default() }
}

fn row(card: &SessionCard, live_at: Option<u64>) -> SessionRow {
    SessionRow { card: card.clone(), facts: facts(live_at), end: None }
}

fn lease(card: &SessionCard, live_at: Option<u64>) -> LeaseView {
    let (card, facts) = (card.clone(), facts(live_at));
    LeaseView { card, facts, until: UnixMs(9_000), confirmed: true, order: None }
}

fn snapshot(leases: Vec<LeaseView>) -> ShardSnapshot {
    ShardSnapshot { n: 9, leases, floor: None, is_loaded: true }
}

#[test]
fn what_agrees_is_not_suspected() {
    let (granted, live) = (card("a", 1), card("b", 1));
    let open = [row(&granted, None), row(&live, Some(2_000))];
    let suspects = Suspects::of(&open, &snapshot(vec![lease(&granted, None), lease(&live, Some(2_000))]));
    assert!(suspects.is_empty(), "{suspects:?}");
    assert!(Suspects::of(&[], &snapshot(vec![])).is_empty());
}

#[test]
fn each_kind_of_disagreement_is_found() {
    let (gone, unknown, silent) = (card("a", 1), card("b", 1), card("c", 1));
    let open = [row(&gone, Some(2_000)), row(&silent, None)];
    let leases = vec![lease(&unknown, Some(2_000)), lease(&silent, Some(2_000))];
    let suspects = Suspects::of(&open, &snapshot(leases));
    assert_eq!(suspects.lost, [row(&gone, Some(2_000))]);
    assert_eq!(suspects.unknown, [lease(&unknown, Some(2_000))]);
    assert_eq!(suspects.not_live, [lease(&silent, Some(2_000))]);
}

#[test]
fn a_session_whose_room_another_has_by_now_is_not_lost_but_superseded_by_its_grant() {
    let (older, newer) = (card("a", 1), card("a", 2));
    let suspects = Suspects::of(&[row(&older, None)], &snapshot(vec![lease(&newer, None)]));
    assert!(suspects.lost.is_empty());
    assert_eq!(suspects.unknown, [lease(&newer, None)]);
}

#[test]
fn repairs_are_the_events_that_were_lost() {
    let it = card("a", 1);
    let (shard, now) = (it.room_id.shard(), UnixMs(5_000));
    let ids = |repair: &Repair| -> Vec<String> {
        let events = events_of(repair, shard, now);
        assert!(events.iter().all(|event| event.n == 0 && event.shard == shard));
        events.iter().map(|event| event.kind.name().to_owned()).collect()
    };
    assert_eq!(ids(&Repair::Granted(lease(&it, None))), ["granted"]);
    assert_eq!(ids(&Repair::Granted(lease(&it, Some(2_000)))), ["granted", "live"]);
    assert_eq!(ids(&Repair::Live(lease(&it, Some(2_000)))), ["live"]);
    assert_eq!(ids(&Repair::Over(lease(&it, Some(2_000)))), Vec::<String>::new());
    assert_eq!(ids(&Repair::Lost(row(&it, Some(2_000)))), ["ended"]);
}

#[test]
fn a_lost_session_ended_with_its_last_media_never_before_its_grant_nor_in_the_future() {
    let it = card("a", 1);
    let ended_at = |last: Option<u64>| match &events_of(
        &Repair::Lost(row(&it, last)),
        it.room_id.shard(),
        UnixMs(5_000),
    )[0]
    .kind
    {
        EventKind::Ended { reason: EndReason::Lost, ended_at } => ended_at.0,
        other => panic!("{other:?}"),
    };
    assert_eq!(ended_at(Some(2_000)), 2_000);
    assert_eq!(ended_at(None), 1_000);
    assert_eq!(ended_at(Some(9_000)), 5_000);
    assert_eq!(ended_at(Some(500)), 1_000);
}
