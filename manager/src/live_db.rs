//! The Live DB: what is remembered of producers, rooms, keys, holds, sessions and broadcasts. [`LiveDb`] is the sum of the
//! traits beside this file, one for each kind of thing; every store keeps all of them.
//!
//! Promises, for every implementation: one batch of events is one transaction; an event counts once however often it
//! comes; a room has at most one open session; a session ends once; messages for downstream are written to the outbox in
//! the transaction of what they tell; nothing is written under a term that is over. `tests/live_db_contract.rs` holds every
//! implementation to them.

mod addresses;
mod audit;
mod catalogue;
mod columns;
mod counts;
mod history;
mod ledger;
mod messages;
mod outbox;
mod owners;
mod parse;
mod postgres;
mod rows;
mod rules;
mod sqlite;
mod tokens;

use async_trait::async_trait;
use onair_cluster::{RoomId, Shard, UnixMs};
use thiserror::Error;

pub use addresses::Addresses;
pub use audit::{AuditAction, AuditFilter, AuditLog, AuditRow};
pub use catalogue::{Catalogue, KeyFilter, KeyPosition, KeyState};
pub use history::History;
pub use ledger::Ledger;
pub use outbox::{FeedSpan, Outbox, OutboxRow};
pub use owners::{Holdings, ManagerId, Owners, ShardTerm, Term};
pub use postgres::{PostgresLiveDb, PostgresOptions};
pub use rows::{
    Applied, BroadcastFilter, BroadcastRow, BroadcastState, HoldRow, KeyRow, MediaNote, NewKey, Outcome,
    Position, Purged, QuarantineRow, RoomRow, SessionEnd, SessionRow, Totals, TotalsOf, WhyRevoked,
};
pub use sqlite::SqliteLiveDb;
pub use tokens::{NewToken, NoTokenId, TokenId, TokenRow, Tokens};

use crate::config::Retention;

/// Why the Live DB did not do as asked. Texts are for logs; no client reads them.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum LiveDbError {
    /// Another process has it open, and two Managers must not write one file.
    #[error("{0} is in use by another process; one Manager owns a SQLite Live DB")]
    InUse(String),
    /// It does not answer now: busy, locked, full, or away. Trying again is right; the call may have taken effect.
    #[error("does not answer: {0}")]
    Away(String),
    /// It refuses what was to be written, and will again.
    #[error("refused: {0}")]
    Refused(String),
    /// The room belongs to another producer.
    #[error("room {0} belongs to another producer")]
    RoomTaken(RoomId),
    /// Another Manager owns the shard by now. Nothing was written, and nothing will be under that term.
    #[error("shard {0} is not owned under this term any more")]
    Fenced(Shard),
    /// A row does not hold what we wrote, or the schema is not ours.
    #[error("unreadable: {0}")]
    Unreadable(String),
}

/// Durable memory. Every call is one transaction; an `Err` means that nothing was written, except for
/// [`LiveDbError::Away`], after which nobody knows.
#[async_trait]
pub trait LiveDb: Addresses + Catalogue + Owners + Ledger + Outbox + History + Tokens + AuditLog {
    /// Forgets what `retention` no longer wants, at most `limit` rows of each kind.
    async fn purge(&self, retention: &Retention, now: UnixMs, limit: usize) -> Result<Purged, LiveDbError>;
    /// How many transactions that store events make sense at once. 1: a store with one writer.
    fn writers(&self) -> usize {
        1
    }
    /// Whether it answers.
    async fn check(&self) -> Result<(), LiveDbError>;
    /// Waits for calls under way and closes all connections. Calls after it fail.
    async fn close(&self);
}
