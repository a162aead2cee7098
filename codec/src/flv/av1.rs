//! AV1: from the codec configuration record to the picture.

use super::bits::Bits;
use super::config::VideoFormat;

/// The type of a sequence header among open bitstream units (AV1 §6.2.2).
const SEQUENCE_HEADER: u8 = 1;

/// marker and version u8, 3 bytes of constants, then the sequence header as an open bitstream unit
/// (AV1 Codec ISO Media File Format Binding §2.3.3). Some senders leave the unit out: then nothing is known.
pub(super) fn format(config: &[u8]) -> Option<VideoFormat> {
    let (header, mut units) = config.split_first_chunk::<4>()?;
    if header[0] >> 7 == 0 {
        return None;
    }
    while !units.is_empty() {
        let (kind, payload, rest) = open_bitstream_unit(units)?;
        if kind == SEQUENCE_HEADER {
            return sequence_header(payload);
        }
        units = rest;
    }
    None
}

/// forbidden(1) type(4) extension(1) has size(1) reserved(1), extension u8 if any, size leb128 if any (AV1 §5.3.2)
fn open_bitstream_unit(input: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&header, mut rest) = input.split_first()?;
    if header & 0b100 != 0 {
        rest = rest.get(1..)?;
    }
    let kind = header >> 3 & 0x0F;
    if header & 0b10 == 0 {
        return Some((kind, rest, &[]));
    }
    let (size, rest) = leb128(rest)?;
    let (payload, rest) = rest.split_at_checked(size)?;
    Some((kind, payload, rest))
}

/// Seven bits a byte, least significant first, at most eight bytes (AV1 §4.10.5)
fn leb128(mut input: &[u8]) -> Option<(usize, &[u8])> {
    let mut number = 0_u64;
    for index in 0..8 {
        let (&byte, rest) = input.split_first()?;
        input = rest;
        number |= u64::from(byte & 0x7F) << (7 * index);
        if byte & 0x80 == 0 {
            return Some((usize::try_from(number).ok()?, input));
        }
    }
    None
}

/// profile, level and operating points, then the largest picture (AV1 §5.5.1)
fn sequence_header(payload: &[u8]) -> Option<VideoFormat> {
    let mut bits = Bits::new(payload);
    bits.skip(3 + 1)?;
    let reduced = bits.flag()?;
    let fps = if reduced {
        bits.skip(5)?;
        None
    } else {
        timing_and_operating_points(&mut bits)?
    };
    let width_bits = bits.number(4)? + 1;
    let height_bits = bits.number(4)? + 1;
    let width = bits.number(width_bits)?.checked_add(1)?;
    let height = bits.number(height_bits)?.checked_add(1)?;
    VideoFormat::within_bounds(width, height, fps)
}

/// Returns the frame rate if frames are evenly spaced.
fn timing_and_operating_points(bits: &mut Bits<'_>) -> Option<Option<f64>> {
    let mut fps = None;
    // Bits of a buffer delay, if operating points carry them.
    let mut delay_bits = None;
    if bits.flag()? {
        fps = timing(bits)?;
        if bits.flag()? {
            delay_bits = Some(bits.number(5)? as usize + 1);
            bits.skip(32 + 5 + 5)?;
        }
    }
    let initial_display_delay = bits.flag()?;
    for _ in 0..=bits.number(5)? {
        bits.skip(12)?;
        let level = bits.number(5)?;
        if level > 7 {
            bits.skip(1)?;
        }
        if let Some(width) = delay_bits
            && bits.flag()?
        {
            bits.skip(2 * width + 1)?;
        }
        if initial_display_delay && bits.flag()? {
            bits.skip(4)?;
        }
    }
    Some(fps)
}

/// units in a tick u32, ticks in a second u32, evenly spaced(1), ticks in a picture if so (AV1 §5.5.3)
fn timing(bits: &mut Bits<'_>) -> Option<Option<f64>> {
    let units_in_tick = bits.number(32)?;
    let time_scale = bits.number(32)?;
    if !bits.flag()? {
        return Some(None);
    }
    // uvlc is the exponential Golomb code of H.264 by another name (AV1 §4.10.3).
    let ticks = f64::from(bits.golomb()?) + 1.0;
    Some(Some(f64::from(time_scale) / (f64::from(units_in_tick) * ticks)))
}
