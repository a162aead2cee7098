//! What a Manager talks through, and how it freezes. Its PostgreSQL connections live on a runtime with one thread, which can be
//! held still; its calls to the registry wait at a gate. What was under way goes on when it thaws, as in a process that was
//! stopped.

use std::sync::Arc;
use std::sync::mpsc;
use std::thread::JoinHandle;

use async_trait::async_trait;
use onair_cluster::registry::{
    Batch, BatchReply, Doorbell, Hold, KeyRecord, LeaseTimes, LeaseView, Order, Registry, RegistryError,
    RoomBell, ShardRings, ShardSnapshot, Tick,
};
use onair_cluster::{Event, LiveKeyId, NodeId, RoomId, Shard};
use onair_manager::live_db::{PostgresLiveDb, PostgresOptions};
use tokio::runtime::Handle;
use tokio::sync::{oneshot, watch};

/// A runtime with one thread of its own.
pub(crate) struct OneThread {
    handle: Handle,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl OneThread {
    /// The runtime, and a Live DB on it.
    pub(crate) async fn open(options: PostgresOptions) -> (Self, PostgresLiveDb) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel::<()>();
        let (opened, live_db) = oneshot::channel();
        let thread = std::thread::spawn(move || {
            runtime.block_on(async move {
                let _ = opened.send(PostgresLiveDb::open(&options).await.unwrap());
                let _ = stopped.await;
            });
        });
        (Self { handle, stop: Some(stop), thread: Some(thread) }, live_db.await.unwrap())
    }

    /// Holds the thread still until what is returned is dropped.
    fn freeze(&self) -> mpsc::SyncSender<()> {
        let (thaw, thawed) = mpsc::sync_channel::<()>(1);
        self.handle.spawn(async move {
            let _ = thawed.recv();
        });
        thaw
    }
}

impl Drop for OneThread {
    fn drop(&mut self) {
        self.stop.take();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Whether calls to the registry go through.
pub(crate) type Gate = watch::Sender<bool>;

/// A Manager's own view, frozen or not.
pub(crate) struct Ice {
    thread: OneThread,
    pub(crate) gate: Arc<Gate>,
    frozen: Option<mpsc::SyncSender<()>>,
}

impl Ice {
    pub(crate) async fn open(options: PostgresOptions) -> (Self, PostgresLiveDb) {
        let (thread, live_db) = OneThread::open(options).await;
        (Self { thread, gate: Arc::new(Gate::new(false)), frozen: None }, live_db)
    }

    /// The Live DB stops first, so that batches read from the registry are on their way to it.
    pub(crate) fn freeze_live_db(&mut self) {
        self.frozen = Some(self.thread.freeze());
    }

    pub(crate) fn freeze_registry(&self) {
        self.gate.send_replace(true);
    }

    pub(crate) fn thaw(&mut self) {
        self.frozen.take();
        self.gate.send_replace(false);
    }
}

impl Drop for Ice {
    fn drop(&mut self) {
        self.thaw();
    }
}

/// The registry behind a gate.
pub(crate) struct Gated {
    pub(crate) inner: Arc<dyn Registry>,
    pub(crate) gate: Arc<Gate>,
}

type Answer<T> = Result<T, RegistryError>;

macro_rules! gated {
    ($(fn $name:ident($($arg:ident: $of:ty),*) -> $answer:ty;)* { $($rest:tt)* }) => {
        #[async_trait]
        impl Registry for Gated {
            $(async fn $name(&self, $($arg: $of),*) -> $answer {
                let _ = self.gate.subscribe().wait_for(|is_frozen| !*is_frozen).await;
                self.inner.$name($($arg),*).await
            })*
            $($rest)*
        }
    };
}

gated! {
    fn commit(batch: &Batch) -> BatchReply;
    fn tick(shard: Shard, limit: usize) -> Answer<Tick>;
    fn recovered(shard: Shard, is_new: bool) -> Answer<()>;
    fn free_node(shard: Shard, node: &NodeId) -> Answer<Vec<RoomId>>;
    fn order(room: &RoomId, order: &Order) -> Answer<Option<LeaseView>>;
    fn put_key(record: &KeyRecord) -> Answer<()>;
    fn key(id: &LiveKeyId) -> Answer<Option<KeyRecord>>;
    fn revoke(id: &LiveKeyId) -> Answer<bool>;
    fn put_hold(room: &RoomId, hold: &Hold) -> Answer<()>;
    fn lift_hold(room: &RoomId) -> Answer<bool>;
    fn hold(room: &RoomId) -> Answer<Option<Hold>>;
    fn lease(room: &RoomId) -> Answer<Option<LeaseView>>;
    fn leases(shard: Shard, after: Option<&RoomId>, limit: usize) -> Answer<Vec<LeaseView>>;
    fn snapshot(shard: Shard) -> Answer<ShardSnapshot>;
    fn events(shard: Shard, limit: usize) -> Answer<Vec<Event>>;
    fn acknowledge(shard: Shard, n: u64) -> Answer<()>;
    {
        fn times(&self) -> LeaseTimes {
            self.inner.times()
        }

        fn event_bell(&self) -> watch::Receiver<ShardRings> {
            self.inner.event_bell()
        }

        fn stored_bell(&self) -> watch::Receiver<u64> {
            self.inner.stored_bell()
        }

        fn doorbell(&self, node: &NodeId) -> Doorbell {
            self.inner.doorbell(node)
        }

        fn room_bell(&self, room: &RoomId) -> RoomBell {
            self.inner.room_bell(room)
        }
    }
}
