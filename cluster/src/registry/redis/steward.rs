//! Keeps the table of primaries true: the only one that connects, off everybody's path.
//!
//! It looks once a second, and at once when something failed. Nobody waits for it: callers take the table as it stands, and
//! what has no primary in it is away. So an outage costs each call nothing but its answer.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use parking_lot::RwLock;
use rand::Rng;
use tokio::sync::Notify;

use super::error::ConnectError;
use super::identity::Identity;
use super::primary::{Opener, Primary};
use super::reports::Reports;
use super::settings::Endpoint;
use super::slots::Tag;
use super::topology::{Topology, View};

/// How often everything is looked at when nothing fails. A thawed old primary is found out within this.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// The first pause after a look that failed; each further one is twice as long, up to [`PAUSE_MAX`].
const PAUSE_MIN: Duration = Duration::from_millis(50);
/// The longest pause while something is away: a failover is noticed within this and the time of one look.
const PAUSE_MAX: Duration = Duration::from_millis(500);

/// The primaries as they are known now.
#[derive(Default)]
pub(super) struct Table {
    primaries: Vec<Arc<Primary>>,
    /// By [`Tag::index`].
    of: Vec<Option<usize>>,
}

impl Table {
    /// The primary of a tag, if it has one now.
    pub(super) fn primary(&self, tag: Tag) -> Option<&Arc<Primary>> {
        let at = *self.of.get(tag.index())?;
        self.primaries.get(at?)
    }

    /// All of them.
    pub(super) fn primaries(&self) -> &[Arc<Primary>] {
        &self.primaries
    }

    fn at(&self, endpoint: &Endpoint) -> Option<&Arc<Primary>> {
        self.primaries.iter().find(|primary| primary.endpoint == *endpoint)
    }
}

/// The table, shared between the steward and all who call.
#[derive(Default)]
pub(super) struct Routes(RwLock<Arc<Table>>);

impl Routes {
    /// As it stands.
    pub(super) fn table(&self) -> Arc<Table> {
        Arc::clone(&self.0.read())
    }

    fn publish(&self, table: Table) {
        *self.0.write() = Arc::new(table);
    }
}

pub(super) struct Steward {
    topology: Topology,
    opener: Opener,
    identity: Identity,
    routes: Arc<Routes>,
    wake: Arc<Notify>,
    reports: Arc<Reports>,
    /// The last view; when nobody can be asked, it is gone by.
    view: Option<View>,
    /// What the last look failed with, as it was logged.
    failure: Option<String>,
}

impl Steward {
    pub(super) fn new(topology: Topology, opener: Opener, identity: Identity, routes: Arc<Routes>) -> Self {
        let (wake, reports) = (Arc::clone(&opener.steward), Arc::clone(&opener.reports));
        Self { topology, opener, identity, routes, wake, reports, view: None, failure: None }
    }

    /// Looks again and again. Never returns.
    pub(super) async fn run(mut self) {
        let mut pause = PAUSE_MIN;
        loop {
            if self.look().await.is_ok() {
                pause = PAUSE_MIN;
                let _ = tokio::time::timeout(jittered(LOOK_EVERY), self.wake.notified()).await;
                // Whoever fails wakes it; it shall not run hot on that.
                tokio::time::sleep(jittered(PAUSE_MIN / 4)).await;
            } else {
                tokio::time::sleep(jittered(pause)).await;
                pause = (pause * 2).min(PAUSE_MAX);
            }
        }
    }

    /// One look: who are the primaries, are the known ones still, and connect to those that are new.
    pub(super) async fn look(&mut self) -> Result<(), ConnectError> {
        let looked = self.topology.look().await;
        let mut failure = looked.as_ref().err().cloned();
        if let Ok(view) = looked {
            self.view = Some(view);
        }
        if let Some(view) = self.view.clone() {
            let stands = join_all(view.primaries.iter().map(|endpoint| self.stand(&view, endpoint))).await;
            let mut table = Table { primaries: Vec::new(), of: vec![None; Tag::COUNT] };
            for (at, stand) in stands.into_iter().enumerate() {
                match stand {
                    Ok(primary) => {
                        for (of, viewed) in table.of.iter_mut().zip(&view.of) {
                            if *viewed == Some(at) {
                                *of = Some(table.primaries.len());
                            }
                        }
                        table.primaries.push(primary);
                    }
                    Err(error) => failure = Some(error),
                }
            }
            if let Some(tag) = Tag::all().find(|tag| view.primary(*tag).is_none()) {
                let slot = tag.slot();
                failure = Some(ConnectError::Unreachable { why: format!("slot {slot} has no primary") });
            }
            if failure.as_ref().is_some_and(ConnectError::is_foreign) {
                table = Table::default();
            }
            self.publish(table, &view);
        }
        let said = failure.as_ref().map(ToString::to_string);
        self.reports.looked(failure.as_ref(), said != self.failure);
        self.failure = said;
        failure.map_or(Ok(()), Err)
    }

    /// The primary at `endpoint`: the one we have if it still is, else a new connection to it.
    async fn stand(&self, view: &View, endpoint: &Endpoint) -> Result<Arc<Primary>, ConnectError> {
        let known = self.routes.table().at(endpoint).cloned();
        if let Some(known) = known {
            match known.check().await {
                Ok(()) => return Ok(known),
                Err(trouble) => self.reports.lost(endpoint, trouble.text()),
            }
        }
        let primary = self.opener.open(endpoint).await?;
        if view.primary(Tag::Onair) == Some(endpoint) {
            self.identity.claim(&primary).await?;
        }
        Ok(primary)
    }

    fn publish(&self, table: Table, view: &View) {
        let before = self.routes.table();
        self.routes.publish(table);
        let after = self.routes.table();
        for known in before.primaries() {
            let stays = after.at(&known.endpoint).is_some_and(|now| Arc::ptr_eq(now, known));
            if !stays {
                known.leave();
            }
            if !view.primaries.contains(&known.endpoint) {
                self.reports.retired(&known.endpoint);
            }
        }
    }
}

/// Half to all of it, so that the nodes of a cluster do not come all at once.
pub(super) fn jittered(pause: Duration) -> Duration {
    pause.mul_f64(rand::rng().random_range(0.5..1.0))
}
