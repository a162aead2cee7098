//! The audit log: who ended, revoked, held, drained, made what through the API. Written once, never changed.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use onair_cluster::UnixMs;
use serde::Serialize;
use utoipa::ToSchema;

use super::LiveDbError;
use crate::caller::CallerKind;
use crate::role::Role;

/// What was done. The list only grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AuditAction {
    /// A producer and their room were put on record.
    ProducerCreated,
    /// What was on air in a room was told to end.
    RoomEnded,
    /// A room was held.
    RoomHeld,
    /// A hold was lifted.
    HoldLifted,
    /// A live key was revoked.
    LiveKeyRevoked,
    /// A room's live keys were exchanged for a new one.
    LiveKeysRotated,
    /// A key of another issuer was refused.
    ForeignKeyRevoked,
    /// A node was asked to drain.
    NodeDrained,
    /// An API token was made.
    TokenCreated,
    /// An API token was revoked.
    TokenRevoked,
}

impl AuditAction {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::ProducerCreated,
        Self::RoomEnded,
        Self::RoomHeld,
        Self::HoldLifted,
        Self::LiveKeyRevoked,
        Self::LiveKeysRotated,
        Self::ForeignKeyRevoked,
        Self::NodeDrained,
        Self::TokenCreated,
        Self::TokenRevoked,
    ];

    /// As it stands in rows and answers.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ProducerCreated => "producer_created",
            Self::RoomEnded => "room_ended",
            Self::RoomHeld => "room_held",
            Self::HoldLifted => "hold_lifted",
            Self::LiveKeyRevoked => "live_key_revoked",
            Self::LiveKeysRotated => "live_keys_rotated",
            Self::ForeignKeyRevoked => "foreign_key_revoked",
            Self::NodeDrained => "node_drained",
            Self::TokenCreated => "token_created",
            Self::TokenRevoked => "token_revoked",
        }
    }

    /// The other way round.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|action| action.name() == name)
    }
}

/// One entry. Holds no secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditRow {
    /// 32 hexadecimal digits that begin with the time: their order is the order of the log (see [`AuditRow::id_at`]).
    pub audit_id: String,
    /// When.
    pub at: UnixMs,
    /// By what kind of token.
    pub caller: CallerKind,
    /// By which of its kind.
    pub caller_id: String,
    /// What people call it.
    pub caller_name: Option<String>,
    /// With which role; a live key has none.
    pub role: Option<Role>,
    /// What.
    pub action: AuditAction,
    /// To which room, live key, node, token or producer.
    pub subject: String,
    /// More, as a JSON object: what belongs to the action.
    pub details: String,
    /// The request, as in `X-Request-Id`.
    pub request_id: String,
    /// From which address.
    pub peer: Option<IpAddr>,
}

impl AuditRow {
    /// The id of an entry of this time. Of one millisecond, entries made in one process sort as they were made: a hold that was
    /// lifted at once is not lifted before it began. Between processes their clocks decide.
    pub fn id_at(at: UnixMs) -> String {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let made = MADE.fetch_add(1, Ordering::Relaxed);
        let random = rand::random::<u64>() >> 16;
        format!("{}{made:08x}{random:012x}", Self::first_id_at(at))
    }

    /// What the ids of all entries of this time begin with.
    pub fn first_id_at(at: UnixMs) -> String {
        // 48 bits of milliseconds last until the year 10889.
        format!("{:012x}", at.0.min((1 << 48) - 1))
    }
}

/// Which entries are asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditFilter {
    /// Of this action.
    pub action: Option<AuditAction>,
    /// By this caller's id.
    pub caller_id: Option<String>,
    /// About this one.
    pub subject: Option<String>,
    /// Not before.
    pub since: Option<UnixMs>,
    /// Before.
    pub until: Option<UnixMs>,
    /// Older than this entry.
    pub after: Option<String>,
}

impl AuditFilter {
    /// The lowest id that it lets through, and the first above all of them.
    pub fn bounds(&self) -> (String, String) {
        let lowest = self.since.map(AuditRow::first_id_at).unwrap_or_default();
        let until = self.until.map(AuditRow::first_id_at);
        // No id begins with a letter past f.
        let above = [until, self.after.clone()].into_iter().flatten().min().unwrap_or_else(|| "g".to_owned());
        (lowest, above)
    }
}

/// The log.
#[async_trait]
pub trait AuditLog: Send + Sync + 'static {
    /// Records entries. One that is there already changes nothing.
    async fn add_audit(&self, rows: &[AuditRow]) -> Result<(), LiveDbError>;
    /// Entries, newest first, at most `limit`.
    async fn audit(&self, filter: &AuditFilter, limit: usize) -> Result<Vec<AuditRow>, LiveDbError>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_one_millisecond_sort_as_they_were_made_and_later_ones_after_them() {
        let at = UnixMs(1_700_000_000_000);
        let ids: Vec<_> = (0..1_000).map(|_| AuditRow::id_at(at)).collect();
        assert!(ids.is_sorted() && ids.iter().all(|id| id.len() == 32));
        assert!(ids.last() < Some(&AuditRow::id_at(UnixMs(at.0 + 1))));
    }
}
