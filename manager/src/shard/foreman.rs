//! The foreman: keeps a lane for every shard that is owned, and passes the registry's bell on to those it is rung for. A child
//! of the Manager actor, as are all lanes through it: a panic in one ends the actor, and all are built anew.
//!
//! One bell for all shards, and a lane that is not rung sleeps: 64 idle shards cost one tick each a second, and nothing else.

use std::collections::BTreeSet;
use std::sync::Arc;

use actix::Addr;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use onair_cluster::Shard;

use super::lane;
use crate::core::Core;
use crate::manager::Manager;

/// Works until the actor is gone.
pub(crate) async fn run(core: Arc<Core>, manager: Addr<Manager>) {
    let mut ownership = core.ownership.subscribe();
    let mut bell = core.registry.event_bell();
    let mut rings = bell.borrow_and_update().clone();
    let mut lanes = FuturesUnordered::new();
    let mut working: BTreeSet<Shard> = BTreeSet::new();
    loop {
        ownership.borrow_and_update();
        // Where a lane under an older term has yet to end, its end brings us back here.
        for tenure in core.ownership.tenures(|shard| !working.contains(&shard)) {
            let shard = tenure.owned().shard;
            working.insert(shard);
            let (core, manager) = (Arc::clone(&core), manager.clone());
            lanes.push(async move {
                lane::run(core, manager, tenure).await;
                shard
            });
        }
        tokio::select! {
            Some(ended) = lanes.next() => {
                working.remove(&ended);
                core.desks.of(ended).clear();
            }
            changed = ownership.changed() => if changed.is_err() { return },
            changed = bell.changed() => {
                if changed.is_err() {
                    return;
                }
                let now = bell.borrow_and_update().clone();
                for shard in working.iter().filter(|shard| now.of(**shard) != rings.of(**shard)) {
                    core.desks.of(*shard).wake.notify_one();
                }
                rings = now;
            }
        }
    }
}
