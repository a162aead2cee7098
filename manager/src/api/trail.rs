//! The trail of a request: who made it and from where, for the audit log.

use std::fmt::Display;
use std::net::IpAddr;

use actix_web::{HttpMessage, HttpRequest};
use onair_cluster::UnixMs;
use serde_json::Value;

use super::admit::caller;
use super::frame::RequestId;
use super::problem::Problem;
use crate::caller::Caller;
use crate::core::Core;
use crate::live_db::{AuditAction, AuditRow};

/// Taken before a change is carried out, since the request may be gone after it.
#[derive(Clone, Debug)]
pub(super) struct Trail {
    pub(super) caller: Caller,
    request_id: String,
    peer: Option<IpAddr>,
}

impl Trail {
    pub(super) fn of(request: &HttpRequest) -> Result<Self, Problem> {
        let request_id = request.extensions().get::<RequestId>().map(|id| id.0.clone());
        Ok(Self {
            caller: caller(request)?,
            request_id: request_id.unwrap_or_default(),
            peer: request.peer_addr().map(|peer| peer.ip()),
        })
    }

    /// Notes that it was done. `details` is an object, and holds no secret.
    pub(super) fn note(&self, core: &Core, action: AuditAction, subject: impl Display, details: Value) {
        let at = UnixMs::now();
        let row = AuditRow {
            audit_id: AuditRow::id_at(at),
            at,
            caller: self.caller.kind(),
            caller_id: self.caller.id(),
            caller_name: self.caller.name().map(str::to_owned),
            role: self.caller.role(),
            action,
            subject: subject.to_string(),
            details: details.to_string(),
            request_id: self.request_id.clone(),
            peer: self.peer,
        };
        core.audit.note(core, row);
    }
}
