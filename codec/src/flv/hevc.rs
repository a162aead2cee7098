//! H.265: from the decoder configuration record to the picture.

use super::bits::{Bits, without_emulation_prevention};
use super::config::VideoFormat;

/// The NAL unit type of a sequence parameter set (H.265 table 7-1).
const SPS: u8 = 33;
/// Short-term reference picture sets of one SPS (H.265 §7.4.3.2.1).
const REFERENCE_SETS_MAX: u32 = 64;
/// Pictures of one such set (H.265 §A.4.1).
const REFERENCE_PICTURES_MAX: usize = 16;

/// 22 bytes of profile and constants, array count u8, { type(low 6 bits), count u16, { size u16, NAL unit }* }*
/// (ISO/IEC 14496-15 §8.3.3.1). The first SPS is the one in force.
pub(super) fn format(config: &[u8]) -> Option<VideoFormat> {
    let (header, rest) = config.split_first_chunk::<23>()?;
    // Frames in 256 seconds; 0 means that it is not said.
    let average_rate = u16::from_be_bytes([header[19], header[20]]);
    let nal_unit = first_sps(header[22], rest)?;
    let format = sps_format(nal_unit)?;
    let average_rate = (average_rate > 0).then(|| f64::from(average_rate) / 256.0);
    VideoFormat::within_bounds(format.width, format.height, format.fps.or(average_rate))
}

fn first_sps(arrays: u8, mut rest: &[u8]) -> Option<&[u8]> {
    for _ in 0..arrays {
        let (&[kind, high, low], units) = rest.split_first_chunk::<3>()?;
        rest = units;
        for _ in 0..u16::from_be_bytes([high, low]) {
            let (size, units) = rest.split_first_chunk::<2>()?;
            let (unit, units) = units.split_at_checked(usize::from(u16::from_be_bytes(*size)))?;
            if kind & 0x3F == SPS {
                return Some(unit);
            }
            rest = units;
        }
    }
    None
}

/// A sequence parameter set with its NAL unit header (H.265 §7.3.2.2.1).
fn sps_format(nal_unit: &[u8]) -> Option<VideoFormat> {
    let (header, payload) = nal_unit.split_first_chunk::<2>()?;
    if header[0] >> 1 & 0x3F != SPS {
        return None;
    }
    let payload = without_emulation_prevention(payload);
    let mut bits = Bits::new(&payload);
    bits.skip(4)?;
    let sub_layers = bits.number(3)?;
    bits.skip(1)?;
    skip_profile_tier_level(&mut bits, sub_layers)?;
    let (width, height) = picture_size(&mut bits)?;
    // What follows may be cut short, or beyond us, without harm to the size.
    let fps = skip_to_usability(&mut bits, sub_layers).and_then(|()| frame_rate(&mut bits));
    VideoFormat::within_bounds(width, height, fps)
}

/// 88 bits of profile and 8 of level, then the same for each lower sub-layer that has its own (H.265 §7.3.3)
fn skip_profile_tier_level(bits: &mut Bits<'_>, sub_layers: u32) -> Option<()> {
    bits.skip(88 + 8)?;
    let mut own = 0;
    for _ in 0..sub_layers {
        own += if bits.flag()? { 88 } else { 0 };
        own += if bits.flag()? { 8 } else { 0 };
    }
    if sub_layers > 0 {
        // Room is kept for eight, two bits each.
        bits.skip(2 * (8 - sub_layers as usize))?;
    }
    bits.skip(own)
}

/// id, chroma format, size in pixels, conformance window (H.265 §7.4.3.2.1)
fn picture_size(bits: &mut Bits<'_>) -> Option<(u32, u32)> {
    bits.golomb()?;
    // Luma samples per chroma sample, which is also the unit of cropping (H.265 table 6-1).
    let (across, down) = match bits.golomb()? {
        1 => (2, 2),
        2 => (2, 1),
        3 => {
            bits.skip(1)?;
            (1, 1)
        }
        0 => (1, 1),
        _ => return None,
    };
    let width = bits.golomb()?;
    let height = bits.golomb()?;
    if !bits.flag()? {
        return Some((width, height));
    }
    let crop_across = bits.golomb()?.checked_add(bits.golomb()?)?.checked_mul(across)?;
    let crop_down = bits.golomb()?.checked_add(bits.golomb()?)?.checked_mul(down)?;
    Some((width.checked_sub(crop_across)?, height.checked_sub(crop_down)?))
}

/// Everything between the size and the usability information: nothing of it matters to us, all of it has a length.
fn skip_to_usability(bits: &mut Bits<'_>, sub_layers: u32) -> Option<()> {
    bits.golomb()?;
    bits.golomb()?;
    let order_count_bits = usize::try_from(bits.golomb()?).ok()?.checked_add(4)?;
    let ordered_layers = if bits.flag()? { sub_layers + 1 } else { 1 };
    // Three numbers per sub-layer, then six block sizes and depths.
    for _ in 0..3 * ordered_layers + 6 {
        bits.golomb()?;
    }
    if bits.flag()? && bits.flag()? {
        skip_scaling_lists(bits)?;
    }
    bits.skip(2)?;
    if bits.flag()? {
        bits.skip(8)?;
        bits.golomb()?;
        bits.golomb()?;
        bits.skip(1)?;
    }
    skip_reference_sets(bits)?;
    if bits.flag()? {
        let long_term = usize::try_from(bits.golomb()?).ok()?;
        bits.skip(long_term.checked_mul(order_count_bits.checked_add(1)?)?)?;
    }
    bits.skip(2)
}

/// Four sizes of six matrices each, of the largest only every third (H.265 §7.3.4)
fn skip_scaling_lists(bits: &mut Bits<'_>) -> Option<()> {
    for size in 0..4 {
        for _ in 0..if size == 3 { 2 } else { 6 } {
            if !bits.flag()? {
                bits.golomb()?;
                continue;
            }
            if size > 1 {
                bits.signed_golomb()?;
            }
            for _ in 0..64.min(1 << (4 + 2 * size)) {
                bits.signed_golomb()?;
            }
        }
    }
    Some(())
}

fn skip_reference_sets(bits: &mut Bits<'_>) -> Option<()> {
    let sets = bits.golomb()?;
    if sets > REFERENCE_SETS_MAX {
        return None;
    }
    let mut previous = Vec::new();
    for index in 0..sets {
        previous =
            if index > 0 && bits.flag()? { predicted_set(bits, &previous)? } else { explicit_set(bits)? };
    }
    Some(())
}

/// The distances of a set, nearest past pictures first, then nearest future ones (H.265 §7.4.8).
fn explicit_set(bits: &mut Bits<'_>) -> Option<Vec<i64>> {
    let past = bits.golomb()? as usize;
    let future = bits.golomb()? as usize;
    if past > REFERENCE_PICTURES_MAX || future > REFERENCE_PICTURES_MAX {
        return None;
    }
    let mut distances = Vec::with_capacity(past + future);
    for (count, direction) in [(past, -1), (future, 1)] {
        let mut distance = 0;
        for _ in 0..count {
            distance += direction * (i64::from(bits.golomb()?) + 1);
            bits.flag()?;
            distances.push(distance);
        }
    }
    Some(distances)
}

/// A set told by its difference from the one before: how many flags follow depends on the size of that one, so sizes
/// must be known exactly (H.265 §7.3.7, equations 7-61 and 7-62).
fn predicted_set(bits: &mut Bits<'_>, previous: &[i64]) -> Option<Vec<i64>> {
    let negative = bits.flag()?;
    let shift = i64::from(bits.golomb()?) + 1;
    let shift = if negative { -shift } else { shift };
    let mut distances = Vec::with_capacity(previous.len() + 1);
    // The last candidate is the picture of the previous set itself.
    for &distance in previous.iter().chain(&[0]) {
        let used = bits.flag()?;
        let kept = used || bits.flag()?;
        if kept && distance + shift != 0 {
            distances.push(distance + shift);
        }
    }
    if distances.len() > REFERENCE_PICTURES_MAX {
        return None;
    }
    // Past before future, each by nearness, as in an explicit set.
    distances.sort_by_key(|distance| (*distance > 0, distance.abs()));
    Some(distances)
}

/// Video usability information as far as its timing (H.265 §E.2.1).
fn frame_rate(bits: &mut Bits<'_>) -> Option<f64> {
    if !bits.flag()? {
        return None;
    }
    bits.skip_video_signal_information()?;
    bits.skip(3)?;
    if bits.flag()? {
        for _ in 0..4 {
            bits.golomb()?;
        }
    }
    if !bits.flag()? {
        return None;
    }
    let units_in_tick = bits.number(32)?;
    let time_scale = bits.number(32)?;
    Some(f64::from(time_scale) / f64::from(units_in_tick))
}
