//! The registry on Redis: the state machine of [`local`](super::local), as Lua scripts that Redis runs one at a time, on a
//! single Redis, under Sentinel or on a Redis Cluster.
//!
//! The way of a call: `encode` makes it, its shard's primary is looked up in the table that the `steward` keeps, one of
//! that `primary`'s connections carries it, `decode` reads the answer. Nobody waits for a connection: a shard without a
//! primary answers [`Unreachable`](RegistryError::Unreachable) at once, and whoever asked asks again. An answer is confirmed
//! when enough replicas have what it wrote ([`RedisSettings::confirm`]).

mod bells;
mod call;
mod commit;
mod contact;
mod decode;
mod dial;
mod encode;
mod error;
mod identity;
mod primary;
mod reports;
mod scripts;
mod settings;
mod shard;
mod slots;
mod steward;
mod topology;
mod trouble;

#[cfg(test)]
mod differential;
#[cfg(test)]
mod script_tests;

use std::sync::Arc;
use std::time::Duration;

use ::redis::{Cmd, Value};
use async_trait::async_trait;
use prometheus_client::registry::Registry as Metrics;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

pub use self::error::ConnectError;
pub use self::settings::{ClusterName, ClusterNameError, RedisSettings, RedisUrl, Secret, UrlError};

use self::bells::{Bells, Listener};
use self::call::{Call, Caller};
use self::dial::Dialer;
use self::identity::Identity;
use self::primary::{Lane, Opener, Primary};
use self::reports::Reports;
use self::scripts::Script;
use self::shard::ShardNotes;
use self::slots::Tag;
use self::steward::{Routes, Steward};
use self::topology::Topology;
use super::{
    Batch, BatchReply, Doorbell, Hold, KeyRecord, LeaseTimes, LeaseView, Order, Registry, RegistryError,
    RoomBell, ShardRings, ShardSnapshot, Tick,
};
use crate::events::Event;
use crate::ids::{LiveKeyId, NodeId, RoomId, Shard};
use crate::nodes;

/// Time for any call but the keeper's, which sets its own.
const CALL_WITHIN: Duration = Duration::from_secs(1);
/// Time for [`RedisRegistry::connect`]: longer than a failover.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);
/// Leases that one script call reads for a snapshot: they keep a Redis for some 2 ms, and one with 20 000 leases is asked 79
/// times, with time for others in between.
const SNAPSHOT_PAGE: usize = 256;
/// Pause between two tries within it.
const CONNECT_PAUSE: Duration = Duration::from_millis(200);

/// The registry on Redis, and the registry of nodes beside it.
pub struct RedisRegistry {
    cluster: ClusterName,
    times: LeaseTimes,
    unread_max: usize,
    confirm: u8,
    routes: Arc<Routes>,
    bells: Arc<Bells>,
    reports: Arc<Reports>,
    /// By [`Shard::index`].
    shards: Box<[ShardNotes]>,
    /// Ended with the registry.
    _tasks: [Task; 2],
}

impl RedisRegistry {
    /// Connects to all primaries, and makes sure that the Redis is one we can use and is this cluster's. Takes at most about
    /// 10 s. From then on the registry looks after its connections by itself, for as long as it is in use. Registers the
    /// `onair_redis_*` metrics; `metrics` itself must have no prefix. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// What is wrong and what to do about it. What may pass by itself is waited for first.
    pub async fn connect(settings: &RedisSettings, metrics: &mut Metrics) -> Result<Arc<Self>, ConnectError> {
        let reports = Arc::new(Reports::new(metrics));
        let dialer = Dialer::new(settings)?;
        let layout = settings.url.layout.clone();
        let opener = Opener {
            dialer: dialer.clone(),
            layout: layout.clone(),
            scripts: Script::ALL.iter().map(|s| s.source()).chain(nodes::SCRIPTS).collect(),
            steward: Arc::new(Notify::new()),
            reports: Arc::clone(&reports),
        };
        let routes = Arc::new(Routes::default());
        let identity = || Identity::new(&settings.cluster, settings.confirm(), Arc::clone(&reports));
        let topology = Topology::new(layout, dialer.clone());
        let mut steward = Steward::new(topology, opener, identity(), Arc::clone(&routes));
        first_look(&mut steward).await?;
        for primary in routes.table().primaries() {
            identity().advise(primary).await;
        }
        let bells = Arc::new(Bells::new(&settings.cluster));
        let listener = Listener {
            bells: Arc::clone(&bells),
            routes: Arc::clone(&routes),
            dialer,
            reports: Arc::clone(&reports),
        };
        Ok(Arc::new(Self {
            cluster: settings.cluster.clone(),
            times: settings.times,
            unread_max: settings.unread_max,
            confirm: settings.confirm(),
            routes,
            bells,
            reports,
            shards: Shard::all().map(|_| ShardNotes::default()).collect(),
            _tasks: [Task(tokio::spawn(steward.run())), Task(tokio::spawn(listener.run()))],
        }))
    }

    /// Whether every shard has a primary now. For readiness reports; a call may fail all the same.
    pub fn is_whole(&self) -> bool {
        let table = self.routes.table();
        Tag::all().all(|tag| table.primary(tag).is_some())
    }

    /// Who is to be asked about `tag`; at once an error if nobody is there.
    fn primary(&self, tag: Tag, lane: Lane) -> Result<Arc<Primary>, RegistryError> {
        let primary = self.routes.table().primary(tag).cloned();
        primary.ok_or_else(|| {
            self.reports.call_without_connection(lane.name());
            RegistryError::Unreachable
        })
    }

    fn caller<'a>(&'a self, primary: &'a Primary, shard: Shard) -> Caller<'a> {
        Caller {
            cluster: self.cluster.as_str(),
            times: &self.times,
            unread_max: self.unread_max,
            gap: Some(Caller::GAP),
            run_id: &primary.run_id,
            known: self.shards[shard.index()].known(),
            contact: primary.contact(),
            now: None,
        }
    }

    /// One call that is done again if it gets lost.
    async fn ask(&self, call: &Call) -> Result<Value, RegistryError> {
        self.call(Lane::Plain, call, 0).await.map(|(value, _)| value)
    }

    /// One call that must last. That replicas are away does not fail it: whoever ends a session or revokes a key shall be
    /// able to just then. It is counted and logged, and who asked asks again until it sees the effect.
    async fn tell(&self, call: &Call) -> Result<Value, RegistryError> {
        self.call(Lane::Control, call, self.confirm).await.map(|(value, _)| value)
    }

    async fn call(
        &self,
        lane: Lane,
        call: &Call,
        confirm: u8,
    ) -> Result<(Value, Arc<Primary>), RegistryError> {
        let primary = self.primary(Tag::Shard(call.shard), lane)?;
        let command = |_| call.command(&self.caller(&primary, call.shard));
        let mut answers = primary.run(lane, 1, &command, confirm, CALL_WITHIN).await?;
        let value = call.answer(answers.values.pop().unwrap_or(Ok(Value::Nil)))?;
        if confirm == self.confirm && answers.is_confirmed {
            self.shards[call.shard.index()].on_confirmed(decode::position(&value)?);
        }
        Ok((value, primary))
    }

    /// A look at leases: an answer and whether replicas confirm what its primary writes.
    async fn look(&self, call: &Call) -> Result<(Value, bool), RegistryError> {
        let (value, primary) = self.call(Lane::Plain, call, 0).await?;
        Ok((value, !primary.is_unconfirmed()))
    }

    /// All pages of a snapshot, from one primary in one life of the shard: else they do not belong together.
    async fn snapshot_by(&self, shard: Shard, page: usize) -> Result<ShardSnapshot, RegistryError> {
        let mut all = ShardSnapshot::default();
        let mut after = None;
        let mut source: Option<(Arc<Primary>, u64)> = None;
        loop {
            let (value, primary) =
                self.call(Lane::Plain, &encode::snapshot(shard, after.as_ref(), page), 0).await?;
            let life = decode::position(&value)?.life;
            let (page, next) = decode::snapshot(&value)?;
            let is_other = source.as_ref().is_some_and(|(first, first_life)| {
                first.run_id != primary.run_id || *first_life != life || page.n < all.n
            });
            if is_other {
                return Err(RegistryError::Broken("the shard began anew between two pages".to_owned()));
            }
            let confirmed = !primary.is_unconfirmed();
            source = Some((primary, life));
            let ShardSnapshot { n, leases, floor, is_loaded } = page;
            (all.n, all.floor, all.is_loaded) = (n, floor, is_loaded);
            all.leases.extend(leases.into_iter().map(|lease| LeaseView { confirmed, ..lease }));
            let Some(next) = next else { return Ok(all) };
            after = Some(next);
        }
    }

    /// Runs one of the scripts of [`crate::nodes`].
    pub(crate) async fn run_for_nodes(&self, command: Cmd) -> Result<Value, RegistryError> {
        let primary = self.primary(Tag::Nodes, Lane::Plain)?;
        let mut answers = primary.run(Lane::Plain, 1, &|_| command.clone(), 0, CALL_WITHIN).await?;
        Ok(answers.values.pop().unwrap_or(Ok(Value::Nil))?)
    }
}

/// Looks until every shard has a primary. What will not pass by itself ends it at once.
async fn first_look(steward: &mut Steward) -> Result<(), ConnectError> {
    let deadline = Instant::now() + CONNECT_WITHIN;
    loop {
        let Err(error) = steward.look().await else { return Ok(()) };
        if !error.is_passing() || Instant::now() >= deadline {
            return Err(error);
        }
        tokio::time::sleep(CONNECT_PAUSE).await;
    }
}

/// A task that ends when this is dropped.
struct Task(JoinHandle<()>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[async_trait]
impl Registry for RedisRegistry {
    fn times(&self) -> LeaseTimes {
        self.times
    }

    async fn commit(&self, batch: &Batch) -> BatchReply {
        self.commit_all(batch).await
    }

    async fn tick(&self, shard: Shard, limit: usize) -> Result<Tick, RegistryError> {
        let value = self.ask(&encode::tick(shard, limit)).await?;
        self.shards[shard.index()].on_ticked(decode::position(&value)?);
        decode::ticked(&value)
    }

    async fn recovered(&self, shard: Shard, is_new: bool) -> Result<(), RegistryError> {
        // When the shard has lost them again since, this does nothing, and its next tick says that it lacks them.
        let life = self.shards[shard.index()].life_at_tick();
        decode::done(&self.tell(&encode::recovered(shard, is_new, life)).await?)
    }

    async fn free_node(&self, shard: Shard, node: &NodeId) -> Result<Vec<RoomId>, RegistryError> {
        decode::rooms(&self.tell(&encode::free_node(shard, node)).await?)
    }

    async fn order(&self, room: &RoomId, order: &Order) -> Result<Option<LeaseView>, RegistryError> {
        decode::lease(&self.tell(&encode::order(room, order)).await?)
    }

    async fn put_key(&self, record: &KeyRecord) -> Result<(), RegistryError> {
        if record.live_key_id.shard() != Some(record.room_id.shard()) {
            return Err(RegistryError::Broken(
                "the live key id names another shard than its room's".to_owned(),
            ));
        }
        decode::done(&self.tell(&encode::put_key(record)).await?)
    }

    async fn key(&self, id: &LiveKeyId) -> Result<Option<KeyRecord>, RegistryError> {
        let Some(shard) = id.shard() else { return Ok(None) };
        decode::key_record(&self.ask(&encode::look_key(shard, id)).await?, id)
    }

    async fn revoke(&self, id: &LiveKeyId) -> Result<bool, RegistryError> {
        let Some(shard) = id.shard() else { return Ok(false) };
        decode::yes(&self.tell(&encode::revoke(shard, id)).await?)
    }

    async fn put_hold(&self, room: &RoomId, hold: &Hold) -> Result<(), RegistryError> {
        decode::done(&self.tell(&encode::put_hold(room, hold)).await?)
    }

    async fn lift_hold(&self, room: &RoomId) -> Result<bool, RegistryError> {
        decode::yes(&self.tell(&encode::lift_hold(room)).await?)
    }

    async fn hold(&self, room: &RoomId) -> Result<Option<Hold>, RegistryError> {
        decode::hold(&self.ask(&encode::look_hold(room)).await?)
    }

    async fn lease(&self, room: &RoomId) -> Result<Option<LeaseView>, RegistryError> {
        let (value, confirmed) = self.look(&encode::look_lease(room)).await?;
        Ok(decode::lease(&value)?.map(|lease| LeaseView { confirmed, ..lease }))
    }

    async fn leases(
        &self,
        shard: Shard,
        after: Option<&RoomId>,
        limit: usize,
    ) -> Result<Vec<LeaseView>, RegistryError> {
        let (value, confirmed) = self.look(&encode::look_leases(shard, after, limit)).await?;
        let leases = decode::leases(&value)?;
        Ok(leases.into_iter().map(|lease| LeaseView { confirmed, ..lease }).collect())
    }

    async fn snapshot(&self, shard: Shard) -> Result<ShardSnapshot, RegistryError> {
        self.snapshot_by(shard, SNAPSHOT_PAGE).await
    }

    async fn events(&self, shard: Shard, limit: usize) -> Result<Vec<Event>, RegistryError> {
        let primary = self.primary(Tag::Shard(shard), Lane::Plain)?;
        let command = |_| encode::events(shard, limit);
        let mut answers = primary.run(Lane::Plain, 1, &command, 0, CALL_WITHIN).await?;
        let value = answers.values.pop().unwrap_or(Ok(Value::Nil))?;
        Ok(self.shards[shard.index()].on_told(decode::events(shard, &value)?))
    }

    async fn acknowledge(&self, shard: Shard, n: u64) -> Result<(), RegistryError> {
        let notes = &self.shards[shard.index()];
        // Never told of, or not by this process: reading again costs less than trusting a number.
        let Some(digest) = notes.digest(n) else { return Ok(()) };
        let is_read = decode::yes(&self.ask(&encode::acknowledge(shard, n, &digest)).await?)?;
        notes.on_acknowledged(n, is_read);
        Ok(())
    }

    fn event_bell(&self) -> watch::Receiver<ShardRings> {
        self.bells.event_bell()
    }

    fn stored_bell(&self) -> watch::Receiver<u64> {
        self.bells.stored_bell()
    }

    fn doorbell(&self, node: &NodeId) -> Doorbell {
        self.bells.doorbell(node)
    }

    fn room_bell(&self, room: &RoomId) -> RoomBell {
        self.bells.room_bell(room)
    }
}
