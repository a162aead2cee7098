//! Goal: a panic in the Manager actor, wherever it strikes, loses no event and repeats none. Method: the seam below, which
//! exists in test builds only, makes the shipped code panic at a named point; sessions come and go on a real registry.

use std::sync::atomic::{AtomicU32, Ordering};

/// Where a test may let the Manager panic.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Point {
    /// In the handler of the actor's message.
    InHandler,
    /// In a committer, before the Live DB has a batch.
    BeforeCommit,
    /// In a lane, after the commit and before the acknowledgement.
    AfterCommit,
    /// In the task that beats.
    InBeat,
    /// In a lane that is about to reconcile.
    InReconcile,
}

/// How many panics are still due at each point.
#[derive(Debug, Default)]
pub(crate) struct Seam([AtomicU32; 5]);

impl Seam {
    pub(crate) fn arm(&self, point: Point, panics: u32) {
        self.0[point as usize].store(panics, Ordering::SeqCst);
    }

    pub(crate) fn is_disarmed(&self) -> bool {
        self.0.iter().all(|due| due.load(Ordering::SeqCst) == 0)
    }

    pub(crate) fn pass(&self, point: Point) {
        let less = |due: u32| due.checked_sub(1);
        if self.0[point as usize].fetch_update(Ordering::SeqCst, Ordering::SeqCst, less).is_ok() {
            panic!("injected at {point:?}");
        }
    }
}

mod panics;
