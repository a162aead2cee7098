//! The life of this process: starting, serving, draining. Read by its health checks and by what it says to other nodes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use onair_manager::NodeStatus;
use tokio::sync::Notify;

/// Where a process is in its life. It only goes forward.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    /// Not yet ready.
    Starting,
    /// Takes whoever comes.
    Serving,
    /// Takes nobody new.
    Draining,
}

impl Stage {
    const fn name(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Serving => "serving",
            Self::Draining => "draining",
        }
    }
}

/// The stage, shared by all who ask. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Life(Arc<Inner>);

#[derive(Default)]
struct Inner {
    stage: AtomicU8,
    /// Whether the last beats were answered. A node without a registry still serves who is there.
    is_cut_off: AtomicBool,
    changed: Notify,
}

impl Life {
    /// Goes on to `stage`. Never back.
    pub(crate) fn enter(&self, stage: Stage) {
        self.0.stage.fetch_max(stage as u8, Ordering::Relaxed);
        self.0.changed.notify_waiters();
    }

    pub(crate) fn stage(&self) -> Stage {
        match self.0.stage.load(Ordering::Relaxed) {
            0 => Stage::Starting,
            1 => Stage::Serving,
            _ => Stage::Draining,
        }
    }

    /// Resolves at the next change of stage.
    pub(crate) async fn changed(&self) {
        self.0.changed.notified().await;
    }

    /// Notes whether the registry of nodes answers.
    pub(crate) fn note_cut_off(&self, is_cut_off: bool) {
        self.0.is_cut_off.store(is_cut_off, Ordering::Relaxed);
    }

    /// What health checks are told.
    pub(crate) fn status(&self) -> NodeStatus {
        let stage = self.stage();
        let is_cut_off = self.0.is_cut_off.load(Ordering::Relaxed);
        let degraded = if is_cut_off { vec!["registry".to_owned()] } else { Vec::new() };
        NodeStatus { ready: stage == Stage::Serving, state: stage.name().to_owned(), degraded }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_is_who_serves_and_a_registry_that_is_away_does_not_change_that() {
        let life = Life::default();
        assert_eq!((life.status().ready, life.status().state.as_str()), (false, "starting"));
        life.enter(Stage::Serving);
        life.note_cut_off(true);
        assert_eq!((life.status().ready, life.status().degraded), (true, vec!["registry".to_owned()]));
        life.enter(Stage::Draining);
        life.enter(Stage::Serving);
        assert_eq!((life.status().ready, life.status().state.as_str()), (false, "draining"));
    }
}
