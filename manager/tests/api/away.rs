//! The Live DB goes away and comes back: what is live can be seen, ended and revoked meanwhile, and nothing is forgotten.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use onair_cluster::events::EndReason;
use onair_cluster::registry::{Hold, KeyRecord, Registry};
use onair_cluster::{Epoch, Event, LiveKeyId, ProducerId, RoomId, SessionId, Shard, UnixMs};
use onair_manager::config::Retention;
use onair_manager::live_db::{
    Addresses, Applied, AuditFilter, AuditLog, AuditRow, BroadcastFilter, BroadcastRow, Catalogue, FeedSpan,
    History, HoldRow, Holdings, KeyFilter, KeyRow, Ledger, LiveDb, LiveDbError, ManagerId, MediaNote, NewKey,
    NewToken, Outbox, OutboxRow, Owners, Purged, QuarantineRow, RoomRow, SessionRow, ShardTerm, SqliteLiveDb,
    TokenId, TokenRow, Tokens, Totals, TotalsOf,
};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::sync::RwLock;

use crate::support::{Api, Setup, TOKEN, eventually};

/// A Live DB with a switch.
pub(crate) struct Switched {
    live_db: SqliteLiveDb,
    pub(crate) is_away: AtomicBool,
    /// Calls wait as long as somebody holds it.
    pub(crate) gate: RwLock<()>,
    pub(crate) waiting: AtomicU32,
    /// The same for lists of broadcasts alone, so that nothing else takes the Live DB for being away.
    pub(crate) broadcasts_gate: RwLock<()>,
    pub(crate) broadcasts_waiting: AtomicU32,
}

/// The calls of one trait, each switched.
macro_rules! switched {
    ($trait:ident { $(fn $name:ident($($arg:ident: $type:ty),*) -> $ok:ty;)* } $($rest:tt)*) => {
        #[async_trait]
        impl $trait for Switched {
            $(async fn $name(&self, $($arg: $type),*) -> Result<$ok, LiveDbError> {
                self.pass().await?.$name($($arg),*).await
            })*
            $($rest)*
        }
    };
}

switched! { Addresses {
    fn ensure_room(producer: &ProducerId, candidate: &RoomId, now: UnixMs) -> RoomRow;
    fn room(room: &RoomId) -> Option<RoomRow>;
    fn add_key(key: &NewKey, in_use: Option<&LiveKeyId>, max: usize) -> Vec<LiveKeyId>;
    fn key(id: &LiveKeyId) -> Option<KeyRow>;
    fn revoke_key(id: &LiveKeyId, now: UnixMs) -> Option<KeyRow>;
    fn deny_key(record: &KeyRecord, now: UnixMs) -> ();
    fn keys(after: Option<&LiveKeyId>, limit: usize, now: UnixMs) -> Vec<KeyRecord>;
    fn put_hold(room: &RoomId, hold: &Hold, now: UnixMs) -> ();
    fn lift_hold(room: &RoomId) -> bool;
    fn holds(after: Option<&RoomId>, limit: usize, now: UnixMs) -> Vec<HoldRow>;
} }

switched! { Owners {
    fn beat(me: &ManagerId, lease: Duration) -> Holdings;
    fn give_up(me: &ManagerId, shards: &[ShardTerm], leaving: bool) -> ();
} }

switched! { Ledger {
    fn apply(terms: &[ShardTerm], events: &[Event], now: UnixMs) -> Applied;
    fn positions() -> Vec<(Shard, u64)>;
    fn note_media(terms: &[ShardTerm], notes: &[MediaNote]) -> u64;
    fn close_lost(terms: &[ShardTerm], now: UnixMs) -> u64;
    fn session(id: &SessionId) -> Option<SessionRow>;
    fn open_sessions(shard: Shard) -> Vec<SessionRow>;
    fn newest_epochs() -> Vec<(RoomId, Epoch)>;
    fn quarantine(after: i64, limit: usize) -> Vec<QuarantineRow>;
} }

switched! { Outbox {
    fn unshipped(shard: Shard, limit: usize) -> Vec<OutboxRow>;
    fn mark_shipped(owned: ShardTerm, seqs: &[u64], now: UnixMs) -> u64;
    fn mark_refused(owned: ShardTerm, seq: u64, why: &str, now: UnixMs) -> ();
    fn oldest_unshipped() -> Option<UnixMs>;
    fn unshipped_count() -> u64;
    fn feed(shard: Shard, after: u64, limit: usize) -> Vec<OutboxRow>;
    fn feed_span() -> Vec<FeedSpan>;
} }

impl Switched {
    /// What every call passes: the gate, and the switch.
    async fn pass(&self) -> Result<&SqliteLiveDb, LiveDbError> {
        self.waiting.fetch_add(1, Ordering::SeqCst);
        let _open = self.gate.read().await;
        self.waiting.fetch_sub(1, Ordering::SeqCst);
        if self.is_away.load(Ordering::SeqCst) {
            return Err(LiveDbError::Away("switched off".to_owned()));
        }
        Ok(&self.live_db)
    }
}

#[async_trait]
impl History for Switched {
    async fn broadcasts(
        &self,
        filter: &BroadcastFilter,
        limit: usize,
    ) -> Result<Vec<BroadcastRow>, LiveDbError> {
        self.broadcasts_waiting.fetch_add(1, Ordering::SeqCst);
        let _open = self.broadcasts_gate.read().await;
        self.broadcasts_waiting.fetch_sub(1, Ordering::SeqCst);
        self.pass().await?.broadcasts(filter, limit).await
    }

    async fn totals(&self, of: &TotalsOf) -> Result<Totals, LiveDbError> {
        self.pass().await?.totals(of).await
    }
}

switched! { Catalogue {
    fn room_of(producer: &ProducerId) -> Option<RoomRow>;
    fn producers(after: Option<&ProducerId>, limit: usize) -> Vec<RoomRow>;
    fn key_list(filter: &KeyFilter, limit: usize) -> Vec<KeyRow>;
    fn shorten_key(id: &LiveKeyId, at: UnixMs) -> Option<KeyRow>;
} }

switched! { Tokens {
    fn add_token(token: &NewToken, max: usize) -> bool;
    fn revoke_token(id: &TokenId, now: UnixMs) -> Option<TokenRow>;
    fn tokens(after: Option<&TokenId>, limit: usize) -> Vec<TokenRow>;
    fn valid_tokens(now: UnixMs) -> Vec<NewToken>;
    fn note_token_uses(uses: &[(TokenId, UnixMs)]) -> ();
} }

switched! { AuditLog {
    fn add_audit(rows: &[AuditRow]) -> ();
    fn audit(filter: &AuditFilter, limit: usize) -> Vec<AuditRow>;
} }

switched! { LiveDb {
    fn purge(retention: &Retention, now: UnixMs, limit: usize) -> Purged;
    fn check() -> ();
}
    async fn close(&self) {
        self.live_db.close().await;
    }
}

pub(crate) async fn start() -> (Api, Arc<Switched>) {
    start_with(Setup::new()).await
}

pub(crate) async fn start_with(setup: Setup) -> (Api, Arc<Switched>) {
    let live_db = SqliteLiveDb::open(setup.dir.path()).await.unwrap();
    let switched = Arc::new(Switched {
        live_db,
        is_away: AtomicBool::new(false),
        gate: RwLock::default(),
        waiting: AtomicU32::new(0),
        broadcasts_gate: RwLock::default(),
        broadcasts_waiting: AtomicU32::new(0),
    });
    let api = setup.start_on(Arc::clone(&switched) as Arc<dyn LiveDb>).await.unwrap();
    (api, switched)
}

#[tokio::test]
async fn with_the_live_db_away_history_waits_and_the_live_view_does_not() {
    let (api, live_db) = start().await;
    let session = api.on_air("anna").await;
    live_db.is_away.store(true, Ordering::SeqCst);

    let answer = api.get("/v1/broadcasts").expect(503);
    assert_eq!((answer.code(), answer.header("retry-after")), ("live_db_away", "2"));
    assert!(!answer.text.contains("switched off"), "the inner text stays inside");
    assert_eq!(api.post("/v1/producers/anna/broadcast-url", json!({})).expect(503).code(), "live_db_away");
    assert_eq!(api.get("/v1/sessions").expect(200).json["items"][0]["session_id"], session.id());
    api.get(&format!("/v1/sessions/{}", session.id())).expect(200);
    assert_eq!(api.get(&format!("/v1/rooms/{}", session.room())).expect(200).json["state"], "live");
    assert_eq!(api.get("/v1/rooms/nobodys").expect(503).code(), "live_db_away");
    let key = api.get(&format!("/v1/live-keys/{}", session.card.live_key_id)).expect(200).json;
    assert_eq!((&key["state"], &key["created_at"]), (&json!("active"), &Value::Null));
    let ready = api.get("/readyz").expect(200).json;
    assert_eq!((&ready["status"], &ready["degraded"]), (&json!("ready"), &json!(["live_db"])));
    assert!(api.get("/metrics").text.contains("onair_manager_live_db_up 0"));

    live_db.is_away.store(false, Ordering::SeqCst);
    eventually("history", async || api.get("/v1/broadcasts").status == 200).await;
    assert_eq!(api.get("/readyz").expect(200).json["degraded"], json!([]));
}

#[tokio::test]
async fn ends_holds_and_revocations_work_at_once_and_are_recorded_later() {
    let (api, live_db) = start().await;
    let session = api.on_air("anna").await;
    let other = api.on_air("ben").await;
    live_db.is_away.store(true, Ordering::SeqCst);

    api.post(&format!("/v1/rooms/{}/end", session.room()), json!({"hold_seconds": 600})).expect(202);
    assert!(session.lease(&api.registry).await.unwrap().order.is_some());
    assert!(api.registry.hold(&session.card.room_id).await.unwrap().is_some());
    let key = other.card.live_key_id.clone();
    api.delete(&format!("/v1/live-keys/{key}")).expect(202);
    assert_eq!(other.lease(&api.registry).await.unwrap().order.unwrap().reason, EndReason::Revoked);
    api.put("/v1/rooms/third/hold", json!({"hold_seconds": 600})).expect(202);
    api.delete("/v1/rooms/third/hold").expect(202);
    assert_eq!(api.delete("/v1/live-keys/00unknown").expect(503).code(), "live_db_away");
    assert!(api.get("/readyz").expect(200).json["degraded"].to_string().contains("records_owed"));

    live_db.is_away.store(false, Ordering::SeqCst);
    eventually("the rows that were owed", async || {
        let row = api.live_db.key(&key).await.unwrap().unwrap();
        let holds = api.live_db.holds(None, 9, UnixMs::now()).await.unwrap();
        row.revoked.is_some() && holds.len() == 1 && holds[0].room_id == session.card.room_id
    })
    .await;
    eventually("no debt", async || api.get("/readyz").json["degraded"] == json!([])).await;
}

#[tokio::test]
async fn events_wait_for_the_live_db_and_are_all_there_after() {
    let (api, live_db) = start().await;
    live_db.is_away.store(true, Ordering::SeqCst);
    let mut ids = Vec::new();
    for n in 0..50 {
        let session = crate::support::Session::of_room(&api.registry, &format!("r{n}"), "node-1").await;
        let session = session.live(&api.registry, UnixMs::now()).await;
        ids.push(session.id());
        session.end(&api.registry, EndReason::Disconnected).await;
    }
    eventually("the lane has met the outage", async || {
        api.get("/metrics").text.contains("onair_manager_live_db_up 0")
    })
    .await;
    live_db.is_away.store(false, Ordering::SeqCst);
    api.stored().await;
    let told = crate::support::outbox(&*api.live_db).await;
    assert_eq!(told.len(), 100);
    for id in ids {
        let ours: Vec<_> =
            told.iter().filter(|row| row.event_id.starts_with(&id)).map(|row| &row.kind).collect();
        assert_eq!(ours, ["onair.broadcast.started.v1", "onair.broadcast.ended.v1"]);
    }
}

#[tokio::test]
async fn a_change_is_carried_out_although_the_client_has_gone() {
    let (api, live_db) = start().await;
    let session = api.on_air("anna").await;
    let key = session.card.live_key_id.clone();
    let closed = live_db.gate.write().await;
    let mut socket = tokio::net::TcpStream::connect(api.handle.http_addr()).await.unwrap();
    // It will be reset, not closed: a half-closed client still gets its answer.
    socket.set_zero_linger().unwrap();
    let request =
        format!("DELETE /v1/live-keys/{key} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n\r\n");
    socket.write_all(request.as_bytes()).await.unwrap();
    eventually("the call waits at the gate", async || live_db.waiting.load(Ordering::SeqCst) > 0).await;
    drop(socket);
    // Time for the reset to arrive: a later request is answered by each of the two workers.
    for _ in 0..4 {
        let response = ureq::get(format!("{}/livez", api.base)).header("connection", "close").call();
        assert_eq!(response.unwrap().status(), 200);
    }
    drop(closed);
    eventually("the revocation", async || session.lease(&api.registry).await.unwrap().order.is_some()).await;
    assert!(api.live_db.key(&key).await.unwrap().unwrap().revoked.is_some());
}
