//! What happens between the Manager and its Live DB.

use std::time::Duration;

use onair_cluster::{Event, UnixMs};
use tracing::{debug, error, info, warn};

use crate::live_db::{LiveDbError, Outcome, Purged};
use crate::metrics::{EventLabels, Fate, KindLabel, ManagerMetrics};

/// A batch of events is in the Live DB.
pub(crate) struct BatchStored<'a> {
    pub(crate) events: &'a [Event],
    pub(crate) outcomes: &'a [Outcome],
    pub(crate) took: Duration,
    pub(crate) now: UnixMs,
}

impl BatchStored<'_> {
    pub(crate) fn emit(&self, metrics: &ManagerMetrics) {
        metrics.apply_time.observe(self.took.as_secs_f64());
        for (event, outcome) in self.events.iter().zip(self.outcomes) {
            metrics.event_lag.observe(Duration::from_millis(self.now.since(event.at)).as_secs_f64());
            let fate = match outcome {
                Outcome::Applied => Fate::Applied,
                Outcome::Repeat => Fate::Repeat,
                Outcome::Fenced => Fate::Fenced,
                Outcome::Quarantined(_) => Fate::Quarantined,
            };
            metrics.events.get_or_create(&EventLabels { kind: KindLabel::from(&event.kind), fate }).inc();
            match outcome {
                Outcome::Applied | Outcome::Repeat => {}
                Outcome::Fenced => {
                    warn!(event = event.id(), room = %event.session.room_id, epoch = %event.session.epoch,
                        "an event came after a newer session of its room had begun; not stored");
                }
                Outcome::Quarantined(why) => {
                    metrics.quarantined.inc();
                    error!(event = event.id(), shard = %event.shard, n = event.n, why,
                        "the Live DB refuses an event; it is in quarantine");
                }
            }
        }
        debug!(events = self.events.len(), took_us = self.took.as_micros(), "lifecycle events stored");
    }
}

/// The Live DB did not answer.
pub(crate) struct LiveDbAway<'a> {
    pub(crate) error: &'a LiveDbError,
    /// It answered before.
    pub(crate) is_news: bool,
}

impl LiveDbAway<'_> {
    pub(crate) fn emit(&self, metrics: &ManagerMetrics) {
        metrics.live_db_failures.inc();
        metrics.live_db_up.set(0);
        if self.is_news {
            error!(error = %self.error, "the Live DB does not answer; broadcasts go on, history must wait");
        }
    }
}

/// It does not answer while it is opened, and is tried again.
pub(crate) struct LiveDbAwaited<'a> {
    pub(crate) error: &'a LiveDbError,
    pub(crate) attempt: u32,
}

impl LiveDbAwaited<'_> {
    pub(crate) fn emit(&self) {
        if self.attempt == 0 {
            warn!(error = %self.error, "the Live DB does not answer yet; trying again");
        } else {
            debug!(error = %self.error, attempt = self.attempt, "the Live DB still does not answer");
        }
    }
}

/// It answers again.
pub(crate) struct LiveDbBack;

impl LiveDbBack {
    pub(crate) fn emit(&self, metrics: &ManagerMetrics) {
        metrics.live_db_up.set(1);
        info!("the Live DB answers again");
    }
}

/// The Live DB is known to be away: nobody waits for it any more.
pub(crate) struct OutageBegan;

impl OutageBegan {
    pub(crate) fn emit(&self) {
        warn!("nobody waits for the Live DB until it answers a probe");
    }
}

/// It is not known to be away any more.
pub(crate) struct OutageEnded;

impl OutageEnded {
    pub(crate) fn emit(&self) {
        info!("the Live DB answered a probe; all go on");
    }
}

/// How many changes wait to be recorded.
pub(crate) struct RowsOwed {
    pub(crate) rows: usize,
}

impl RowsOwed {
    pub(crate) fn emit(&self, metrics: &ManagerMetrics) {
        metrics.rows_owed.set(i64::try_from(self.rows).unwrap_or(i64::MAX));
    }
}

/// Old rows were forgotten.
pub(crate) struct RowsPurged {
    pub(crate) purged: Purged,
}

impl RowsPurged {
    pub(crate) fn emit(&self) {
        let Purged { sessions, broadcasts, outbox, keys, holds, tokens, audit } = self.purged;
        info!(sessions, broadcasts, outbox, keys, holds, tokens, audit, "old rows forgotten");
    }
}
