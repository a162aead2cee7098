//! Decisions: what the pump does about events of the state machine and commands of the actor, and how it says goodbye.

use std::time::Instant;

use onair_cluster::time::BootTime;
use onair_codec::{Close, Event, Output, PlayEnding, Status};

use super::{Closing, Command, Listener, Pump, Role};
use crate::reactor::Place;
use crate::room::Wants;
use crate::stop::StopReason;

impl<L: Listener> Pump<L> {
    /// Takes everything the state machine has to say. To be called whenever it was told something.
    pub(super) fn drain_peer(&mut self, now: Instant) {
        let mut boot = None;
        let was_live = self.is_live();
        while let Some(output) = self.peer.poll_output() {
            match output {
                Output::Transmit(bytes) => self.outbox.push(bytes),
                Output::Event(Event::Media(media)) => {
                    #[cfg(feature = "fault-injection")]
                    if let Some(change) = crate::faults::in_pump(&media) {
                        self.listener.facts(change);
                    }
                    if let Role::Publisher(publisher) = &mut self.role {
                        publisher.media(media, now, *boot.get_or_insert_with(BootTime::now));
                    }
                }
                Output::Event(event) => self.on_control(event),
                Output::Close(close) => self.on_close(close, now),
            }
        }
        self.peer_deadline = self.peer.poll_timeout();
        if !was_live && self.is_live() {
            // Media is a one-way street: an acknowledgement packet for each message would cost as much as reading it.
            self.socket.acknowledge_at_once(false);
            self.socket.begin_peeking();
        }
        if let Role::Publisher(publisher) = &mut self.role {
            if let Some(change) = publisher.take_facts(now) {
                self.listener.facts(change);
            }
            if let Some(text) = publisher.excess() {
                self.begin_close(StopReason::MaxBitrate, &text);
            }
        }
    }

    fn on_control(&mut self, event: Event) {
        match &event {
            Event::Unpublished(request) if self.request == Some(*request) => {
                self.end_publisher(true);
                self.request = None;
                self.said_goodbye = true;
            }
            Event::PlayStopped(request) if self.request == Some(*request) => {
                self.role = Role::None;
                self.request = None;
                self.said_goodbye = true;
            }
            Event::Paused { paused, .. } => self.change_wants(|wants| wants.paused = *paused),
            Event::ReceiveAudio { wanted, .. } => self.change_wants(|wants| wants.audio = *wanted),
            Event::ReceiveVideo { wanted, .. } => self.change_wants(|wants| wants.video = *wanted),
            _ => {}
        }
        self.listener.control(event);
    }

    fn change_wants(&mut self, change: impl FnOnce(&mut Wants)) {
        if let Role::Player(player) = &mut self.role {
            let mut wants = player.reader.wants();
            change(&mut wants);
            player.reader.set_wants(wants);
        }
    }

    fn on_close(&mut self, close: Close, now: Instant) {
        let reason = match close {
            Close::HandshakeTimeout => StopReason::HandshakeTimeout,
            Close::RequestTimeout => StopReason::RequestTimeout,
            Close::Rejected => StopReason::Refused("rejected"),
            _ => StopReason::Finished,
        };
        if self.closing.is_none() {
            self.end_session(&reason);
            self.closing = Some(Closing::new(reason, now));
        }
    }

    /// Does what its actor says.
    pub(crate) fn obey(&mut self, command: Command, now: Instant, place: &Place<'_>) {
        match command {
            Command::Publish { request, publisher } => {
                // An unknown request: the encoder took it back meanwhile. The publisher is dropped, its actor knows.
                if self.peer.accept(request).is_ok() {
                    self.request = Some(request);
                    self.role = Role::Publisher(publisher);
                    self.said_goodbye = false;
                }
            }
            Command::Play(mut player) => {
                if self.peer.accept(player.request).is_ok() {
                    player.reader.listen(place.ear());
                    self.request = Some(player.request);
                    self.role = Role::Player(player);
                    self.said_goodbye = false;
                }
            }
            Command::Refuse { request, status, text, label } => {
                if self.peer.reject(request, status, &text).is_ok() {
                    self.closing = Some(Closing::new(StopReason::Refused(label), now));
                }
            }
            Command::Finish { reason, text } => {
                self.end_publisher(reason.is_for_good());
                self.begin_close(reason, &text);
            }
        }
        self.drain_peer(now);
    }

    pub(super) fn end_publisher(&mut self, for_good: bool) {
        if matches!(self.role, Role::Publisher(_))
            && let Role::Publisher(mut publisher) = std::mem::replace(&mut self.role, Role::None)
        {
            if let Some(change) = publisher.take_all_facts() {
                self.listener.facts(change);
            }
            let dropped = &publisher.dropped;
            self.reports.dropped("withheld", dropped.withheld);
            self.reports.dropped("fenced", dropped.fenced);
            self.reports.dropped("useless", dropped.useless);
            publisher.end(for_good);
            self.socket.end_peeking();
        }
    }

    /// Ends the running session by the pump's own finding. The room is given back now, not when the peer has read its last
    /// words.
    fn end_session(&mut self, reason: &StopReason) {
        if matches!(self.role, Role::Publisher(_)) {
            self.end_publisher(reason.is_for_good());
            self.listener.ending(reason.clone());
        }
    }

    /// Tells the peer why, then flushes, half-closes and waits a moment for it to read that.
    pub(super) fn begin_close(&mut self, reason: StopReason, text: &str) {
        if self.closing.is_some() {
            return;
        }
        let now = Instant::now();
        if let Some(request) = self.request.take() {
            match (&self.role, &reason) {
                (Role::Player(_), StopReason::PlayNotFound) => {
                    let _unknown =
                        self.peer.reject(request, Status::PlayStreamNotFound, "nobody is on air here");
                }
                // To another node "stopped" means that its players need not wait.
                (Role::Player(player), _) if player.reader.is_relay() && !player.reader.ended_for_good() => {
                    self.peer.end_play(request, PlayEnding::Unpublished);
                }
                (Role::Player(_), _) => self.peer.end_play(request, PlayEnding::Stopped),
                _ if !text.is_empty() => {
                    let _unknown = self.peer.reject(request, reason.status(), text);
                }
                _ => {}
            }
        }
        self.end_session(&reason);
        self.closing = Some(Closing::new(reason, now));
        self.drain_peer(now);
    }
}
