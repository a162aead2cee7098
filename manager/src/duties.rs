//! What must be done again and again, whoever asks: ends that nobody reports, orders that were lost, records that are owed,
//! last media times, and forgetting. Children of the Manager actor.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use onair_cluster::registry::LeaseView;
use onair_cluster::{RegistryError, Shard, UnixMs};
use tokio::time::{MissedTickBehavior, interval};

use crate::core::Core;
use crate::live_db::MediaNote;
use crate::reports::RowsPurged;
use crate::{debts, ends};

const TICK: Duration = Duration::from_secs(1);
/// Ticks between two notes of media times: a kill makes `ended_at` at most this much too early.
const NOTE_EVERY: u64 = 5;
/// Ticks between two rounds of forgetting, the first after a minute.
const PURGE_EVERY: u64 = 3_600;
const PURGE_AT: u64 = 60;
/// Rows of each kind that one transaction forgets; more rounds follow.
const PURGE_ROWS: usize = 1_000;
/// Leases that one call of the registry returns.
pub(crate) const LEASES_PAGE: usize = 256;
/// Leases that one call ends.
const REAP_MAX: usize = 256;

/// Every second: ends leases that nobody renews, and asks again for ends that were asked for.
pub(crate) async fn watch_leases(core: Arc<Core>) {
    let mut tick = interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        let ticks = join_all(Shard::all().map(|shard| core.registry.tick(shard, REAP_MAX))).await;
        core.note_sweep(&ticks);
        core.restored.note(Shard::all().zip(ticks));
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
    let leases = all_leases(core).await;
    core.note_sweep(&leases);
    let note = |lease: &LeaseView| {
        let last_media_at = lease.facts.last_media_at?;
        Some(MediaNote { session_id: lease.card.session_id, last_media_at })
    };
    let notes: Vec<_> = leases.iter().flatten().flatten().filter_map(note).collect();
    if !notes.is_empty() {
        // Unanswered: noted as such; the next round brings newer times anyway.
        let note = async { core.live_db.note_media(core.terms().await?, &notes).await };
        let _ = core.ask_db(note).await;
    }
}

async fn purge(core: &Core) {
    loop {
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
