//! Beats: tells the Live DB every second that this Manager lives, takes in what it owns, and hands over what is beyond its
//! share. A child of the Manager actor: when that is gone for good, the beats end, and others take the shards.

use std::sync::Arc;
use std::time::Duration;

use onair_cluster::time::BootTime;
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::ownership::LEASE;
use crate::core::Core;
use crate::live_db::{LiveDbError, ShardTerm};

const BEAT_EVERY: Duration = Duration::from_secs(1);
/// Time for one call: two beats may go unanswered within the lease.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);
/// How long those who work in a shard get to finish before it is given up all the same; then the fence is what stops them.
const FINISH_WITHIN: Duration = Duration::from_secs(2);

/// Beats until we have left.
pub(crate) async fn run(core: Arc<Core>) {
    let mut tick = interval(BEAT_EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        #[cfg(test)]
        core.seam.pass(crate::tests::Point::InBeat);
        // Unanswered: noted as such; what we believe ends by itself.
        let _ = beat(&core).await;
        let excess = core.ownership.excess();
        if !excess.is_empty() {
            hand_over(&core, &excess, Leaving::Not).await;
        }
    }
}

/// One beat, unless we have left.
pub(crate) async fn beat(core: &Core) -> Result<(), LiveDbError> {
    let has_left = core.has_left.lock().await;
    if *has_left {
        return Ok(());
    }
    let sent = BootTime::now();
    let answer = within(core.live_db.beat(&core.manager_id, LEASE)).await;
    core.note_db(&answer);
    if let Some(changed) = core.ownership.on_beat(sent, &answer?) {
        core.restored.on_ownership(&changed);
        changed.emit(&core.metrics);
    }
    Ok(())
}

/// Whether this Manager goes on living.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Leaving {
    Not,
    ForGood,
}

/// Gives up everything and beats no more, so that others take it with their next beat.
pub(crate) async fn leave(core: &Core) {
    // First, and after a beat that is under way: none may follow that would take shards again.
    *core.has_left.lock().await = true;
    if core.outage.is_known() {
        // Nobody would hear of it: our lease ends by itself.
        return;
    }
    hand_over(core, &core.ownership.all(), Leaving::ForGood).await;
}

async fn hand_over(core: &Core, shards: &[ShardTerm], leaving: Leaving) {
    core.ownership.leave(shards);
    // Late: the fence protects what it protects in a freeze.
    let _ = timeout(FINISH_WITHIN, core.ownership.unused(shards)).await;
    let is_leaving = leaving == Leaving::ForGood;
    let answer = within(core.live_db.give_up(&core.manager_id, shards, is_leaving)).await;
    core.note_db(&answer);
    // Unanswered: perhaps they are free, perhaps not. When not, the next beat tells us so, under the same terms.
    let changed = core.ownership.gone(shards);
    core.restored.on_ownership(&changed);
    changed.emit(&core.metrics);
}

async fn within<T>(call: impl Future<Output = Result<T, LiveDbError>>) -> Result<T, LiveDbError> {
    timeout(ANSWER_WITHIN, call)
        .await
        .unwrap_or_else(|_| Err(LiveDbError::Away(format!("no answer in {ANSWER_WITHIN:?}"))))
}
