//! What the enhanced headers of audio and video share: modifiers, FourCCs and multitrack bodies (E-RTMP v2).

use nom::Parser;
use nom::bytes::complete::take;
use nom::multi::length_data;
use nom::number::complete::{be_u8, be_u16, be_u24};

use super::{FlvError, FourCc, Parsed, fail};

/// Modifiers in a row. One type exists; eight leaves room for a sender that repeats itself, and none for a loop.
const MODIFIERS_MAX: usize = 8;
/// As many as track ids exist.
const TRACKS_MAX: usize = 256;
/// Nanoseconds that a timestamp in milliseconds leaves to say.
const NANOS_MAX: u32 = 999_999;

/// What the modifiers in front of a message said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Modified {
    /// The packet type behind the last modifier.
    pub(super) packet_type: u8,
    /// Nanoseconds to add to the presentation time.
    pub(super) nanos: u32,
}

/// How the tracks of one message are laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Layout {
    /// No multitrack header, or one with a single track: the body runs to the end of the message.
    One { track_id: u8, code: FourCc },
    /// { track id u8, size u24, body }*, all of one codec.
    Many { code: FourCc },
    /// { FourCC, track id u8, size u24, body }*.
    ManyCodecs,
}

/// One track of a message before its body is looked into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RawTrack<'a> {
    pub(super) track_id: u8,
    pub(super) code: FourCc,
    pub(super) body: &'a [u8],
}

/// ModEx: { size−1 u8, or 255 and size−1 u16; data; type(4) next packet type(4) }*, while the next packet type is
/// ModEx again (E-RTMP v2, "ExVideoTagHeader"). Unknown modifiers are skipped.
pub(super) fn modifiers(mut input: &[u8], mut packet_type: u8, mod_ex: u8) -> Parsed<'_, Modified> {
    let mut nanos = 0;
    let mut seen = 0;
    while packet_type == mod_ex {
        seen += 1;
        if seen > MODIFIERS_MAX {
            return fail(FlvError::TooManyModifiers { limit: MODIFIERS_MAX });
        }
        let (rest, data) = length_data(modifier_size).parse(input)?;
        let (rest, next) = be_u8(rest)?;
        if let (0, Some(offset)) = (next >> 4, nano_offset(data)) {
            nanos = offset;
        }
        packet_type = next & 0x0F;
        input = rest;
    }
    Ok((input, Modified { packet_type, nanos }))
}

fn modifier_size(input: &[u8]) -> Parsed<'_, usize> {
    match be_u8(input)? {
        (rest, 255) => be_u16.map(|size| usize::from(size) + 1).parse(rest),
        (rest, size) => Ok((rest, usize::from(size) + 1)),
    }
}

/// TimestampOffsetNano: u24, whatever follows it ignored. Out of range it says nothing.
fn nano_offset(data: &[u8]) -> Option<u32> {
    let [high, middle, low, ..] = *data else { return None };
    let nanos = u32::from_be_bytes([0, high, middle, low]);
    (nanos <= NANOS_MAX).then_some(nanos)
}

/// FourCC, 4 bytes
pub(super) fn four_cc(input: &[u8]) -> Parsed<'_, FourCc> {
    (be_u8, be_u8, be_u8, be_u8).map(|(a, b, c, d)| FourCc([a, b, c, d])).parse(input)
}

/// multitrack type(4) packet type(4), FourCC unless each track has its own, track id when there is one track.
/// Returns the packet type of the tracks beside their layout.
pub(super) fn multitrack(input: &[u8]) -> Parsed<'_, (u8, Layout)> {
    let (input, byte) = be_u8(input)?;
    let packet_type = byte & 0x0F;
    let (input, layout) = match byte >> 4 {
        0 => (four_cc, be_u8).map(|(code, track_id)| Layout::One { track_id, code }).parse(input)?,
        1 => four_cc.map(|code| Layout::Many { code }).parse(input)?,
        2 => (input, Layout::ManyCodecs),
        multitrack_type => return fail(FlvError::UnknownMultitrackType { multitrack_type }),
    };
    Ok((input, (packet_type, layout)))
}

/// The next track of a message body, with the bytes behind it.
pub(super) fn track<'a>(layout: Layout, input: &'a [u8]) -> Parsed<'a, RawTrack<'a>> {
    match layout {
        Layout::One { track_id, code } => Ok((&[], RawTrack { track_id, code, body: input })),
        Layout::Many { code } => sized_track(code, input),
        Layout::ManyCodecs => {
            let (input, code) = four_cc(input)?;
            sized_track(code, input)
        }
    }
}

/// track id u8, size u24, body
fn sized_track(code: FourCc, input: &[u8]) -> Parsed<'_, RawTrack<'_>> {
    let (input, track_id) = be_u8(input)?;
    let (input, size) = be_u24(input)?;
    take(size).map(|body| RawTrack { track_id, code, body }).parse(input)
}

/// Walks all tracks of a message once, so that reading them later cannot fail.
pub(super) fn check_tracks<'a>(
    layout: Layout,
    mut input: &'a [u8],
    check: impl Fn(RawTrack<'a>) -> Result<(), FlvError>,
) -> Result<(), nom::Err<FlvError>> {
    if input.is_empty() && !matches!(layout, Layout::One { .. }) {
        return fail(FlvError::NoTrack);
    }
    for _ in 0..TRACKS_MAX {
        let (rest, raw) = track(layout, input)?;
        check(raw).map_err(nom::Err::Failure)?;
        if rest.is_empty() {
            return Ok(());
        }
        input = rest;
    }
    fail(FlvError::TooManyTracks { limit: TRACKS_MAX })
}
