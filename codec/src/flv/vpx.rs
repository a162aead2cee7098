//! VP8 and VP9: their sequence headers do not say the size, their keyframes do.

use super::bits::Bits;
use super::config::VideoFormat;

/// frame tag u24 whose lowest bit is 0 for keyframes, start code, then two sizes of 14 bits, little endian
/// (RFC 6386 §9.1)
pub(super) fn vp8_format(frame: &[u8]) -> Option<VideoFormat> {
    let [tag, _, _, 0x9D, 0x01, 0x2A, width_low, width_high, height_low, height_high, ..] = *frame else {
        return None;
    };
    let side = |low, high| u32::from(u16::from_le_bytes([low, high]) & 0x3FFF);
    if tag & 1 != 0 {
        return None;
    }
    VideoFormat::within_bounds(side(width_low, width_high), side(height_low, height_high), None)
}

/// marker(2), profile(2), shown before(1), not key(1), shown(1), resilient(1), sync u24, colours, then two sizes of
/// 16 bits less one (VP9 bitstream §6.2). The marker is 2, which no vpcC starts with.
pub(super) fn vp9_format(frame: &[u8]) -> Option<VideoFormat> {
    const MARKER: u32 = 2;
    const SYNC: u32 = 0x49_8342;
    const RGB: u32 = 7;
    let mut bits = Bits::new(frame);
    if bits.number(2)? != MARKER {
        return None;
    }
    let profile = u32::from(bits.flag()?) + 2 * u32::from(bits.flag()?);
    if profile == 3 {
        bits.skip(1)?;
    }
    let shown_before = bits.flag()?;
    let inter = bits.flag()?;
    bits.skip(2)?;
    if shown_before || inter || bits.number(24)? != SYNC {
        return None;
    }
    if profile >= 2 {
        bits.skip(1)?;
    }
    let subsampling_said = profile % 2 == 1;
    match bits.number(3)? {
        RGB => bits.skip(usize::from(subsampling_said))?,
        _ => bits.skip(if subsampling_said { 1 + 3 } else { 1 })?,
    }
    let width = bits.number(16)? + 1;
    let height = bits.number(16)? + 1;
    VideoFormat::within_bounds(width, height, None)
}
