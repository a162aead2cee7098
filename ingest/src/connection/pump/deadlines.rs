//! Deadlines: when the pump must act though nothing arrives.

use std::time::Instant;

use onair_codec::Input;

use super::{Listener, NEVER, Pump, Role};
use crate::stop::StopReason;

impl<L: Listener> Pump<L> {
    /// Whether a closing connection is done.
    pub(super) fn closed(&mut self, now: Instant) -> Option<StopReason> {
        let closing = self.closing.as_mut()?;
        if now >= closing.deadline {
            return Some(closing.reason.clone());
        }
        if self.outbox.is_empty() && !closing.half_closed {
            closing.half_closed = true;
            self.socket.take();
            // FIN after the last word: a reset would destroy it in the peer's receive queue.
            if self.socket.shutdown_write().is_err() {
                return Some(closing.reason.clone());
            }
        }
        None
    }

    /// When to look at the clock again, bytes or no bytes.
    pub(super) fn next_deadline(&mut self, now: Instant) -> Instant {
        let mut deadline = now + NEVER;
        let mut consider = |at: Option<Instant>| {
            if let Some(at) = at {
                deadline = deadline.min(at);
            }
        };
        if let Some(closing) = &self.closing {
            return closing.deadline;
        }
        consider(self.peer_deadline);
        consider(self.socket.takes_at());
        consider((!self.socket.is_watched()).then(|| self.looks.next()));
        consider(self.write_stalled_since.map(|since| since + self.config.write_timeout));
        match &self.role {
            Role::None => {}
            Role::Publisher(publisher) => {
                consider(Some(
                    publisher.silent_at(self.config.first_media_timeout, self.config.idle_timeout),
                ));
                consider(publisher.rings_at());
            }
            // One that is still being written to has something to see.
            Role::Player(_) if !self.outbox.is_empty() => {}
            Role::Player(player) => {
                consider(player.give_up_at(self.config.play_wait, self.config.rejoin_wait));
            }
        }
        deadline
    }

    /// A deadline may have passed: why the connection must end, if it must.
    pub(super) fn on_time(&mut self, now: Instant) -> Option<StopReason> {
        if self.peer_deadline.is_some_and(|at| at <= now) {
            if let Err(error) = self.peer.handle(now, Input::Timeout) {
                return Some(StopReason::Protocol(error));
            }
            self.drain_peer(now);
        }
        if self.socket.takes_at().is_some_and(|at| at <= now) {
            self.socket.take();
        }
        if self.write_stalled_since.is_some_and(|since| since + self.config.write_timeout <= now) {
            return Some(StopReason::WriteTimeout);
        }
        match &self.role {
            Role::None => None,
            Role::Player(_) if !self.outbox.is_empty() => None,
            Role::Publisher(publisher) => {
                let silent =
                    publisher.silent_at(self.config.first_media_timeout, self.config.idle_timeout) <= now;
                let heard = publisher.heard_any();
                silent.then_some(if heard { StopReason::IdleTimeout } else { StopReason::FirstMediaTimeout })
            }
            Role::Player(player) => {
                let over = player
                    .give_up_at(self.config.play_wait, self.config.rejoin_wait)
                    .is_some_and(|at| at <= now);
                over.then_some(if player.seen_any() {
                    StopReason::PlayEnded
                } else {
                    StopReason::PlayNotFound
                })
            }
        }
    }
}
