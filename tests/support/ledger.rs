//! What the Live DB holds in the end: sessions and the messages for downstream, read by SQL behind the Manager's back.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use sqlx::postgres::PgConnection;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions, Connection, query_as};

use tokio::time::timeout;

use super::crowd::attempt_of_agent;

/// How long PostgreSQL may take.
const ANSWER_MAX: Duration = Duration::from_secs(10);

const SESSIONS: &str = "SELECT session_id, room_id, epoch, node_id, client_agent, granted_at, live_at, ended_at, end_reason \
     FROM session ORDER BY room_id, epoch";
const MESSAGES: &str = "SELECT cast(shard AS bigint) AS shard, seq, event_id, room_id, epoch, shipped_at FROM outbox ORDER BY shard, seq";
const QUARANTINED: &str = "SELECT count(*) FROM quarantine";

/// A session's row.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct SessionRow {
    pub session_id: String,
    pub room_id: String,
    pub epoch: i64,
    pub node_id: String,
    pub client_agent: String,
    pub granted_at: i64,
    pub live_at: Option<i64>,
    pub ended_at: Option<i64>,
    pub end_reason: Option<String>,
}

/// A message for downstream; `seq` is the order of commits in its shard, without gaps.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct Message {
    pub shard: i64,
    pub seq: i64,
    pub event_id: String,
    pub room_id: String,
    pub epoch: i64,
    pub shipped_at: Option<i64>,
}

/// All of it.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    /// By room, then by epoch.
    pub sessions: Vec<SessionRow>,
    /// By shard, then by number.
    pub messages: Vec<Message>,
    pub quarantined: i64,
}

impl Ledger {
    /// Reads the Live DB in `data_dir`.
    pub fn read(data_dir: &Path) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(Self::read_async(data_dir)).unwrap_or_else(|e| panic!("the Live DB: {e}"))
    }

    async fn read_async(data_dir: &Path) -> sqlx::Result<Self> {
        let file = data_dir.join("live.db");
        let mut db: SqliteConnection =
            SqliteConnectOptions::new().filename(file).read_only(true).connect().await?;
        let sessions = query_as(SESSIONS).fetch_all(&mut db).await?;
        let messages = query_as(MESSAGES).fetch_all(&mut db).await?;
        let (quarantined,) = query_as(QUARANTINED).fetch_one(&mut db).await?;
        Ok(Self { sessions, messages, quarantined })
    }

    /// Reads the Live DB at `url`, all of it as of one moment.
    pub fn read_postgres(url: &str) -> Result<Self, String> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let reading = async { timeout(ANSWER_MAX, Self::read_postgres_async(url)).await };
        match runtime.block_on(reading) {
            Ok(outcome) => outcome.map_err(|e| e.to_string()),
            Err(_) => Err("no answer".to_owned()),
        }
    }

    async fn read_postgres_async(url: &str) -> sqlx::Result<Self> {
        let mut db = PgConnection::connect(url).await?;
        let mut read = db.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
        let sessions = query_as(SESSIONS).fetch_all(&mut *read).await?;
        let messages = query_as(MESSAGES).fetch_all(&mut *read).await?;
        let (quarantined,) = query_as(QUARANTINED).fetch_one(&mut *read).await?;
        read.rollback().await?;
        db.close().await?;
        Ok(Self { sessions, messages, quarantined })
    }

    /// The sessions of our own attempts.
    pub fn by_attempt(&self) -> BTreeMap<u64, Vec<&SessionRow>> {
        let mut all = BTreeMap::<_, Vec<_>>::new();
        for session in &self.sessions {
            if let Some(attempt) = attempt_of_agent(&session.client_agent) {
                all.entry(attempt).or_default().push(session);
            }
        }
        all
    }

    /// Sessions of `room`, oldest first.
    pub fn of_room(&self, room: &str) -> Vec<&SessionRow> {
        self.sessions.iter().filter(|s| s.room_id == room).collect()
    }

    /// What is wrong with the messages: each broadcast has one `live` and then at most one `ended`, and in a room nothing of
    /// a newer broadcast comes before the end of an older one.
    pub fn faults_of_messages(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let mut open: BTreeMap<&str, &str> = BTreeMap::new();
        let mut newest: BTreeMap<&str, i64> = BTreeMap::new();
        for message in &self.messages {
            let room = message.room_id.as_str();
            let Some((session, kind)) = message.event_id.split_once('/') else {
                faults.push(format!("no event id: {}", message.event_id));
                continue;
            };
            if newest.get(room).is_some_and(|epoch| message.epoch < *epoch) {
                faults.push(format!("{room}: {} comes after a newer epoch", message.event_id));
            }
            newest.insert(room, message.epoch);
            match kind {
                "live" => {
                    if let Some(other) = open.insert(room, session) {
                        faults.push(format!("{room}: {session} began before {other} had ended"));
                    }
                }
                "ended" => {
                    if open.remove(room) != Some(session) {
                        faults.push(format!("{room}: {session} ended without having begun"));
                    }
                }
                other => faults.push(format!("{room}: an unknown message {other}")),
            }
        }
        faults.extend(open.iter().map(|(room, session)| format!("{room}: {session} never ended")));
        if self.quarantined > 0 {
            faults.push(format!("{} events in quarantine", self.quarantined));
        }
        faults
    }
}
