//! Plays: what becomes of a peer's wish to play, by the public door and by the one for other nodes.
//!
//! A player is checked before anything is looked up, so that what it is told depends on its token alone: a room that is off air and
//! one that nobody ever heard of are the same to it, in words and in time. Another node shows what it wants in its token: one room at
//! one epoch, and gets exactly that from the node that holds it, or nothing.

use std::time::Instant;

use onair_cluster::{RoomId, UnixMs};
use onair_codec::{PlayRequest, Status};

use super::player::Player;
use super::pump::Command;
use super::{Connection, Door, Phase, State};
use crate::config::PlayAccess;
use crate::reports::Counted;
use crate::room::Reader;

/// The parameter of the address that carries a token.
const TOKEN: &str = "token";

impl Connection {
    pub(super) fn on_play(&self, state: &mut State, request: &PlayRequest) {
        if !matches!(state.phase, Phase::Idle) {
            let text = "this connection is already in use";
            self.refuse_play(state, request, Status::PlayFailed, "already_busy", text);
            return;
        }
        let is_live = request.address.name.expose() == b"live";
        let room = std::str::from_utf8(&request.address.room).ok().and_then(|text| RoomId::parse(text).ok());
        let Some(room) = room.filter(|_| is_live) else {
            let text = "play rtmp://host/{room_id}/live";
            self.refuse_play(state, request, Status::PlayStreamNotFound, "bad_play_address", text);
            return;
        };
        match state.door {
            Door::Public => self.on_viewer(state, request, &room),
            Door::Relay => self.on_relay(state, request, &room),
        }
    }

    fn on_viewer(&self, state: &mut State, request: &PlayRequest, room: &RoomId) {
        if self.wiring.config.play == PlayAccess::Token {
            let token = request.address.query.get(TOKEN).unwrap_or_default();
            if let Err(error) = self.wiring.play_verifier.verify(token.expose(), room, UnixMs::now()) {
                let text = "this room needs a valid token: rtmp://host/{room_id}/live?token=...";
                self.refuse_play(state, request, Status::PlayFailed, error.label(), text);
                return;
            }
        }
        let counted = self.wiring.reports.playing(state.id, state.address, room);
        let reader = self.wiring.rooms.read(room, Instant::now());
        self.let_play(state, request, reader, counted);
        if let Some(pulls) = &self.wiring.pulls {
            pulls.want(room);
        }
    }

    fn on_relay(&self, state: &mut State, request: &PlayRequest, room: &RoomId) {
        let token = request.address.query.get(TOKEN).unwrap_or_default();
        let Some(key) = &self.wiring.relay_key else {
            return self.refuse_relay(state, request, room, Status::PlayFailed, "no_key");
        };
        let pass = match key.verify(token.expose(), room, UnixMs::now()) {
            Ok(pass) => pass,
            Err(error) => {
                return self.refuse_relay(state, request, room, Status::PlayFailed, error.label());
            }
        };
        let Some(reader) = self.wiring.rooms.read_epoch(room, pass.epoch, Instant::now()) else {
            // Not yet, not any more, or pulled here itself: whoever asks finds out by a fresh look.
            return self.refuse_relay(state, request, room, Status::PlayStreamNotFound, "not_held");
        };
        let reports = self.wiring.reports.relay();
        let counted = reports.serving(state.id, state.address, room, pass.epoch, &pass.node);
        self.let_play(state, request, reader, counted);
    }

    fn let_play(&self, state: &mut State, request: &PlayRequest, reader: Reader, counted: Counted) {
        let chunk_size = self.wiring.config.chunk_size;
        let player = Player::new(request.request, request.message_stream_id, chunk_size, reader, counted);
        state.tell_pump(Command::Play(Box::new(player)));
        // It still counts against its address, until there is something to see.
        state.phase = Phase::Playing { request: request.request };
    }

    fn refuse_play(
        &self,
        state: &mut State,
        request: &PlayRequest,
        status: Status,
        label: &'static str,
        text: &str,
    ) {
        self.refuse(state, request.request, &request.address.room, status, label, text.to_owned());
    }

    fn refuse_relay(
        &self,
        state: &mut State,
        request: &PlayRequest,
        room: &RoomId,
        status: Status,
        cause: &'static str,
    ) {
        self.wiring.reports.relay().refused(state.id, state.address, Some(room), cause);
        let (request, text) = (request.request, "not here".to_owned());
        state.tell_pump(Command::Refuse { request, status, text, label: "relay_refused" });
    }
}
