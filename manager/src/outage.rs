//! Outage: whether the Live DB is known to be away. While it is, nobody waits for it: a request fails at once, and a lane sleeps
//! until it is back. Known means asked: one call that was not answered is a doubt, which a probe settles.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::timeout;

use crate::core::Core;
use crate::live_db::LiveDbError;
use crate::reports::{OutageBegan, OutageEnded};

/// Time for a probe.
const PROBE_WITHIN: Duration = Duration::from_secs(1);
/// Pause between two probes while it is away.
const PROBE_EVERY: Duration = Duration::from_millis(500);

/// What is known.
#[derive(Debug)]
pub(crate) struct Outage {
    is_known: watch::Sender<bool>,
    doubt: Notify,
}

impl Default for Outage {
    fn default() -> Self {
        Self { is_known: watch::Sender::new(false), doubt: Notify::new() }
    }
}

impl Outage {
    /// A call was not answered.
    pub(crate) fn doubt(&self) {
        self.doubt.notify_one();
    }

    pub(crate) fn is_known(&self) -> bool {
        *self.is_known.borrow()
    }

    /// Resolves when it is known to be away.
    pub(crate) async fn begun(&self) {
        // Cannot fail: the sender is ours.
        let _ = self.is_known.subscribe().wait_for(|is_known| *is_known).await;
    }

    /// Resolves when it is not known to be away.
    pub(crate) async fn over(&self) {
        let _ = self.is_known.subscribe().wait_for(|is_known| !*is_known).await;
    }
}

/// Settles doubts, for as long as it takes. A child of the Manager actor.
pub(crate) async fn settle_doubts(core: Arc<Core>) {
    loop {
        // After a rebuild an outage may be known already.
        if !core.outage.is_known() {
            core.outage.doubt.notified().await;
        }
        while let Err(LiveDbError::Away(_)) = probe(&core).await {
            if !core.outage.is_known.send_replace(true) {
                OutageBegan.emit();
            }
            tokio::time::sleep(PROBE_EVERY.mul_f64(rand::random_range(0.5..1.0))).await;
        }
        if core.outage.is_known.send_replace(false) {
            OutageEnded.emit();
        }
    }
}

async fn probe(core: &Core) -> Result<(), LiveDbError> {
    let answer = timeout(PROBE_WITHIN, core.live_db.check()).await;
    let answer = answer.unwrap_or_else(|_| Err(LiveDbError::Away(format!("no answer in {PROBE_WITHIN:?}"))));
    core.note_answer(&answer);
    answer
}
