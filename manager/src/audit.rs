//! The audit log's queue: what was done is noted at once and written aside, so that no end waits for the Live DB.
//!
//! Bounded: with the Live DB away for long, the newest entries beyond [`Audit::MAX`] are lost to the table and counted. Each
//! entry is a line of the log too, so none is lost to the world. Entries that wait when the process is killed are in the log only.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::core::{Core, backoff};
use crate::live_db::{AuditRow, LiveDbError};
use crate::reports::{AuditRefused, Audited};

/// Entries that wait to be written.
#[derive(Debug, Default)]
pub(crate) struct Audit {
    waiting: Mutex<VecDeque<AuditRow>>,
    news: Notify,
    /// The last try failed.
    is_owed: AtomicBool,
}

/// Entries of one transaction.
const BATCH: usize = 200;
/// The queue is looked at this often without news too.
const LOOK_EVERY: Duration = Duration::from_secs(1);

impl Audit {
    /// Entries that may wait. Some 500 bytes each.
    const MAX: usize = 10_000;

    /// Notes what was done. Never waits.
    pub(crate) fn note(&self, core: &Core, row: AuditRow) {
        let mut waiting = self.waiting.lock();
        let is_kept = waiting.len() < Self::MAX;
        Audited { row: &row, is_kept }.emit(&core.metrics);
        if is_kept {
            waiting.push_back(row);
            self.news.notify_one();
        }
    }

    /// Whether entries wait because the Live DB did not take them.
    pub(crate) fn is_owed(&self) -> bool {
        self.is_owed.load(Ordering::Relaxed) && !self.waiting.lock().is_empty()
    }

    fn next(&self) -> Vec<AuditRow> {
        self.waiting.lock().iter().take(BATCH).cloned().collect()
    }

    /// Only the writer takes from the front, and there is one.
    fn written(&self, rows: usize) {
        self.waiting.lock().drain(..rows);
    }
}

/// Writes what is noted. A child of the Manager actor; after a panic its successor finds what was not written.
pub(crate) async fn write(core: Arc<Core>) {
    let mut failures = 0;
    loop {
        if write_batch(&core).await {
            failures = 0;
            if core.audit.waiting.lock().is_empty() {
                let _ = timeout(LOOK_EVERY, core.audit.news.notified()).await;
            }
        } else {
            failures += 1;
            tokio::time::sleep(backoff(failures)).await;
        }
    }
}

/// Writes what is left when the Manager stops, if the Live DB takes it now.
pub(crate) async fn flush(core: &Core) {
    while !core.audit.waiting.lock().is_empty() && write_batch(core).await {}
}

/// False if the Live DB does not answer.
async fn write_batch(core: &Core) -> bool {
    let rows = core.audit.next();
    if rows.is_empty() {
        return true;
    }
    let answer = core.ask_db(core.live_db.add_audit(&rows)).await;
    let is_answered = match answer {
        Ok(()) => {
            core.audit.written(rows.len());
            true
        }
        Err(LiveDbError::Away(_)) => false,
        Err(_) => write_singly(core, &rows).await,
    };
    core.audit.is_owed.store(!is_answered, Ordering::Relaxed);
    is_answered
}

/// One of them is refused: the others are written, and that one is told of.
async fn write_singly(core: &Core, rows: &[AuditRow]) -> bool {
    for row in rows {
        match core.ask_db(core.live_db.add_audit(std::slice::from_ref(row))).await {
            Ok(()) => {}
            Err(LiveDbError::Away(_)) => return false,
            Err(error) => AuditRefused { row, error: &error }.emit(&core.metrics),
        }
        core.audit.written(1);
    }
    true
}
