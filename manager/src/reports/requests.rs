//! What callers of the API ask for, and what is done for them.

use std::time::Duration;

use onair_cluster::registry::Hold;
use onair_cluster::{LiveKeyId, ProducerId, RoomId, SessionId, UnixMs};
use tracing::{debug, error, info, warn};

use crate::live_db::{AuditRow, LiveDbError, NewToken};
use crate::metrics::{ManagerMetrics, RequestLabels};

/// A broadcast address was handed out.
pub(crate) struct AddressIssued<'a> {
    pub(crate) producer: &'a ProducerId,
    pub(crate) room: &'a RoomId,
    pub(crate) live_key_id: &'a LiveKeyId,
    pub(crate) expires_at: UnixMs,
    pub(crate) retired: &'a [LiveKeyId],
}

impl AddressIssued<'_> {
    pub(crate) fn emit(&self, metrics: &ManagerMetrics) {
        metrics.addresses.inc();
        metrics.keys_retired.inc_by(self.retired.len() as u64);
        info!(producer = %self.producer, room = %self.room, live_key_id = %self.live_key_id,
            expires_at = %self.expires_at, "broadcast address issued");
        for retired in self.retired {
            info!(room = %self.room, live_key_id = %retired, "live key retired to make room for a new one");
        }
    }
}

/// A key was revoked through the API.
pub(crate) struct KeyRevoked<'a> {
    pub(crate) live_key_id: &'a LiveKeyId,
    /// Both Live DB and registry know.
    pub(crate) is_recorded: bool,
}

impl KeyRevoked<'_> {
    pub(crate) fn emit(&self, metrics: &ManagerMetrics) {
        metrics.keys_revoked.inc();
        info!(live_key_id = %self.live_key_id, recorded = self.is_recorded, "live key revoked");
    }
}

/// A key ends earlier than it was made to.
pub(crate) struct KeyShortened<'a> {
    pub(crate) live_key_id: &'a LiveKeyId,
    pub(crate) at: UnixMs,
    /// Both Live DB and registry know.
    pub(crate) is_recorded: bool,
}

impl KeyShortened<'_> {
    pub(crate) fn emit(&self) {
        info!(live_key_id = %self.live_key_id, at = %self.at, recorded = self.is_recorded, "live key ends sooner");
    }
}

/// Somebody wants a room to end.
pub(crate) struct EndAsked<'a> {
    pub(crate) room: &'a RoomId,
    pub(crate) session: Option<SessionId>,
    pub(crate) note: &'a str,
    pub(crate) outstanding: usize,
}

impl EndAsked<'_> {
    pub(crate) fn emit(&self, metrics: &ManagerMetrics) {
        metrics.ends_outstanding.set(i64::try_from(self.outstanding).unwrap_or(i64::MAX));
        if let Some(session) = self.session {
            metrics.ends_asked.inc();
            info!(room = %self.room, session_id = %session, note = self.note, "session told to end");
        } else {
            info!(room = %self.room, note = self.note, "asked to end a room where nobody is live");
        }
    }
}

/// Looked whether sessions told to end have ended.
pub(crate) struct EndsSeen {
    pub(crate) ended: usize,
    pub(crate) outstanding: usize,
}

impl EndsSeen {
    pub(crate) fn emit(&self, metrics: &ManagerMetrics) {
        metrics.ends_outstanding.set(i64::try_from(self.outstanding).unwrap_or(i64::MAX));
        debug!(ended = self.ended, outstanding = self.outstanding, "sessions told to end");
    }
}

/// A session does not end although it was told to.
pub(crate) struct EndOverdue<'a> {
    pub(crate) room: &'a RoomId,
    pub(crate) session: SessionId,
    pub(crate) since: UnixMs,
}

impl EndOverdue<'_> {
    pub(crate) fn emit(&self) {
        warn!(room = %self.room, session_id = %self.session, asked_at = %self.since,
            "a session told to end is still there");
    }
}

/// A room is held, or free again.
pub(crate) struct HoldChanged<'a> {
    pub(crate) room: &'a RoomId,
    pub(crate) hold: Option<&'a Hold>,
    /// The Live DB knows.
    pub(crate) is_recorded: bool,
}

impl HoldChanged<'_> {
    pub(crate) fn emit(&self) {
        match self.hold {
            Some(hold) => info!(room = %self.room, until = %hold.until, reason = hold.reason,
                recorded = self.is_recorded, "room held"),
            None => info!(room = %self.room, recorded = self.is_recorded, "hold lifted"),
        }
    }
}

/// An API token was made.
pub(crate) struct TokenMade<'a> {
    pub(crate) token: &'a NewToken,
}

impl TokenMade<'_> {
    pub(crate) fn emit(&self) {
        let NewToken { token_id, name, role, .. } = self.token;
        info!(%token_id, name, %role, "API token made");
    }
}

/// An API token is good no longer.
pub(crate) struct TokenRevoked<'a> {
    pub(crate) token: &'a NewToken,
}

impl TokenRevoked<'_> {
    pub(crate) fn emit(&self) {
        let NewToken { token_id, name, role, .. } = self.token;
        info!(%token_id, name, %role, "API token revoked");
    }
}

/// Something was done through the API that must be accounted for.
pub(crate) struct Audited<'a> {
    pub(crate) row: &'a AuditRow,
    /// It will be in the table, too.
    pub(crate) is_kept: bool,
}

impl Audited<'_> {
    pub(crate) fn emit(&self, metrics: &ManagerMetrics) {
        let AuditRow { caller, caller_id, action, subject, details, request_id, peer, .. } = self.row;
        let (caller, action, peer) = (caller.name(), action.name(), peer.map(tracing::field::display));
        info!(caller, caller_id, action, subject, details, request_id, peer, "audit");
        if !self.is_kept {
            metrics.audit_lost.inc();
            error!(
                action,
                subject, request_id, "too many entries of the audit log wait; this one is in the log only"
            );
        }
    }
}

/// The Live DB refuses an entry of the audit log.
pub(crate) struct AuditRefused<'a> {
    pub(crate) row: &'a AuditRow,
    pub(crate) error: &'a LiveDbError,
}

impl AuditRefused<'_> {
    pub(crate) fn emit(&self, metrics: &ManagerMetrics) {
        metrics.audit_lost.inc();
        let (action, subject, request_id) = (self.row.action.name(), &self.row.subject, &self.row.request_id);
        error!(action, subject, request_id, error = %self.error,
            "the Live DB refuses an entry of the audit log; it is in the log only");
    }
}

/// A request was answered.
pub(crate) struct RequestServed<'a> {
    pub(crate) labels: RequestLabels,
    pub(crate) request_id: &'a str,
    pub(crate) peer: Option<std::net::SocketAddr>,
    pub(crate) took: Duration,
    /// For us, never for the client.
    pub(crate) internal: Option<&'a str>,
}

impl RequestServed<'_> {
    pub(crate) fn emit(self, metrics: &ManagerMetrics) {
        let RequestLabels { route, method, status } = &self.labels;
        let (request_id, took_us, internal) = (self.request_id, self.took.as_micros(), self.internal);
        let peer = self.peer.map(tracing::field::display);
        metrics.request_time.observe(self.took.as_secs_f64());
        if *status == 401 {
            metrics.refused_tokens.inc();
        }
        match status {
            // Said once when it changes; a probe that asks again is no failure.
            503 if *route == "/readyz" => {
                debug!(route, method, status, request_id, took_us, peer, "not ready");
            }
            500.. => error!(route, method, status, request_id, took_us, peer, internal, "request failed"),
            400.. => info!(route, method, status, request_id, took_us, peer, internal, "request refused"),
            _ => debug!(route, method, status, request_id, took_us, peer, "request answered"),
        }
        metrics.requests.get_or_create(&self.labels).inc();
    }
}
