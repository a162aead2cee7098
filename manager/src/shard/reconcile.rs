//! Reconcile: compares what the registry knows of a shard with what the Live DB has, and repairs what no event will. Part of
//! the shard's own lane, so that no event is stored meanwhile.
//!
//! In this order: the open sessions of the Live DB; a snapshot of the leases, which says how many events tell of them; all
//! events up to that number; the open sessions again. What is wrong before and after is wrong for good. Repairs are events
//! like those that were lost, with the same ids, so that whatever comes twice changes nothing twice.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use onair_cluster::events::EndReason;
use onair_cluster::registry::{LeaseView, Order, ShardSnapshot};
use onair_cluster::{Event, EventKind, RoomId, SessionId, Shard, UnixMs};

use super::lane::{Lane, Looked};
use crate::live_db::SessionRow;
use crate::reports::{Reconciled, Repair, Repaired};

/// Why a shard is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    /// It is ours under a new term.
    NewTerm,
    /// Its events have a gap, or their numbers fell.
    Numbers,
    /// It is time.
    Routine,
}

/// It could not be done now.
#[derive(Debug)]
pub(super) struct Unreconciled;

/// How soon to look again, at the earliest, when it is too early to call a session lost.
const LATER: Duration = Duration::from_secs(2);
/// What to tell a streamer whose session is over although it is on air.
const NOTE: &str = "the end of this session is on record already";

/// One comparison and its repairs. Returns when the next should be, if earlier than usual.
pub(super) async fn run(lane: &mut Lane, why: Why) -> Result<Option<Duration>, Unreconciled> {
    let began = Instant::now();
    let before = open_sessions(lane).await?;
    let snapshot = lane.core.registry.snapshot(lane.shard()).await.map_err(|_| Unreconciled)?;
    let mut suspects = Suspects::of(&before, &snapshot);
    // A registry that is behind what we have read has forgotten something, or we asked an old primary: its next tick, and a
    // floor, tell which.
    let is_behind = lane.acknowledged.is_some_and(|n| snapshot.n < n);
    let may_be_lost = snapshot.is_loaded && snapshot.floor.is_none() && !is_behind;
    let next = (!suspects.lost.is_empty() && !may_be_lost).then(|| {
        let floor = snapshot.floor.map_or(0, |floor| floor.since(lane.now()));
        Duration::from_millis(floor).max(LATER)
    });
    if !may_be_lost {
        suspects.lost.clear();
    }
    let mut repairs = Vec::new();
    if !suspects.is_empty() {
        // What is only late is no loss.
        catch_up(lane, snapshot.n).await?;
        let after = open_sessions(lane).await?;
        repairs = repairs_for(lane, suspects, &after).await?;
        carry_out(lane, &repairs).await?;
    }
    Reconciled {
        owned: lane.tenure.owned(),
        why,
        leases: snapshot.leases.len(),
        open: before.len(),
        repairs: repairs.len(),
        took: began.elapsed(),
    }
    .emit(&lane.core.metrics);
    lane.core.reconciled.note(lane.now(), &repairs);
    Ok(next)
}

async fn open_sessions(lane: &Lane) -> Result<Vec<SessionRow>, Unreconciled> {
    let core = &lane.core;
    core.ask_db(core.live_db.open_sessions(lane.shard())).await.map_err(|_| Unreconciled)
}

/// What looks wrong at first sight.
#[derive(Debug, Default)]
struct Suspects {
    /// Open in the Live DB, and nobody has the room.
    lost: Vec<SessionRow>,
    /// On air, and not open in the Live DB.
    unknown: Vec<LeaseView>,
    /// Live, and not so in the Live DB.
    not_live: Vec<LeaseView>,
}

impl Suspects {
    fn of(open: &[SessionRow], snapshot: &ShardSnapshot) -> Self {
        let rooms: BTreeSet<&RoomId> = snapshot.leases.iter().map(|lease| &lease.card.room_id).collect();
        let open_ones: BTreeMap<SessionId, &SessionRow> =
            open.iter().map(|row| (row.card.session_id, row)).collect();
        let mut suspects = Self {
            // Where another session has the room, its grant is what ends this one.
            lost: open.iter().filter(|row| !rooms.contains(&row.card.room_id)).cloned().collect(),
            ..Self::default()
        };
        for lease in &snapshot.leases {
            match open_ones.get(&lease.card.session_id) {
                None => suspects.unknown.push(lease.clone()),
                Some(row) if lease.facts.live_at.is_some() && row.facts.live_at.is_none() => {
                    suspects.not_live.push(lease.clone());
                }
                Some(_) => {}
            }
        }
        suspects
    }

    fn is_empty(&self) -> bool {
        self.lost.is_empty() && self.unknown.is_empty() && self.not_live.is_empty()
    }
}

/// Stores all events up to `n`.
async fn catch_up(lane: &mut Lane, n: u64) -> Result<(), Unreconciled> {
    let mut reached = 0;
    loop {
        match lane.look(n).await {
            Looked::Nothing => return Ok(()),
            Looked::Stored(last) if last >= n => return Ok(()),
            // The same again: they cannot be acknowledged, so what comes behind them cannot be seen.
            Looked::Stored(last) if last <= reached => return Err(Unreconciled),
            Looked::Stored(last) => reached = last,
            Looked::Failed | Looked::Over => return Err(Unreconciled),
        }
    }
}

/// What is still wrong, now that all events are stored that could have told.
async fn repairs_for(
    lane: &Lane,
    suspects: Suspects,
    after: &[SessionRow],
) -> Result<Vec<Repair>, Unreconciled> {
    let open: BTreeMap<SessionId, &SessionRow> = after.iter().map(|row| (row.card.session_id, row)).collect();
    let mut repairs = Vec::new();
    for row in suspects.lost {
        if let Some(row) = open.get(&row.card.session_id) {
            repairs.push(Repair::Lost((*row).clone()));
        }
    }
    for lease in suspects.unknown {
        if open.contains_key(&lease.card.session_id) {
            continue;
        }
        let core = &lane.core;
        let known = core.ask_db(core.live_db.session(&lease.card.session_id)).await;
        match known.map_err(|_| Unreconciled)? {
            None => repairs.push(Repair::Granted(lease)),
            Some(row) if row.end.is_some() => repairs.push(Repair::Over(lease)),
            Some(_) => {}
        }
    }
    for lease in suspects.not_live {
        if open.get(&lease.card.session_id).is_some_and(|row| row.facts.live_at.is_none()) {
            repairs.push(Repair::Live(lease));
        }
    }
    Ok(repairs)
}

async fn carry_out(lane: &mut Lane, repairs: &[Repair]) -> Result<(), Unreconciled> {
    let (shard, now) = (lane.shard(), lane.now());
    let events: Vec<Event> = repairs.iter().flat_map(|repair| events_of(repair, shard, now)).collect();
    if !lane.tenure.is_in_force() {
        return Err(Unreconciled);
    }
    if !events.is_empty() {
        lane.store(events).await.map_err(|_| Unreconciled)?;
    }
    for repair in repairs {
        if let Repair::Over(lease) = repair {
            end_again(lane, lease).await?;
        }
        Repaired { owned: lane.tenure.owned(), repair }.emit(&lane.core.metrics);
    }
    Ok(())
}

/// The events that were lost. Numbered 0, since the registry did not number them.
fn events_of(repair: &Repair, shard: Shard, now: UnixMs) -> Vec<Event> {
    let of_lease = |lease: &LeaseView, kind: EventKind, at: UnixMs| Event {
        n: 0,
        shard,
        at,
        kind,
        session: lease.card.clone(),
        facts: lease.facts.clone(),
    };
    match repair {
        Repair::Lost(row) => {
            let (card, facts) = (row.card.clone(), row.facts.clone());
            let last = facts.last_media_at.unwrap_or(card.granted_at).min(now);
            let ended_at = last.max(card.granted_at);
            let kind = EventKind::Ended { reason: EndReason::Lost, ended_at };
            vec![Event { n: 0, shard, at: now, kind, session: card, facts }]
        }
        Repair::Granted(lease) => {
            let granted = of_lease(lease, EventKind::Granted, lease.card.granted_at);
            let live = lease.facts.live_at.map(|at| of_lease(lease, EventKind::Live, at));
            [granted].into_iter().chain(live).collect()
        }
        Repair::Live(lease) => {
            lease.facts.live_at.map(|at| of_lease(lease, EventKind::Live, at)).into_iter().collect()
        }
        Repair::Over(_) => Vec::new(),
    }
}

/// The session came back after its end was recorded; `ended` is final, so its encoder has to come back as a new one. An order is
/// for a room: it is given only while the lease is still that session's.
async fn end_again(lane: &Lane, lease: &LeaseView) -> Result<(), Unreconciled> {
    let registry = &lane.core.registry;
    let room = &lease.card.room_id;
    let now = registry.lease(room).await.map_err(|_| Unreconciled)?;
    let is_still = now.is_some_and(|now| now.card.session_id == lease.card.session_id && now.order.is_none());
    if is_still {
        let order = Order { reason: EndReason::Lost, note: NOTE.to_owned() };
        registry.order(room, &order).await.map_err(|_| Unreconciled)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
