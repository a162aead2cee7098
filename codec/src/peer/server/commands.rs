//! Commands of a client, and what each is answered (RTMP 1.0 §7.2).
//!
//! Clients differ in which answers they wait for, so every known command that asks for a reply gets one, and an
//! unknown one gets an error. A transaction id of 0 asks for none.

use std::time::Instant;

use super::ServerPeer;
use crate::address::StreamAddress;
use crate::amf0::Value;
use crate::error::PeerError;
use crate::message::Message;
use crate::message::command::{self, Command, Level};
use crate::message::control::Control;
use crate::message::user_control::UserControl;
use crate::peer::capabilities::Capabilities;
use crate::peer::events::AGENT_BYTES_MAX;
use crate::peer::state::{Client, Phase, Role};
use crate::peer::status::{Status, code};
use crate::peer::{
    Close, ConnectInfo, Event, PlayRequest, PlayStart, PublishKind, PublishRequest, RequestId,
};
use crate::secret::Secret;

/// Set Peer Bandwidth with limit type "dynamic" (§5.4.5).
const DYNAMIC: u8 = 2;

/// Some clients parse this as `FMS/major,minor,…`.
const SERVER_VERSION: &str = "FMS/3,5,7,7009";

impl ServerPeer {
    pub(super) fn on_command(&mut self, now: Instant, message: &Message) -> Result<(), PeerError> {
        if !self.commands.allow(now) {
            return Err(PeerError::CommandFlood { limit: self.config.limits.commands_per_second_max });
        }
        let Some(command) = Command::parse(message.type_id, &message.payload, &self.config.limits.amf) else {
            self.counters.malformed += 1;
            return Ok(());
        };
        let id = message.message_stream_id;
        match (&self.phase, command.name.as_bytes()) {
            (Phase::Connecting, b"connect") => self.on_connect(&command),
            // Nothing else makes sense before connect, and nobody waits for an answer to it.
            (Phase::Connecting, _) => self.counters.malformed += 1,
            (Phase::Connected(_), name) => self.dispatch(now, name, id, &command),
            (Phase::Handshake(_) | Phase::Closed, _) => {}
        }
        Ok(())
    }

    fn dispatch(&mut self, now: Instant, name: &[u8], id: u32, command: &Command) {
        match name {
            b"connect" => self.fail(command, code::CONNECT_REJECTED, "Already connected"),
            b"createStream" => self.on_create_stream(command),
            b"publish" => self.on_publish(id, command),
            b"play" => self.on_play(id, command),
            b"FCUnpublish" => {
                self.succeed(command, Value::Undefined);
                if let Some(publisher) = self.streams.publisher().map(|stream| stream.id) {
                    self.end_role(now, publisher);
                }
            }
            b"deleteStream" => self.on_delete_stream(now, command),
            b"closeStream" => {
                if let Some(meant) = self.streams.meant_by(Some(id)) {
                    self.end_role(now, meant);
                }
            }
            b"close" => self.on_close(now),
            b"pause" | b"pauseRaw" => self.on_pause(id, command),
            b"receiveAudio" => {
                self.on_receive(id, command, |request, wanted| Event::ReceiveAudio { request, wanted });
            }
            b"receiveVideo" => {
                self.on_receive(id, command, |request, wanted| Event::ReceiveVideo { request, wanted });
            }
            b"FCPublish" => {
                if let Phase::Connected(client) = &mut self.phase {
                    client.awaits_fc_publish = true;
                }
                self.succeed(command, Value::Undefined);
            }
            b"releaseStream" | b"FCSubscribe" | b"FCUnsubscribe" => self.succeed(command, Value::Undefined),
            b"_checkbw" | b"checkBandwidth" => self.succeed(command, Value::Null),
            b"getStreamLength" | b"getMovLen" => self.succeed(command, Value::Number(0.0)),
            // Replies to calls that we never made.
            b"_result" | b"_error" | b"onStatus" => {}
            _ => self.fail(command, code::CALL_FAILED, "Unknown command"),
        }
    }

    fn on_connect(&mut self, command: &Command) {
        let text = |name: &str| command.object.get(name).and_then(Value::as_str_bytes);
        let Some(app) = text("app") else {
            return self.refuse_connect(command, "An app is required");
        };
        // Some cameras write it in lower case and put quotes around it.
        let tc_url = text("tcUrl").or_else(|| text("tcurl")).unwrap_or_default();
        let tc_url: Vec<u8> = tc_url.iter().copied().filter(|&byte| byte != b'\'').collect();
        let longest = self.config.limits.name_bytes_max;
        if app.len() > longest || tc_url.len() > longest {
            return self.refuse_connect(command, "The address is too long");
        }
        let flash_version = text("flashVer").unwrap_or_default();
        let flash_version = &flash_version[..flash_version.len().min(AGENT_BYTES_MAX)];
        let object_encoding = command.object.get("objectEncoding").and_then(Value::as_f64);
        let info = ConnectInfo {
            app: Secret::from(app),
            tc_url: Secret::from(tc_url),
            flash_version: String::from_utf8_lossy(flash_version).into_owned(),
            object_encoding: if object_encoding == Some(3.0) { 3 } else { 0 },
            capabilities: Capabilities::from_connect(&command.object),
        };
        self.welcome(command);
        self.phase = Phase::Connected(Client {
            app: info.app.clone(),
            flash_version: flash_version.to_vec(),
            awaits_fc_publish: false,
        });
        self.events.push_back(Event::Connected(Box::new(info)));
    }

    /// The answer to `connect`: what we announce first, then the result.
    fn welcome(&mut self, command: &Command) {
        let window = self.config.window_ack_size;
        let chunk_size = self.config.chunk_size.clamp(1, crate::chunk::MESSAGE_BYTES_MAX);
        self.link.send_control(Control::WindowAckSize(window));
        self.link.send_control(Control::SetPeerBandwidth { window, limit_type: DYNAMIC });
        self.link.send_control(Control::SetChunkSize(chunk_size));
        self.link.send_user_control(UserControl::StreamBegin(0));
        let [caps_ex, video, audio] = Capabilities::properties();
        let properties = Value::object([
            ("fmsVer", Value::from_static(SERVER_VERSION)),
            ("capabilities", Value::Number(31.0)),
            ("mode", Value::Number(1.0)),
            caps_ex,
            video,
            audio,
        ]);
        let info = Value::object([
            ("level", Value::from_static("status")),
            ("code", Value::from_static(code::CONNECT_SUCCESS)),
            ("description", Value::from_static("Connection succeeded.")),
            ("objectEncoding", Value::Number(0.0)),
        ]);
        self.link.send_connection_command(&command::result(command.transaction_id, properties, info));
    }

    /// Whatever the transaction id: a client without an answer would hang.
    fn refuse_connect(&mut self, command: &Command, description: &str) {
        let body = command::error(command.transaction_id, code::CONNECT_REJECTED, description);
        self.link.send_connection_command(&body);
        self.close(Close::Rejected);
    }

    fn on_create_stream(&mut self, command: &Command) {
        match self.streams.create() {
            // Exactly null in front of the number: FFmpeg falls back to message stream 0 for anything else.
            Some(id) => self.succeed(command, Value::Number(f64::from(id))),
            None => self.fail(command, code::CALL_FAILED, "Too many message streams"),
        }
    }

    fn on_publish(&mut self, id: u32, command: &Command) {
        let name = command.argument(0).and_then(Value::as_str_bytes).unwrap_or_default();
        if name.len() > self.config.limits.name_bytes_max {
            return self.refuse(id, Status::PublishBadName, "The stream name is too long");
        }
        let busy = self.streams.publisher().is_some();
        let stream = self.streams.adopt(id).filter(|stream| !busy && stream.role == Role::Idle);
        if stream.is_none() {
            let description = "This connection publishes already";
            let body = command::on_status(Level::Error, Status::PublishBadName.code(), description);
            return self.link.send_command(id, &body);
        }
        let kind = match command.argument(1).and_then(Value::as_str_bytes) {
            Some(b"record") => PublishKind::Record,
            Some(b"append") => PublishKind::Append,
            _ => PublishKind::Live,
        };
        let address = self.resolve(name);
        let request = self.begin_request(id, Role::PublishRequested);
        let message_stream_id = id;
        let request = PublishRequest { request, message_stream_id, address, kind };
        self.events.push_back(Event::PublishRequested(Box::new(request)));
    }

    fn on_play(&mut self, id: u32, command: &Command) {
        let name = command.argument(0).and_then(Value::as_str_bytes).unwrap_or_default();
        if name.len() > self.config.limits.name_bytes_max {
            return self.refuse(id, Status::PlayFailed, "The stream name is too long");
        }
        match self.streams.adopt(id).map(|stream| stream.role) {
            Some(Role::Idle) => {}
            // A new play on the same message stream replaces the old one.
            Some(Role::PlayRequested { request, .. } | Role::Playing(request)) => {
                self.events.push_back(Event::PlayStopped(request));
            }
            Some(Role::PublishRequested(_) | Role::Publishing(_)) | None => {
                let body =
                    command::on_status(Level::Error, Status::PlayFailed.code(), "Not on this message stream");
                return self.link.send_command(id, &body);
            }
        }
        let start = match command.argument(1).and_then(Value::as_f64) {
            Some(start) if start.is_finite() && start >= 0.0 => PlayStart::Seconds(start),
            _ => PlayStart::Live,
        };
        let reset = command.argument(3).and_then(Value::as_bool).unwrap_or(true);
        let address = self.resolve(name);
        let request = self.begin_request(id, |request| Role::PlayRequested { request, reset });
        let request = PlayRequest { request, message_stream_id: id, address, start, reset };
        self.events.push_back(Event::PlayRequested(Box::new(request)));
    }

    fn resolve(&self, name: &[u8]) -> StreamAddress {
        match &self.phase {
            Phase::Connected(client) => {
                StreamAddress::resolve(client.app.expose(), name, &client.flash_version)
            }
            _ => StreamAddress::resolve(&[], name, &[]),
        }
    }

    fn begin_request(&mut self, id: u32, role: impl FnOnce(RequestId) -> Role) -> RequestId {
        let request = self.streams.next_request();
        if let Some(stream) = self.streams.get(id) {
            stream.role = role(request);
        }
        self.request_deadline = None;
        request
    }

    /// The argument is a number, but `GStreamer` sends the stream name: then the only one in use is meant.
    fn on_delete_stream(&mut self, now: Instant, command: &Command) {
        let id = match command.argument(0) {
            Some(Value::Number(_)) => command.argument(0).and_then(Value::as_u32),
            _ => None,
        };
        if let Some(meant) = self.streams.meant_by(id) {
            self.end_role(now, meant);
            self.streams.remove(meant);
        }
    }

    fn on_close(&mut self, now: Instant) {
        for id in self.streams.ids() {
            self.end_role(now, id);
        }
        self.close(Close::PeerClosed);
    }

    fn on_pause(&mut self, id: u32, command: &Command) {
        let paused = command.argument(0).and_then(Value::as_bool).unwrap_or(false);
        let Some(Role::Playing(request)) = self.streams.get(id).map(|stream| stream.role) else { return };
        let (code, description) =
            if paused { (code::PAUSE_NOTIFY, "Paused") } else { (code::UNPAUSE_NOTIFY, "Playing again") };
        self.notify(id, code, description);
        self.events.push_back(Event::Paused { request, paused });
    }

    fn on_receive(&mut self, id: u32, command: &Command, event: fn(RequestId, bool) -> Event) {
        let wanted = command.argument(0).and_then(Value::as_bool).unwrap_or(true);
        if let Some(Role::Playing(request)) = self.streams.get(id).map(|stream| stream.role) {
            self.events.push_back(event(request, wanted));
        }
    }

    /// The client ends what it does on a message stream. The stream itself stays.
    fn end_role(&mut self, now: Instant, id: u32) {
        let Some(stream) = self.streams.get(id) else { return };
        match std::mem::replace(&mut stream.role, Role::Idle) {
            Role::Idle => return,
            Role::PublishRequested(request) | Role::Publishing(request) => {
                self.notify(id, code::UNPUBLISH_SUCCESS, "Stopped publishing");
                self.events.push_back(Event::Unpublished(request));
            }
            Role::PlayRequested { request, .. } | Role::Playing(request) => {
                self.events.push_back(Event::PlayStopped(request));
            }
        }
        if self.streams.all_idle() {
            // Publishing again on the same connection is legal, but it must come soon.
            self.bytes_before_accept = 0;
            self.request_deadline = Some(now + self.config.request_timeout);
        }
    }

    fn succeed(&mut self, command: &Command, answer: Value) {
        if command.wants_reply() {
            let body = command::result(command.transaction_id, Value::Null, answer);
            self.link.send_connection_command(&body);
        }
    }

    fn fail(&mut self, command: &Command, code: &'static str, description: &str) {
        if command.wants_reply() {
            self.link.send_connection_command(&command::error(command.transaction_id, code, description));
        }
    }
}
