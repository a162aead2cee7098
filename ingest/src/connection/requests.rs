//! Requests: what becomes of a peer's wish to publish.
//!
//! A publish is checked in this order, cheapest first: the key's signature and times, here; the key's record, the hold and
//! the lease, in one step at the registry. Only then is the encoder told that it is on.

use std::time::{Duration, Instant};

use onair_cluster::events::EndReason;
use onair_cluster::keeper::Refusal;
use onair_cluster::lease::Lease;
use onair_cluster::registry::Claim;
use onair_cluster::{RoomId, SessionId, UnixMs};
use onair_codec::{PublishRequest, RequestId, Status};
use ractor::ActorRef;

use super::publisher::Publisher;
use super::pump::Command;
use super::{Connection, Door, Msg, Phase, Publishing, State};
use crate::task::TaskGuard;

impl Connection {
    pub(super) fn on_publish(&self, state: &mut State, request: &PublishRequest) {
        if state.door == Door::Relay {
            self.wiring.reports.relay().refused(state.id, state.address, None, "publish");
            let (request, status) = (request.request, Status::PublishDenied);
            let text = "nobody publishes here".to_owned();
            state.tell_pump(Command::Refuse { request, status, text, label: "relay_refused" });
            return;
        }
        if !matches!(state.phase, Phase::Idle) {
            self.refuse(
                state,
                request.request,
                &request.address.room,
                Status::PublishBadName,
                "already_busy",
                "this connection is already in use".into(),
            );
            return;
        }
        let room_text = String::from_utf8_lossy(&request.address.room).into_owned();
        let verified =
            match self.wiring.verifier.verify(request.address.name.expose(), &room_text, UnixMs::now()) {
                Ok(verified) => verified,
                Err(error) => {
                    self.refuse(
                        state,
                        request.request,
                        &request.address.room,
                        Status::PublishDenied,
                        error.label(),
                        error.public_text(),
                    );
                    return;
                }
            };
        let claim = Claim {
            session_id: SessionId::random(),
            room_id: verified.room_id.clone(),
            live_key_id: verified.live_key_id,
            node_id: self.wiring.node.clone(),
            client_addr: state.address.ip().to_canonical(),
            client_agent: state.agent.clone(),
            issued: verified.issued,
        };
        let (keeper, me, id) = (self.wiring.keeper.clone(), state.me.clone(), request.request);
        let claim = TaskGuard::spawn(async move {
            let outcome = Delivery(Some(keeper.claim(claim).await));
            let _gone = me.cast(Msg::Claimed { request: id, room: verified.room_id, outcome });
        });
        state.phase = Phase::Claiming { request: id, _claim: claim };
    }

    pub(super) fn on_claimed(
        &self,
        state: &mut State,
        request: RequestId,
        room: &RoomId,
        mut outcome: Delivery,
    ) {
        let Some(outcome) = outcome.0.take() else { return };
        let expected = matches!(state.phase, Phase::Claiming { request: claimed, .. } if claimed == request);
        let lease = match outcome {
            Ok(lease) if expected => lease,
            Ok(lease) => {
                // The publisher took its wish back while the registry granted it.
                lease.end_detached(EndReason::Unpublished);
                return;
            }
            Err(refusal) if expected => {
                let status = match refusal {
                    Refusal::Busy { .. } => Status::PublishBadName,
                    Refusal::Denied(_) => Status::PublishDenied,
                    _ => Status::PublishRejected,
                };
                self.refuse(
                    state,
                    request,
                    room.as_str().as_bytes(),
                    status,
                    refusal.label(),
                    refusal.public_text(),
                );
                return;
            }
            Err(_) => return,
        };
        let now = Instant::now();
        let Some(source) = self.wiring.rooms.publish(room, lease.card().epoch, now) else {
            lease.end_detached(EndReason::Superseded);
            let text = "a newer broadcast has this room".to_owned();
            self.refuse(state, request, room.as_str().as_bytes(), Status::PublishBadName, "fenced", text);
            return;
        };
        let session = lease.card().session_id;
        let publisher = Publisher::new(lease.pass(), source, self.wiring.config.limits.amf, now);
        let publisher = Box::new(publisher.limited(lease.max_bitrate(), now));
        state.tell_pump(Command::Publish { request, publisher });
        state.permit.let_in();
        let counted =
            self.wiring.reports.publishing(state.id, state.address, room, session, state.accepted.elapsed());
        let me = state.me.clone();
        lease.on_signal(move |signal| {
            let _gone = me.cast(Msg::Lease { session, signal });
        });
        state.phase = Phase::Publishing(Publishing {
            request,
            _timer: lease.max_duration().map(|limit| alarm(limit, session, state.me.clone())),
            lease,
            _counted: counted,
        });
    }

    pub(super) fn on_unpublished(state: &mut State, request: RequestId) {
        match std::mem::replace(&mut state.phase, Phase::Idle) {
            Phase::Publishing(publishing) if publishing.request == request => {
                publishing.lease.end_detached(EndReason::Unpublished);
            }
            // Withdrawn while it was asked for.
            Phase::Claiming { request: claimed, .. } if claimed == request => {}
            other => state.phase = other,
        }
    }

    pub(super) fn refuse(
        &self,
        state: &mut State,
        request: RequestId,
        room: &[u8],
        status: Status,
        label: &'static str,
        text: String,
    ) {
        // Only what could be a room is logged: a live key pasted into the wrong field has dots, a room has none.
        let room = std::str::from_utf8(room).ok().and_then(|text| RoomId::parse(text).ok());
        self.wiring.reports.refused(state.id, state.address, room.as_ref(), label, &text);
        state.tell_pump(Command::Refuse { request, status, text, label });
    }
}

/// A claim's answer on its way to the connection. One that nobody takes any more is the lease of an encoder that has left.
pub(crate) struct Delivery(Option<Result<Lease, Refusal>>);

impl Drop for Delivery {
    fn drop(&mut self) {
        if let Some(Ok(lease)) = self.0.take() {
            lease.end_detached(EndReason::Disconnected);
        }
    }
}

/// Wakes the connection when its session is as old as it may get.
fn alarm(after: Duration, session: SessionId, me: ActorRef<Msg>) -> TaskGuard {
    TaskGuard::spawn(async move {
        tokio::time::sleep(after).await;
        let _gone = me.cast(Msg::TooOld { session });
    })
}
