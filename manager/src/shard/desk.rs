//! The desks: for each shard, where its lane is woken, how far it is, and what it is late with. Live in `Core`, so that those
//! who wake need not know whether a lane is there.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use onair_cluster::{Shard, UnixMs};
use tokio::sync::Notify;

/// All desks.
#[derive(Debug)]
pub(crate) struct Desks(Box<[Desk]>);

/// The desk of one shard.
#[derive(Debug, Default)]
pub(crate) struct Desk {
    /// There may be something to do.
    pub(crate) wake: Notify,
    /// All events up to this number are acknowledged; 0 when that is not known.
    acknowledged: AtomicU64,
    /// The number of the newest event, as of the last tick.
    newest: AtomicU64,
    /// Whether the shard was found to be behind that number.
    is_rewound: AtomicBool,
    /// Since when something waits, in Unix milliseconds; 0 when nothing does.
    waiting_since: AtomicU64,
}

impl Default for Desks {
    fn default() -> Self {
        Self(Shard::all().map(|_| Desk::default()).collect())
    }
}

impl Desks {
    pub(crate) fn of(&self, shard: Shard) -> &Desk {
        &self.0[shard.index()]
    }

    /// Since when the oldest event waits that is known to.
    pub(crate) fn waiting_since(&self) -> Option<UnixMs> {
        self.0.iter().filter_map(Desk::waiting_since).min()
    }
}

impl Desk {
    pub(crate) fn acknowledged(&self) -> u64 {
        self.acknowledged.load(Ordering::Relaxed)
    }

    pub(crate) fn set_acknowledged(&self, n: u64) {
        self.acknowledged.store(n, Ordering::Relaxed);
    }

    /// The number of the newest event, as of the last tick.
    pub(crate) fn newest(&self) -> u64 {
        self.newest.load(Ordering::Relaxed)
    }

    /// The shard's newest event is `n`; all that were acknowledged `before` it was asked are not newer, unless it has
    /// forgotten some.
    pub(crate) fn on_tick(&self, n: u64, before: u64, now: UnixMs) {
        self.newest.store(n, Ordering::Relaxed);
        if n < before {
            self.is_rewound.store(true, Ordering::Relaxed);
        } else if n <= self.acknowledged() {
            self.set_waiting(None);
            return;
        } else if self.waiting_since().is_none() {
            self.set_waiting(Some(now));
        }
        self.wake.notify_one();
    }

    /// Whether it was found rewound since the last time this was asked.
    pub(crate) fn take_rewound(&self) -> bool {
        self.is_rewound.swap(false, Ordering::Relaxed)
    }

    pub(crate) fn set_waiting(&self, since: Option<UnixMs>) {
        self.waiting_since.store(since.map_or(0, |at| at.0), Ordering::Relaxed);
    }

    fn waiting_since(&self) -> Option<UnixMs> {
        Some(UnixMs(self.waiting_since.load(Ordering::Relaxed))).filter(|at| at.0 > 0)
    }

    /// Nobody here has anything to do with the shard any more.
    pub(crate) fn clear(&self) {
        self.set_acknowledged(0);
        self.set_waiting(None);
        self.take_rewound();
    }
}
