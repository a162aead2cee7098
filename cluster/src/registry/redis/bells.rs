//! The bells, rung by pub/sub: doors of nodes, rooms, events and what became of them. One connection, to any primary, beside all others.
//!
//! Pub/sub promises nothing, and a bell only says "look". So whenever a channel is heard anew, after a reconnect too, its
//! bell is rung once, a door for everything: what it would have said may have been missed.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rand::Rng;
use redis::aio::{MultiplexedConnection, SendError};
use redis::{PushInfo, PushKind};
use tokio::sync::{Notify, watch};

use super::dial::{Dialer, Protocol, exchange, text};
use super::primary::Primary;
use super::reports::Reports;
use super::settings::ClusterName;
use super::steward::{Routes, jittered};
use super::trouble::Trouble;
use crate::ids::{NodeId, RoomId, Shard};
use crate::registry::{Door, Doorbell, RoomBell, ShardRings, door};

/// Channels named in one command.
const CHANNELS_MAX: usize = 1_000;
/// Time for a connection, a subscription or a sign of life.
const ANSWER_WITHIN: Duration = Duration::from_secs(1);
/// How often a sign of life is asked for.
const PING_EVERY: Duration = Duration::from_secs(1);
/// Pause between two connections.
const PAUSE: Duration = Duration::from_millis(250);

pub(super) struct Bells {
    /// What the channels of this cluster begin with: `onair:<cluster>:`.
    prefix: String,
    wanted: Mutex<Wanted>,
    news: watch::Sender<ShardRings>,
    stored: watch::Sender<u64>,
    /// Something is wanted, or no longer.
    changed: Notify,
}

/// What somebody waits for.
#[derive(Default)]
struct Wanted {
    doors: HashMap<NodeId, Door>,
    rooms: HashMap<RoomId, Room>,
    has_readers: bool,
    has_feeders: bool,
    /// Channels that may have to be subscribed to or left.
    touched: HashSet<String>,
}

struct Room {
    rung: watch::Sender<u64>,
    /// How many bells of the room are held.
    held: usize,
}

impl Bells {
    pub(super) fn new(cluster: &ClusterName) -> Self {
        Self {
            prefix: format!("onair:{cluster}:"),
            wanted: Mutex::default(),
            news: watch::Sender::new(ShardRings::default()),
            stored: watch::Sender::new(0),
            changed: Notify::new(),
        }
    }

    pub(super) fn event_bell(&self) -> watch::Receiver<ShardRings> {
        self.touch(&mut self.wanted.lock(), "ev", |wanted| wanted.has_readers = true);
        self.news.subscribe()
    }

    pub(super) fn stored_bell(&self) -> watch::Receiver<u64> {
        self.touch(&mut self.wanted.lock(), "stored", |wanted| wanted.has_feeders = true);
        self.stored.subscribe()
    }

    pub(super) fn doorbell(&self, node: &NodeId) -> Doorbell {
        let (door, doorbell) = door();
        self.touch(&mut self.wanted.lock(), &format!("door:{node}"), |wanted| {
            let other = wanted.doors.insert(node.clone(), door.clone());
            if other.is_some() {
                // Its channel may be heard already, and what the other bell was rung for is lost.
                door.ring_for_all();
            }
        });
        doorbell
    }

    pub(super) fn room_bell(self: &Arc<Self>, room: &RoomId) -> RoomBell {
        let mut wanted = self.wanted.lock();
        let held =
            wanted.rooms.entry(room.clone()).or_insert_with(|| Room { rung: watch::Sender::new(0), held: 0 });
        held.held += 1;
        let rung = held.rung.subscribe();
        if held.held == 1 {
            self.touch(&mut wanted, &format!("room:{room}"), |_| {});
        }
        RoomBell { rung, guard: Box::new(Held { bells: Arc::clone(self), room: room.clone() }) }
    }

    fn let_go(&self, room: &RoomId) {
        let mut wanted = self.wanted.lock();
        let Some(held) = wanted.rooms.get_mut(room) else { return };
        held.held -= 1;
        if held.held == 0 {
            self.touch(&mut wanted, &format!("room:{room}"), |wanted| {
                wanted.rooms.remove(room);
            });
        }
    }

    fn touch(&self, wanted: &mut Wanted, channel: &str, change: impl FnOnce(&mut Wanted)) {
        change(wanted);
        wanted.touched.insert(channel.to_owned());
        self.changed.notify_one();
    }

    /// Somebody published `payload`.
    fn on_message(&self, channel: &str, payload: &str) {
        let Some(name) = channel.strip_prefix(&self.prefix) else { return };
        let wanted = self.wanted.lock();
        match name.split_once(':') {
            Some(("door", node)) => {
                let door = NodeId::parse(node).ok().and_then(|node| wanted.doors.get(&node).cloned());
                if let (Some(door), Ok(room)) = (door, RoomId::parse(payload)) {
                    door.ring(room);
                }
            }
            _ if name == "ev" => {
                let shard = payload.parse().ok().and_then(Shard::new);
                self.news.send_modify(|rings| match shard {
                    Some(shard) => rings.ring(shard),
                    None => rings.ring_all(),
                });
            }
            _ => self.ring(&wanted, name),
        }
    }

    /// Something may have been published, or was. A door alone does not know for whom.
    fn ring(&self, wanted: &Wanted, name: &str) {
        let bump = |bell: &watch::Sender<u64>| bell.send_modify(|count| *count = count.wrapping_add(1));
        match name.split_once(':') {
            Some(("room", room)) => {
                let room = RoomId::parse(room).ok();
                if let Some(room) = room.and_then(|room| wanted.rooms.get(&room)) {
                    bump(&room.rung);
                }
            }
            Some(("door", node)) => {
                let node = NodeId::parse(node).ok();
                if let Some(door) = node.and_then(|node| wanted.doors.get(&node)) {
                    door.ring_for_all();
                }
            }
            None if name == "ev" => self.news.send_modify(ShardRings::ring_all),
            None if name == "stored" => bump(&self.stored),
            _ => {}
        }
    }
}

impl Wanted {
    fn contains(&self, name: &str) -> bool {
        match name.split_once(':') {
            Some(("door", node)) => NodeId::parse(node).is_ok_and(|node| self.doors.contains_key(&node)),
            Some(("room", room)) => RoomId::parse(room).is_ok_and(|room| self.rooms.contains_key(&room)),
            _ => (name == "ev" && self.has_readers) || (name == "stored" && self.has_feeders),
        }
    }

    fn all(&self) -> HashSet<String> {
        let doors = self.doors.keys().map(|node| format!("door:{node}"));
        let rooms = self.rooms.keys().map(|room| format!("room:{room}"));
        let readers = [("ev", self.has_readers), ("stored", self.has_feeders)];
        let readers =
            readers.into_iter().filter(|(_, is_wanted)| *is_wanted).map(|(name, _)| name.to_owned());
        doors.chain(rooms).chain(readers).collect()
    }
}

/// Ends a subscription when dropped.
struct Held {
    bells: Arc<Bells>,
    room: RoomId,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.bells.let_go(&self.room);
    }
}

/// Hears the bells: the task that keeps the connection.
pub(super) struct Listener {
    pub(super) bells: Arc<Bells>,
    pub(super) routes: Arc<Routes>,
    pub(super) dialer: Dialer,
    pub(super) reports: Arc<Reports>,
}

impl Listener {
    /// Connects and listens, again and again. Never returns.
    pub(super) async fn run(self) {
        let mut turn: usize = rand::rng().random_range(0..64);
        let mut was_lost = false;
        loop {
            // Whoever did not answer is not asked twice in a row: a publish reaches every member of a Cluster.
            turn = turn.wrapping_add(1);
            let table = self.routes.table();
            let primaries = table.primaries();
            if let Some(primary) = primaries.get(turn % primaries.len().max(1)) {
                let Err(trouble) = self.listen(primary, &mut was_lost).await;
                if !was_lost {
                    self.reports.bells_lost(&primary.endpoint, trouble.text());
                }
                was_lost = true;
            }
            tokio::time::sleep(jittered(PAUSE)).await;
        }
    }

    /// Hears the bells at one primary, until it is no longer one or the connection breaks.
    async fn listen(
        &self,
        primary: &Arc<Primary>,
        was_lost: &mut bool,
    ) -> Result<std::convert::Infallible, Trouble> {
        let broken = Arc::new(Notify::new());
        let on_push = {
            let (bells, broken) = (Arc::clone(&self.bells), Arc::clone(&broken));
            move |push| {
                on_push(&bells, &broken, &push);
                Ok::<(), SendError>(())
            }
        };
        let opening = self.dialer.open_with(&primary.endpoint, Protocol::Data, ANSWER_WITHIN, Some(on_push));
        let mut connection = opening.await?;
        self.reports.bells_connected(&primary.endpoint);
        *was_lost = false;
        let mut heard = HashSet::new();
        self.touch_all();
        loop {
            self.follow(&mut connection, &mut heard).await?;
            tokio::select! {
                () = self.bells.changed.notified() => continue,
                () = broken.notified() => return Err(Trouble::Gone("its connection broke".to_owned())),
                () = tokio::time::sleep(PING_EVERY) => {}
            }
            exchange(&connection, [redis::cmd("PING")], ANSWER_WITHIN).await?;
            let is_primary = self.routes.table().primaries().iter().any(|now| now.run_id == primary.run_id);
            if !is_primary {
                return Err(Trouble::NotPrimary("it is no primary of ours any more".to_owned()));
            }
        }
    }

    fn touch_all(&self) {
        let mut wanted = self.bells.wanted.lock();
        wanted.touched = wanted.all();
    }

    /// Subscribes to what is wanted and not heard, and leaves what is heard and not wanted.
    async fn follow(
        &self,
        connection: &mut MultiplexedConnection,
        heard: &mut HashSet<String>,
    ) -> Result<(), Trouble> {
        let (mut join, mut leave) = (Vec::new(), Vec::new());
        {
            let mut wanted = self.bells.wanted.lock();
            for name in std::mem::take(&mut wanted.touched) {
                match (wanted.contains(&name), heard.contains(&name)) {
                    (true, false) => join.push(name),
                    (false, true) => leave.push(name),
                    _ => {}
                }
            }
        }
        let channels = |names: &[String]| -> Vec<_> {
            names.iter().map(|name| format!("{}{name}", self.bells.prefix)).collect()
        };
        for names in join.chunks(CHANNELS_MAX) {
            within(connection.subscribe(channels(names))).await?;
            heard.extend(names.iter().cloned());
            let wanted = self.bells.wanted.lock();
            for name in names {
                self.bells.ring(&wanted, name);
            }
        }
        for names in leave.chunks(CHANNELS_MAX) {
            within(connection.unsubscribe(channels(names))).await?;
            for name in names {
                heard.remove(name);
            }
        }
        Ok(())
    }
}

async fn within(subscribing: impl Future<Output = redis::RedisResult<()>>) -> Result<(), Trouble> {
    match tokio::time::timeout(ANSWER_WITHIN, subscribing).await {
        Ok(subscribed) => Ok(subscribed?),
        Err(_) => Err(Trouble::Gone(format!("no answer within {ANSWER_WITHIN:?}"))),
    }
}

fn on_push(bells: &Bells, broken: &Notify, push: &PushInfo) {
    match (&push.kind, push.data.as_slice()) {
        (PushKind::Disconnection, _) => broken.notify_one(),
        (PushKind::Message, [channel, payload]) => {
            if let (Some(channel), Some(payload)) = (text(channel), text(payload)) {
                bells.on_message(channel, payload);
            }
        }
        _ => {}
    }
}
