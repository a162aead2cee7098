//! What must be done again and again, whoever asks: ends that nobody reports, orders that were lost, records that are owed,
//! last media times, and forgetting. What is about a shard is done by its owner. Children of the Manager actor.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use onair_cluster::registry::LeaseView;
use onair_cluster::{RegistryError, Shard, UnixMs};
use tokio::time::{MissedTickBehavior, interval};

use crate::core::{Core, OutboxFigures};
use crate::live_db::MediaNote;
use crate::reports::{FiguresSeen, RowsPurged};
use crate::{debts, ends};

const TICK: Duration = Duration::from_secs(1);
/// Ticks between two notes of media times: a kill makes `ended_at` at most this much too early.
const NOTE_EVERY: u64 = 5;
/// Ticks between two rounds of forgetting, the first after a minute.
const PURGE_EVERY: u64 = 3_600;
const PURGE_AT: u64 = 60;
/// Rows of each kind that one transaction forgets; more rounds follow.
const PURGE_ROWS: usize = 1_000;
/// Whoever owns this shard forgets for all.
const PURGE_SHARD: u8 = 0;
/// Leases that one call of the registry returns.
pub(crate) const LEASES_PAGE: usize = 256;
/// Leases that one call ends.
const REAP_MAX: usize = 256;
/// How often the outbox is counted, for reports.
const OUTBOX_EVERY: Duration = Duration::from_secs(5);

/// Every second: ends leases that nobody renews, and sees how far the shards are. Ending what is dead needs no ownership: the
/// registry does it in one step, and once. So it goes on while the Live DB is away and nobody knows whose the shards are.
pub(crate) async fn watch_shards(core: Arc<Core>) {
    let mut tick = interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        let shards = core.ownership.to_look_after();
        let before: Vec<u64> = shards.iter().map(|shard| core.desks.of(*shard).acknowledged()).collect();
        let ticks = join_all(shards.iter().map(|shard| core.registry.tick(*shard, REAP_MAX))).await;
        let now = UnixMs::now();
        for ((shard, before), tick) in shards.iter().zip(before).zip(&ticks) {
            if let Ok(tick) = tick {
                core.desks.of(*shard).on_tick(tick.n, before, now);
            }
        }
        core.note_sweep(&ticks);
        core.restored.note(shards.into_iter().zip(ticks));
        report(&core);
    }
}

fn report(core: &Core) {
    let (managers, shards) = core.ownership.figures();
    let waiting = core.desks.waiting_since();
    FiguresSeen { managers, shards, waiting, outbox: *core.outbox.borrow(), now: UnixMs::now() }
        .emit(&core.metrics);
}

/// Every second: asks again for ends that were asked for.
pub(crate) async fn ask_again(core: Arc<Core>) {
    let mut tick = interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        ends::ask_again(&core).await;
    }
}

/// Every second: pays what the Live DB or the registry is owed. Every few: notes media times. Every hour: forgets.
pub(crate) async fn keep_records(core: Arc<Core>) {
    let mut tick = interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut count: u64 = 0;
    loop {
        tick.tick().await;
        count += 1;
        debts::pay(&core).await;
        if count.is_multiple_of(NOTE_EVERY) {
            note_media(&core).await;
        }
        if count % PURGE_EVERY == PURGE_AT {
            purge(&core).await;
        }
    }
}

/// Every few seconds: counts what waits in the outbox.
pub(crate) async fn look_at_outbox(core: Arc<Core>) {
    let mut tick = interval(OUTBOX_EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        let figures = async {
            let unshipped = core.live_db.unshipped_count().await?;
            let oldest = core.live_db.oldest_unshipped().await?;
            Ok(OutboxFigures { unshipped, oldest })
        };
        // Unanswered: what was true last is still the best guess.
        if let Ok(figures) = core.ask_db(figures).await {
            core.outbox.send_replace(figures);
        }
    }
}

/// All leases of each shard, read together.
pub(crate) async fn all_leases(core: &Core) -> Vec<Result<Vec<LeaseView>, RegistryError>> {
    join_all(Shard::all().map(|shard| leases_of(core, shard))).await
}

async fn leases_of(core: &Core, shard: Shard) -> Result<Vec<LeaseView>, RegistryError> {
    let mut all = Vec::new();
    loop {
        let after = all.last().map(|lease: &LeaseView| &lease.card.room_id);
        let page = core.registry.leases(shard, after, LEASES_PAGE).await?;
        let is_last = page.len() < LEASES_PAGE;
        all.extend(page);
        if is_last {
            return Ok(all);
        }
    }
}

async fn note_media(core: &Core) {
    let terms = core.ownership.terms();
    if terms.is_empty() || core.outage.is_known() {
        return;
    }
    // A shard that does not answer is noted by its tick.
    let leases = join_all(terms.iter().map(|owned| leases_of(core, owned.shard))).await;
    let note = |lease: &LeaseView| {
        let last_media_at = lease.facts.last_media_at?;
        Some(MediaNote { session_id: lease.card.session_id, last_media_at })
    };
    let notes: Vec<_> = leases.iter().flatten().flatten().filter_map(note).collect();
    if !notes.is_empty() {
        // Unanswered: noted as such; the next round brings newer times anyway.
        let _ = core.ask_db(core.live_db.note_media(&terms, &notes)).await;
    }
}

async fn purge(core: &Core) {
    loop {
        let is_ours = Shard::new(PURGE_SHARD).is_some_and(|shard| core.ownership.term(shard).is_some());
        if !is_ours {
            return;
        }
        let call = core.live_db.purge(&core.config.retention, UnixMs::now(), PURGE_ROWS);
        let Ok(purged) = core.ask_db(call).await else { return };
        if purged.total() == 0 {
            return;
        }
        RowsPurged { purged }.emit();
        // Between two rounds, others may have the writer.
        tokio::time::sleep(TICK).await;
    }
}
