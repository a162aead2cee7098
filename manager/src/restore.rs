//! Giving the registry back what it has forgotten: keys and holds, from the Live DB, shard by shard.
//!
//! A registry of our own has forgotten everything at each start, and gets it back before anyone is served. A shared one
//! tells, at each tick, which shards have lost their memory; until a shard has its keys back it answers "recovering" to keys it
//! does not know. Its owner puts them back. Revocations are told again whatever a shard says, since one that was recorded just
//! before a Manager was killed may never have reached the registry: in all shards after our own start, in ours when they are
//! ours under a new term, and when another Manager is gone.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::join_all;
use futures_util::stream::iter;
use onair_cluster::registry::Tick;
use onair_cluster::{LiveKeyId, RegistryError, Shard, UnixMs};
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::ManagerError;
use crate::core::Core;
use crate::parts::RegistryLife;
use crate::reports::{OwnershipChanged, RestoreFailed, ShardRestored};

/// Rows of one page while keys and holds are read back.
const PAGE: usize = 1_000;
/// Records that are on their way to the registry at once: enough to hide its latency, few enough not to crowd out claims.
const PUTS_AT_ONCE: usize = 32;
/// How long a start waits for the first round. What is not done by then is done beside the rest.
const FIRST_ROUND: Duration = Duration::from_secs(5);

/// What is known of each shard's memory.
#[derive(Debug, Default)]
pub(crate) struct Restored {
    state: Mutex<State>,
    news: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// As of its last tick, whether a shard has its keys and holds.
    is_loaded: BTreeMap<Shard, bool>,
    /// Shards that have been told of all revocations since they last had to be.
    told: BTreeSet<Shard>,
}

impl Restored {
    /// Notes what a round of ticks found. Shards that did not answer are as they were.
    pub(crate) fn note(&self, ticks: impl Iterator<Item = (Shard, Result<Tick, RegistryError>)>) {
        let mut state = self.state.lock();
        for (shard, tick) in ticks {
            if let Ok(tick) = tick {
                state.is_loaded.insert(shard, tick.is_loaded);
            }
        }
        if state.wanting().next().is_some() {
            self.news.notify_one();
        }
    }

    /// Takes in what a beat has changed.
    pub(crate) fn on_ownership(&self, changed: &OwnershipChanged) {
        let mut state = self.state.lock();
        if changed.managers_before.is_some_and(|before| changed.managers < before) {
            state.told.clear();
        }
        for owned in &changed.taken {
            state.told.remove(&owned.shard);
        }
        for owned in changed.lost.iter().chain(&changed.given_up) {
            state.is_loaded.remove(&owned.shard);
        }
    }

    /// Shards that lack something, and what.
    fn wanting(&self) -> Vec<(Shard, Lack)> {
        self.state.lock().wanting().collect()
    }

    fn done(&self, shard: Shard, lack: Lack) {
        let mut state = self.state.lock();
        if lack == Lack::Everything {
            state.is_loaded.insert(shard, true);
        }
        state.told.insert(shard);
    }
}

impl State {
    fn wanting(&self) -> impl Iterator<Item = (Shard, Lack)> {
        Shard::all().filter_map(|shard| match self.is_loaded.get(&shard) {
            Some(false) => Some((shard, Lack::Everything)),
            _ if !self.told.contains(&shard) => Some((shard, Lack::Revocations)),
            _ => None,
        })
    }
}

/// What a shard is to be given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lack {
    /// All keys and holds.
    Everything,
    /// Revoked keys only: it has the rest.
    Revocations,
}

/// Puts everything back into a registry of our own. Returns how many keys and holds there are.
pub(crate) async fn all(core: &Core) -> Result<(usize, usize), ManagerError> {
    let (mut keys, mut holds) = (0, 0);
    for shard in Shard::all() {
        keys += put_keys(core, shard, Lack::Everything).await?;
        holds += put_holds(core, shard).await?;
    }
    Ok((keys, holds))
}

/// Looks at a shared registry for the first time. Whatever fails, or takes too long, is done again by [`run`].
pub(crate) async fn first_round(core: &Core) {
    let round = async {
        let shards = core.ownership.to_look_after();
        let ticks = join_all(shards.iter().map(|shard| core.registry.tick(*shard, 0))).await;
        core.note_sweep(&ticks);
        core.restored.note(shards.into_iter().zip(ticks));
        restore_wanting(core).await;
    };
    let _ = tokio::time::timeout(FIRST_ROUND, round).await;
}

/// Restores shards of a shared registry, whenever a tick finds that one lacks something. A child of the Manager actor.
pub(crate) async fn run(core: Arc<Core>) {
    if core.registry_life == RegistryLife::OurOwn {
        return;
    }
    loop {
        core.restored.news.notified().await;
        restore_wanting(&core).await;
    }
}

async fn restore_wanting(core: &Core) {
    let mut wanting = core.restored.wanting();
    // What is lacking is put back by the owner. A shard that does not answer is not worth trying.
    wanting.retain(|(shard, lack)| *lack == Lack::Revocations || core.ownership.term(*shard).is_some());
    if wanting.is_empty()
        || core.are_shards_away() && wanting.iter().all(|(_, lack)| *lack == Lack::Revocations)
    {
        return;
    }
    // Unanswered: nothing is restored now, and the next tick asks again.
    let Ok(newest) = core.ask_db(core.live_db.newest_epochs()).await else { return };
    let known: BTreeSet<Shard> = newest.iter().map(|(room, _)| room.shard()).collect();
    // Together, so that a shard that does not answer keeps no other waiting; the Live DB has few readers and paces them.
    let restore = wanting.into_iter().map(|(shard, lack)| {
        let is_new = !known.contains(&shard);
        async move {
            if let Err(error) = restore(core, shard, lack, is_new).await {
                RestoreFailed { shard, error: &error }.emit();
            }
        }
    });
    iter(restore).buffer_unordered(SHARDS_AT_ONCE).count().await;
}

/// Shards restored together: one for each reader of the Live DB but one, which stays free for requests.
const SHARDS_AT_ONCE: usize = 3;

async fn restore(core: &Core, shard: Shard, lack: Lack, is_new: bool) -> Result<(), ManagerError> {
    // Holds first: a key that is back opens its room.
    let holds = if lack == Lack::Everything { put_holds(core, shard).await? } else { 0 };
    let keys = put_keys(core, shard, lack).await?;
    if lack == Lack::Everything {
        // Last, and only when all of it is there: from here on a key that the shard does not know is refused for good.
        core.registry.recovered(shard, is_new).await?;
    }
    core.restored.done(shard, lack);
    ShardRestored { shard, was_empty: lack == Lack::Everything, is_new, keys, holds }.emit(&core.metrics);
    Ok(())
}

/// Puts the shard's keys into the registry. Ids begin with their shard, so a shard's keys stand together in the Live DB.
async fn put_keys(core: &Core, shard: Shard, lack: Lack) -> Result<usize, ManagerError> {
    let mut put = 0;
    // Two digits alone stand before every id of the shard.
    let mut after = LiveKeyId::parse(&shard.to_string()).ok();
    loop {
        let page = core.ask_db(core.live_db.keys(after.as_ref(), PAGE, UnixMs::now())).await?;
        let is_last =
            page.len() < PAGE || page.last().is_none_or(|last| last.live_key_id.shard() != Some(shard));
        after = page.last().map(|last| last.live_key_id.clone());
        let wanted = page
            .iter()
            .filter(|record| record.live_key_id.shard() == Some(shard))
            .filter(|record| lack == Lack::Everything || record.revoked);
        let mut puts =
            iter(wanted.map(|record| core.registry.put_key(record))).buffer_unordered(PUTS_AT_ONCE);
        while let Some(answer) = puts.next().await {
            answer?;
            put += 1;
        }
        if is_last {
            return Ok(put);
        }
    }
}

/// Puts the shard's holds into the registry. There are never many.
async fn put_holds(core: &Core, shard: Shard) -> Result<usize, ManagerError> {
    let mut put = 0;
    let mut after = None;
    loop {
        let page = core.ask_db(core.live_db.holds(after.as_ref(), PAGE, UnixMs::now())).await?;
        for row in page.iter().filter(|row| row.room_id.shard() == shard) {
            core.registry.put_hold(&row.room_id, &row.hold).await?;
            put += 1;
        }
        let Some(last) = page.last().filter(|_| page.len() == PAGE) else { return Ok(put) };
        after = Some(last.room_id.clone());
    }
}
