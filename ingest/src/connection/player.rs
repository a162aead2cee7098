//! Player: what the pump holds while its connection plays: a place in a room, and the frames on their way out.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use onair_codec::RequestId;

use crate::reports::Counted;
use crate::room::{Collected, Frame, Reader};

/// Frames taken from the room at once. Eight per write already save four fifths of the system calls' cost; more only adds
/// to what a slow player holds.
const BATCH_FRAMES: usize = 64;
/// The same in bytes.
const BATCH_BYTES: usize = 256 * 1024;

/// A playing connection.
#[derive(Debug)]
pub(crate) struct Player {
    pub(crate) request: RequestId,
    pub(crate) reader: Reader,
    message_stream_id: u32,
    chunk_size: u32,
    batch: Vec<Arc<Frame>>,
    /// Whether anything was ever sent: one that saw nothing is told "not found", not "ended".
    seen_any: bool,
    _counted: Counted,
}

impl Player {
    pub(crate) fn new(
        request: RequestId,
        message_stream_id: u32,
        chunk_size: u32,
        reader: Reader,
        counted: Counted,
    ) -> Self {
        Self {
            request,
            reader,
            message_stream_id,
            chunk_size,
            batch: Vec::new(),
            seen_any: false,
            _counted: counted,
        }
    }

    /// Moves what the room has into `out`, ready for one vectored write. True the first time that there was something.
    pub(crate) fn fill(&mut self, out: &mut impl Extend<Bytes>) -> bool {
        let (id, chunk_size) = (self.message_stream_id, self.chunk_size);
        if id == Frame::SHARED_STREAM_ID
            && let Some(bytes) = self.reader.collect_together(chunk_size)
        {
            out.extend([bytes]);
            return !std::mem::replace(&mut self.seen_any, true);
        }
        if self.reader.collect(&mut self.batch, BATCH_FRAMES, BATCH_BYTES) == Collected::Nothing {
            return false;
        }
        let is_first = !std::mem::replace(&mut self.seen_any, true);
        let wire = |frame: Arc<Frame>| {
            if id == Frame::SHARED_STREAM_ID {
                frame.wire(chunk_size).clone()
            } else {
                frame.to_wire(id, chunk_size)
            }
        };
        out.extend(self.batch.drain(..).map(wire));
        is_first
    }

    /// When to stop waiting for a room that is off air.
    pub(crate) fn give_up_at(&self, wait: Duration, rejoin: Duration) -> Option<Instant> {
        self.reader.give_up_at(wait, rejoin)
    }

    /// Whether it was ever sent anything.
    pub(crate) const fn seen_any(&self) -> bool {
        self.seen_any
    }
}
