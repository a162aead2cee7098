//! Link: what both peers do alike with a connection: chunks in and out, acknowledgements, pings (RTMP 1.0 §5.4).

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::chunk::writer::csid;
use crate::chunk::{ChunkReader, ChunkWriter, ExtendedTimestamps, MessageHeader, ReaderStats};
use crate::error::{ChunkError, PeerError};
use crate::limits::Limits;
use crate::message::control::Control;
use crate::message::user_control::UserControl;
use crate::message::{Message, type_id};
use crate::timestamp::Timestamp;
use crate::{media::Media, rate::Rate};

/// The chunk layer of one connection, in both directions, and what answers itself.
pub(super) struct Link {
    reader: ChunkReader,
    writer: ChunkWriter,
    /// Bytes to transmit. Handshakes write here too.
    pub(super) wire: Vec<u8>,
    limits: Arc<Limits>,
    received: u64,
    /// What the other side wants acknowledged, and when we did so last.
    window: Option<u32>,
    acknowledged: u64,
    peer_acknowledged: Option<u32>,
    window_sent: Option<u32>,
    ping: Option<u32>,
    replies: Rate,
}

/// A window beyond this is never reached before the counter wraps.
const WINDOW_MAX: u32 = 1 << 31;

impl Link {
    pub(super) fn new(limits: &Arc<Limits>, extended: ExtendedTimestamps) -> Self {
        Self {
            reader: ChunkReader::new(Arc::clone(limits), extended),
            writer: ChunkWriter::new(),
            wire: Vec::new(),
            limits: Arc::clone(limits),
            received: 0,
            window: None,
            acknowledged: 0,
            peer_acknowledged: None,
            window_sent: None,
            ping: None,
            replies: Rate::new(limits.pings_per_second_max, Duration::from_secs(1)),
        }
    }

    /// Counts bytes of the connection, handshake included.
    pub(super) fn count(&mut self, bytes: usize) {
        self.received += bytes as u64;
    }

    pub(super) const fn received(&self) -> u64 {
        self.received
    }

    pub(super) const fn peer_acknowledged(&self) -> Option<u32> {
        self.peer_acknowledged
    }

    pub(super) const fn reader_stats(&self) -> ReaderStats {
        self.reader.stats()
    }

    pub(super) fn reserved_bytes(&self) -> usize {
        self.reader.reserved_bytes()
    }

    /// The next message that is not for the link itself. `None` when the input is used up.
    pub(super) fn read(&mut self, now: Instant, input: &mut &[u8]) -> Result<Option<Message>, PeerError> {
        while let Some(message) = self.reader.read(now, input)? {
            match message.type_id {
                type_id::SET_CHUNK_SIZE..=type_id::SET_PEER_BANDWIDTH => self.on_control(now, &message),
                _ => return Ok(Some(message)),
            }
        }
        Ok(None)
    }

    /// When the oldest unfinished message becomes too old.
    pub(super) fn partial_deadline(&self) -> Option<Instant> {
        self.reader.oldest_partial().map(|since| since + self.limits.partial_age_max)
    }

    /// A sender that begins a message must go on with it.
    pub(super) fn check_partial_age(&self, now: Instant) -> Result<(), PeerError> {
        match self.partial_deadline() {
            Some(deadline) if now >= deadline => Err(ChunkError::PartialTooOld.into()),
            _ => Ok(()),
        }
    }

    /// What is owed after a batch of input: one acknowledgement and one ping response at most.
    pub(super) fn settle(&mut self, now: Instant) {
        // At half the window, so that a sender which stops at the full one never has to.
        if let Some(window) = self.window
            && self.received - self.acknowledged >= u64::from(window / 2)
        {
            self.acknowledged = self.received;
            // The sequence number wraps (§5.4.3); the low half is just that.
            self.send_control(Control::Acknowledgement(self.received as u32));
        }
        if let Some(value) = self.ping.take()
            && self.replies.allow(now)
        {
            self.send_user_control(UserControl::PingResponse(value));
        }
    }

    /// Everything written since the last call.
    pub(super) fn take_wire(&mut self) -> Option<Bytes> {
        (!self.wire.is_empty()).then(|| Bytes::from(std::mem::take(&mut self.wire)))
    }

    pub(super) fn send_control(&mut self, control: Control) {
        if let Control::WindowAckSize(window) = control {
            self.window_sent = Some(window);
        }
        self.send(csid::CONTROL, control.type_id(), 0, &control.to_body());
        if let Control::SetChunkSize(size) = control {
            self.writer.set_chunk_size(size);
        }
    }

    pub(super) fn send_user_control(&mut self, event: UserControl) {
        self.send(csid::CONTROL, type_id::USER_CONTROL, 0, &event.to_body());
    }

    /// A command of the connection itself.
    pub(super) fn send_connection_command(&mut self, body: &[u8]) {
        self.send(csid::CONNECTION, type_id::COMMAND_AMF0, 0, body);
    }

    /// A command of a message stream.
    pub(super) fn send_command(&mut self, message_stream_id: u32, body: &[u8]) {
        self.send(csid::COMMAND, type_id::COMMAND_AMF0, message_stream_id, body);
    }

    /// A data message that is no media.
    pub(super) fn send_data(&mut self, message_stream_id: u32, body: &[u8]) {
        self.send(csid::COMMAND, type_id::DATA_AMF0, message_stream_id, body);
    }

    pub(super) fn send_media(&mut self, message_stream_id: u32, media: &Media, payload: &[u8]) {
        let header = crate::chunk::writer::media_header(media.kind, media.timestamp, message_stream_id);
        self.writer.write(&mut self.wire, header, payload);
    }

    /// Commands and control carry time 0: nobody reads it, and it never needs the extended form.
    fn send(&mut self, chunk_stream_id: u32, type_id: u8, message_stream_id: u32, body: &[u8]) {
        let header = MessageHeader { chunk_stream_id, type_id, message_stream_id, timestamp: Timestamp(0) };
        self.writer.write(&mut self.wire, header, body);
    }

    fn on_control(&mut self, now: Instant, message: &Message) {
        if message.type_id == type_id::USER_CONTROL {
            // Many requests in one batch get one response, to the last of them.
            if let Some(UserControl::PingRequest(value)) = UserControl::parse(&message.payload) {
                self.ping = Some(value);
            }
            return;
        }
        match Control::parse(message.type_id, &message.payload) {
            Some(Control::Acknowledgement(total)) => self.peer_acknowledged = Some(total),
            Some(Control::WindowAckSize(window)) => {
                self.window = Some(window.clamp(self.limits.acknowledgement_window_min, WINDOW_MAX));
            }
            Some(Control::SetPeerBandwidth { window, .. })
                if self.window_sent != Some(window) && self.replies.allow(now) =>
            {
                self.send_control(Control::WindowAckSize(window));
            }
            // The reader has obeyed the other two already.
            _ => {}
        }
    }
}

/// What is to be transmitted may hold a live key.
impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link")
            .field("reader", &self.reader)
            .field("wire_bytes", &self.wire.len())
            .field("received", &self.received)
            .field("window", &self.window)
            .field("acknowledged", &self.acknowledged)
            .field("peer_acknowledged", &self.peer_acknowledged)
            .finish_non_exhaustive()
    }
}
