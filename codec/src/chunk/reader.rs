//! ChunkReader: bytes in, whole messages out. One assembly per chunk stream; obeys Set Chunk Size and Abort itself.
//!
//! What always holds: limits are checked on a header before anything is reserved for it; the memory of a message in
//! assembly is at most twice what arrived of it (plus [`FIRST_RESERVE`]); nothing is allocated per chunk; a payload is
//! copied once, from the input into its message.

mod assembly;
mod carry;
mod header;

use std::sync::Arc;
use std::time::Instant;

use self::assembly::{Assembly, Body};
use self::carry::Carry;
use self::header::{Header, Verdict};
use super::{CHUNK_SIZE_DEFAULT, MESSAGE_BYTES_MAX, MessagePart};
use crate::error::ChunkError;
use crate::limits::Limits;
use crate::message::control::Control;
use crate::message::{Message, type_id};
use crate::rate::Rate;
use crate::timestamp::Timestamp;

pub use assembly::FIRST_RESERVE;

/// Whether type 3 chunks carry the extended timestamp when their message has one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ExtendedTimestamps {
    /// Look and decide: old librtmp and what was built on it leave it out.
    #[default]
    Heuristic,
    /// Always there, as RTMP 1.0 §5.3.1.3 says.
    Strict,
}

/// A type 0 timestamp beyond this is not taken as the delta of a following type 3 message.
const SANE_REPEATED_TIME_MAX: u32 = 10_000_000;

/// Counts of what the reader forgave.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ReaderStats {
    /// Unfinished messages dropped because a new one began on their chunk stream.
    pub partials_discarded: u64,
    /// Unfinished messages dropped because the sender said Abort.
    pub partials_aborted: u64,
    /// Type 3 messages after a type 0 whose time was too large to be meant as a delta.
    pub repeated_times_ignored: u64,
    /// Messages of types without meaning to us, read past without keeping a byte.
    pub messages_skipped: u64,
}

/// Reads the chunks of one direction of one connection (RTMP 1.0 §5.3).
#[derive(Debug)]
pub struct ChunkReader {
    limits: Arc<Limits>,
    chunk_size: u32,
    assemblies: Vec<Assembly>,
    open: Option<OpenChunk>,
    carry: Carry,
    verdict: Verdict,
    size_changes: Rate,
    stats: ReaderStats,
}

/// The chunk whose payload is being read.
#[derive(Debug, Clone, Copy)]
struct OpenChunk {
    assembly: usize,
    left: u32,
}

impl ChunkReader {
    /// A reader for a connection on which no chunk was read yet.
    pub fn new(limits: impl Into<Arc<Limits>>, extended: ExtendedTimestamps) -> Self {
        let limits = limits.into();
        let minute = std::time::Duration::from_secs(60);
        Self {
            size_changes: Rate::new(limits.chunk_size_changes_per_minute_max, minute),
            limits,
            chunk_size: CHUNK_SIZE_DEFAULT,
            assemblies: Vec::new(),
            open: None,
            carry: Carry::default(),
            verdict: Verdict::new(extended),
            stats: ReaderStats::default(),
        }
    }

    /// Reads on until a message is whole or `input` is used up; `input` then begins behind what was read. Call
    /// again until it returns `None`: then all of `input` is consumed, and what it held of an unfinished header or
    /// message is kept.
    ///
    /// Set Chunk Size and Abort have taken effect when their message is returned.
    ///
    /// # Errors
    /// Any [`ChunkError`]. The place of the next chunk is lost then; read no further.
    pub fn read(&mut self, now: Instant, input: &mut &[u8]) -> Result<Option<Message>, ChunkError> {
        loop {
            if self.open.is_none() {
                let Some(header) = self.take_header(input)? else { return Ok(None) };
                self.open = Some(self.begin_chunk(now, header)?);
            }
            if let Some(message) = self.take_payload(input) {
                self.obey(now, &message)?;
                if self.limits.body_bytes_max(message.type_id).is_some() {
                    return Ok(Some(message));
                }
                self.stats.messages_skipped += 1;
            } else if self.open.is_some() {
                return Ok(None);
            }
        }
    }

    /// Payload bytes per chunk of the sender, at this moment.
    pub const fn chunk_size(&self) -> u32 {
        self.chunk_size
    }

    /// Bytes of memory held by messages in assembly.
    pub fn reserved_bytes(&self) -> usize {
        self.assemblies.iter().map(|assembly| assembly.body.reserved_bytes()).sum()
    }

    /// When the oldest message in assembly began.
    pub fn oldest_partial(&self) -> Option<Instant> {
        self.assemblies.iter().filter_map(|assembly| assembly.body.since()).min()
    }

    /// Counts of what was forgiven so far.
    pub const fn stats(&self) -> ReaderStats {
        self.stats
    }

    /// Takes one whole header from the carried bytes and the input, or carries what there is of it.
    fn take_header(&mut self, input: &mut &[u8]) -> Result<Option<Header>, ChunkError> {
        if self.carry.is_empty() {
            let parsed = Header::parse(input, &self.assemblies, self.verdict)?;
            match parsed {
                Some((header, used)) => {
                    *input = &input[used..];
                    self.verdict.learn(&header);
                    return Ok(Some(header));
                }
                None => self.carry.take_all(input),
            }
            return Ok(None);
        }
        let carried = self.carry.len();
        let added = self.carry.fill_from(input);
        let Some((header, used)) = Header::parse(self.carry.bytes(), &self.assemblies, self.verdict)? else {
            *input = &input[added..];
            return Ok(None);
        };
        // A wrong guess about the extended timestamp leaves carried bytes behind the header: they are payload.
        self.carry.truncate(carried);
        self.carry.skip(used.min(carried));
        *input = &input[used.saturating_sub(carried)..];
        self.verdict.learn(&header);
        Ok(Some(header))
    }

    /// Applies a header: continues the message in assembly, or begins a new one within the limits.
    fn begin_chunk(&mut self, now: Instant, header: Header) -> Result<OpenChunk, ChunkError> {
        let index = match header.assembly {
            Some(index) => index,
            None => self.add_assembly(header.chunk_stream_id)?,
        };
        if self.continues(index, &header.part) {
            let assembly = &mut self.assemblies[index];
            // The newest header with a time field decides whether type 3 chunks carry an extended one.
            if header.part != MessagePart::Nothing {
                assembly.extended = header.extended();
            }
        } else {
            self.begin_message(now, index, &header)?;
        }
        let assembly = &self.assemblies[index];
        Ok(OpenChunk { assembly: index, left: self.chunk_size.min(assembly.missing()) })
    }

    fn add_assembly(&mut self, chunk_stream_id: u32) -> Result<usize, ChunkError> {
        let limit = self.limits.chunk_streams_max;
        if self.assemblies.len() >= limit {
            return Err(ChunkError::TooManyChunkStreams { limit });
        }
        // One at a time: a connection has a handful for all its life, and a server has many connections.
        self.assemblies.reserve_exact(1);
        self.assemblies.push(Assembly::new(chunk_stream_id));
        Ok(self.assemblies.len() - 1)
    }

    /// Whether a chunk goes on with the unfinished message of its chunk stream. Type 3 is the way to do so; a type
    /// 1 or 2 header that says the same again is tolerated. Everything else begins anew.
    fn continues(&self, index: usize, part: &MessagePart) -> bool {
        let assembly = &self.assemblies[index];
        if !assembly.body.is_partial() {
            return false;
        }
        match *part {
            MessagePart::Full { .. } => false,
            MessagePart::SameMessageStream { length, type_id, .. } => {
                length == assembly.length && type_id == assembly.type_id
            }
            MessagePart::TimeOnly { .. } | MessagePart::Nothing => true,
        }
    }

    /// Begins a message: inheritance and time by RTMP 1.0 §5.3.1.2, then the limits, then the body.
    fn begin_message(&mut self, now: Instant, index: usize, header: &Header) -> Result<(), ChunkError> {
        let assembly = &mut self.assemblies[index];
        if assembly.body.is_partial() {
            self.stats.partials_discarded += 1;
            assembly.body = Body::Idle;
        }
        match header.part {
            MessagePart::Full { time, length, type_id, message_stream_id } => {
                let time = header.extended().unwrap_or(time);
                assembly.timestamp = Timestamp(time);
                assembly.delta = time;
                assembly.delta_is_absolute = true;
                assembly.message_stream_id = message_stream_id;
                (assembly.length, assembly.type_id) = (length, type_id);
            }
            MessagePart::SameMessageStream { delta, length, type_id } => {
                assembly.advance_by(header.extended().unwrap_or(delta));
                (assembly.length, assembly.type_id) = (length, type_id);
            }
            MessagePart::TimeOnly { delta } => assembly.advance_by(header.extended().unwrap_or(delta)),
            MessagePart::Nothing => {
                // §5.3.1.2.4: a type 3 message after a type 0 repeats its timestamp as the delta. FMLE does so
                // with small times; with a large one nobody ever meant it.
                let insane = assembly.extended.is_some() || assembly.delta > SANE_REPEATED_TIME_MAX;
                if assembly.delta_is_absolute && insane {
                    assembly.advance_by(0);
                    self.stats.repeated_times_ignored += 1;
                } else {
                    assembly.advance_by(assembly.delta);
                }
            }
        }
        if header.part != MessagePart::Nothing {
            assembly.extended = header.extended();
        }
        self.check_message(index)?;
        let keep = self.limits.body_bytes_max(self.assemblies[index].type_id).is_some();
        self.assemblies[index].body = Body::begin(now, keep);
        Ok(())
    }

    /// The limits on a message that is about to begin.
    fn check_message(&self, index: usize) -> Result<(), ChunkError> {
        let Assembly { length, type_id, .. } = self.assemblies[index];
        if let Some(limit) = self.limits.body_bytes_max(type_id)
            && length > limit
        {
            return Err(ChunkError::MessageTooLong { type_id, announced: length, limit });
        }
        let partials = || self.assemblies.iter().filter(|assembly| assembly.body.is_partial());
        let spans_chunks = length > self.chunk_size;
        if spans_chunks && partials().count() >= self.limits.partial_messages_max {
            return Err(ChunkError::TooManyPartialMessages { limit: self.limits.partial_messages_max });
        }
        let keeps = |assembly: &&Assembly| self.limits.body_bytes_max(assembly.type_id).is_some();
        let others: u64 = partials().filter(keeps).map(|assembly| u64::from(assembly.length)).sum();
        let own = if keeps(&&self.assemblies[index]) { u64::from(length) } else { 0 };
        let (announced, limit) = (others + own, self.limits.partial_bytes_max);
        if announced > limit {
            return Err(ChunkError::PartialBytes { announced, limit });
        }
        Ok(())
    }

    /// Takes payload of the open chunk. Returns the message if it is whole now; closes the chunk if it is.
    fn take_payload(&mut self, input: &mut &[u8]) -> Option<Message> {
        let mut open = self.open?;
        let assembly = &mut self.assemblies[open.assembly];
        if !self.carry.is_empty() {
            let taken = self.carry.len().min(open.left as usize);
            assembly.append(&self.carry.bytes()[..taken], 0);
            self.carry.skip(taken);
            open.left -= taken as u32;
        }
        let length = assembly.length as usize;
        if assembly.body.is_untouched() && open.left == assembly.length && length <= input.len() {
            // The usual case with large chunks: the whole message is here, so one exact copy makes its body.
            let (payload, rest) = input.split_at(length);
            *input = rest;
            self.open = None;
            return Some(assembly.finish_with(payload));
        }
        let taken = input.len().min(open.left as usize);
        let (payload, rest) = input.split_at(taken);
        assembly.append(payload, rest.len());
        *input = rest;
        open.left -= taken as u32;
        self.open = (open.left > 0).then_some(open);
        (open.left == 0 && assembly.missing() == 0).then(|| assembly.finish())
    }

    /// Set Chunk Size and Abort act on the chunk layer itself.
    fn obey(&mut self, now: Instant, message: &Message) -> Result<(), ChunkError> {
        if !matches!(message.type_id, type_id::SET_CHUNK_SIZE | type_id::ABORT) {
            return Ok(());
        }
        match Control::parse(message.type_id, &message.payload) {
            Some(Control::SetChunkSize(announced)) => {
                if announced == 0 || announced > i32::MAX as u32 {
                    return Err(ChunkError::ChunkSizeInvalid { announced });
                }
                if !self.size_changes.allow(now) {
                    let limit = self.limits.chunk_size_changes_per_minute_max;
                    return Err(ChunkError::ChunkSizeFlapping { limit });
                }
                self.chunk_size = announced.min(MESSAGE_BYTES_MAX);
            }
            Some(Control::Abort(chunk_stream_id)) => {
                let aborted = self.assemblies.iter_mut().find(|a| a.chunk_stream_id == chunk_stream_id);
                if let Some(assembly) = aborted.filter(|assembly| assembly.body.is_partial()) {
                    // Its timestamp stays: later deltas count from it.
                    assembly.body = Body::Idle;
                    self.stats.partials_aborted += 1;
                }
            }
            _ => {}
        }
        Ok(())
    }
}
