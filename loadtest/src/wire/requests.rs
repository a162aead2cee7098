//! Requests: what a client says on its way to a publish or a play, serialised once per address, as OBS orders it.

use std::fmt;
use std::sync::LazyLock;

use bytes::Bytes;
use onair_codec::Timestamp;
use onair_codec::amf0::Value;
use onair_codec::chunk::{CHUNK_SIZE_DEFAULT, ChunkWriter, MessageHeader};
use onair_codec::message::command::encode;
use onair_codec::message::control::Control;
use onair_codec::message::type_id;
use onair_codec::message::user_control::UserControl;

use crate::address::Address;
use crate::client::Want;

/// Bytes of C0 and C1, and of S0, S1 and S2.
pub(crate) const S0S1S2: usize = 1 + 1536 + 1536;
/// Where S1, which C2 repeats, lies in them.
pub(crate) const S1: std::ops::Range<usize> = 1..1537;

/// The transactions that are answered.
pub(crate) const CONNECT: f64 = 1.0;
pub(crate) const CREATE: f64 = 4.0;
pub(crate) const REQUEST: f64 = 5.0;

/// Milliseconds of buffer that a player claims.
const BUFFER_MS: u32 = 3000;
const AGENT: &str = "FMLE/3.0 (compatible; onair-loadtest)";

/// C0 and C1 of the plain handshake. The filler is the same for everybody: servers echo it and nobody checks it.
pub(crate) static C0C1: LazyLock<Bytes> = LazyLock::new(|| {
    let mut bytes = vec![3, 0, 0, 0, 0, 0, 0, 0, 0];
    let mut noise = 0x2545_f491_u32;
    while bytes.len() < 1537 {
        noise ^= noise << 13;
        noise ^= noise >> 17;
        noise ^= noise << 5;
        bytes.push(noise.to_be_bytes()[0]);
    }
    bytes.into()
});

/// All that is said at one address. `Debug` shows nothing of it: the name may be a live key.
pub(crate) struct Requests {
    want: Want,
    name: Vec<u8>,
    chunk_size: u32,
    /// Chunk size and `connect`; C2 stands before it.
    pub(crate) connect: Bytes,
    /// `releaseStream`, `FCPublish`, `createStream`.
    pub(crate) create: Bytes,
    /// `publish` or `play` on message stream 1, which nearly all servers give first.
    request: Bytes,
}

impl fmt::Debug for Requests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Requests").field("want", &self.want).finish_non_exhaustive()
    }
}

impl Requests {
    /// For a publisher that sends chunks of `chunk_size`, or a player.
    pub(crate) fn new(address: &Address, want: Want, chunk_size: u32) -> Self {
        let name = address.name.clone().into_bytes();
        let tc_url = format!("rtmp://{}/{}", address.host, address.app);
        // A player has little to say, and leaves the size of its chunks as it is.
        let chunk_size = if want == Want::Publish { chunk_size } else { CHUNK_SIZE_DEFAULT };
        let mut lines = Lines::default();
        if want == Want::Publish {
            let size = Control::SetChunkSize(chunk_size);
            lines.put(2, size.type_id(), 0, &size.to_body());
            lines.writer.set_chunk_size(chunk_size);
        }
        let object = Value::object([
            ("app", Value::string(&address.app)),
            ("type", Value::from_static("nonprivate")),
            ("flashVer", Value::from_static(AGENT)),
            ("tcUrl", Value::string(&tc_url)),
        ]);
        lines.command(0, &encode("connect", CONNECT, &[object]));
        let connect = lines.take();
        if want == Want::Publish {
            for (number, prelude) in [(2.0, "releaseStream"), (3.0, "FCPublish")] {
                lines.command(0, &encode(prelude, number, &[Value::Null, Value::string(&name)]));
            }
        }
        lines.command(0, &encode("createStream", CREATE, &[Value::Null]));
        let create = lines.take();
        let mut requests = Self { want, name, chunk_size, connect, create, request: Bytes::new() };
        requests.request = requests.make_request(1);
        requests
    }

    /// `publish` or `play` on a message stream.
    pub(crate) fn request(&self, message_stream_id: u32) -> Bytes {
        if message_stream_id == 1 { self.request.clone() } else { self.make_request(message_stream_id) }
    }

    fn make_request(&self, id: u32) -> Bytes {
        let mut lines = Lines::of(self.chunk_size);
        let name = Value::string(&self.name);
        match self.want {
            Want::Publish => {
                let values = [Value::Null, name, Value::from_static("live")];
                lines.put(8, type_id::COMMAND_AMF0, id, &encode("publish", REQUEST, &values));
            }
            Want::Play => {
                let values = [Value::Null, name, Value::Number(-2000.0)];
                lines.put(8, type_id::COMMAND_AMF0, id, &encode("play", REQUEST, &values));
                let buffer = UserControl::SetBufferLength { message_stream_id: id, buffer_ms: BUFFER_MS };
                lines.put(2, type_id::USER_CONTROL, 0, &buffer.to_body());
            }
        }
        lines.take()
    }

    /// What an encoder says when it goes.
    pub(crate) fn goodbye(&self, message_stream_id: u32) -> Bytes {
        let mut lines = Lines::of(self.chunk_size);
        if self.want == Want::Publish {
            lines.command(0, &encode("FCUnpublish", 6.0, &[Value::Null, Value::string(&self.name)]));
        }
        let id = Value::Number(f64::from(message_stream_id));
        lines.command(0, &encode("deleteStream", 7.0, &[Value::Null, id]));
        lines.take()
    }
}

/// An acknowledgement of so many bytes received.
pub(crate) fn acknowledgement(total: u64) -> Bytes {
    // Modulo 2^32, as the protocol has it.
    let total = u32::try_from(total & 0xffff_ffff).unwrap_or(0);
    let control = Control::Acknowledgement(total);
    let mut lines = Lines::default();
    lines.put(2, control.type_id(), 0, &control.to_body());
    lines.take()
}

/// The answer to a ping.
pub(crate) fn pong(timestamp: u32) -> Bytes {
    let mut lines = Lines::default();
    lines.put(2, type_id::USER_CONTROL, 0, &UserControl::PingResponse(timestamp).to_body());
    lines.take()
}

/// Messages being written.
#[derive(Default)]
struct Lines {
    writer: ChunkWriter,
    out: Vec<u8>,
}

impl Lines {
    /// Later messages of a connection that has announced this chunk size.
    fn of(chunk_size: u32) -> Self {
        let mut lines = Self::default();
        lines.writer.set_chunk_size(chunk_size);
        lines
    }

    fn command(&mut self, message_stream_id: u32, body: &[u8]) {
        self.put(3, type_id::COMMAND_AMF0, message_stream_id, body);
    }

    fn put(&mut self, chunk_stream_id: u32, type_id: u8, message_stream_id: u32, body: &[u8]) {
        let header = MessageHeader { chunk_stream_id, type_id, message_stream_id, timestamp: Timestamp(0) };
        self.writer.write(&mut self.out, header, body);
    }

    fn take(&mut self) -> Bytes {
        std::mem::take(&mut self.out).into()
    }
}
