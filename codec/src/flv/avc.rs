//! H.264: from the decoder configuration record to the picture.

use super::bits::{Bits, without_emulation_prevention};
use super::config::VideoFormat;

/// The NAL unit type of a sequence parameter set (H.264 table 7-1).
const SPS: u8 = 7;
/// Reference frames in the cycle of picture order count type 1 (H.264 §7.4.2.1.1).
const POC_CYCLE_MAX: u32 = 255;

/// version u8, profile u8, compatibility u8, level u8, NAL length size, SPS count(low 5 bits), { size u16, SPS }*
/// (ISO/IEC 14496-15 §5.3.3.1). The first SPS is the one in force.
pub(super) fn format(config: &[u8]) -> Option<VideoFormat> {
    let (header, rest) = config.split_first_chunk::<6>()?;
    if header[5] & 0x1F == 0 {
        return None;
    }
    let (size, rest) = rest.split_first_chunk::<2>()?;
    sps_format(rest.get(..usize::from(u16::from_be_bytes(*size)))?)
}

/// A sequence parameter set with its NAL unit header (H.264 §7.3.2.1.1).
fn sps_format(nal_unit: &[u8]) -> Option<VideoFormat> {
    let (header, payload) = nal_unit.split_first()?;
    if header & 0x1F != SPS {
        return None;
    }
    let payload = without_emulation_prevention(payload);
    let mut bits = Bits::new(&payload);
    let chroma = chroma(&mut bits)?;
    skip_to_size(&mut bits)?;
    let (width, height) = picture_size(&mut bits, chroma)?;
    // The rest may be cut short without harm to the size.
    VideoFormat::within_bounds(width, height, frame_rate(&mut bits))
}

/// Luma samples per chroma sample, which is also the unit of cropping (H.264 table 6-1).
#[derive(Debug, Clone, Copy)]
struct Chroma {
    across: u32,
    down: u32,
}

/// profile u8, constraints u8, level u8, id; for high profiles chroma format, bit depths and scaling matrices
fn chroma(bits: &mut Bits<'_>) -> Option<Chroma> {
    let profile = bits.number(8)?;
    bits.skip(16)?;
    bits.golomb()?;
    if !matches!(profile, 44 | 83 | 86 | 100 | 110 | 118 | 122 | 128 | 134 | 135 | 138 | 139 | 244) {
        return Some(Chroma { across: 2, down: 2 });
    }
    let chroma_format = bits.golomb()?;
    if chroma_format == 3 {
        // Separate colour planes are cropped as 4:4:4 is.
        bits.skip(1)?;
    }
    bits.golomb()?;
    bits.golomb()?;
    bits.flag()?;
    if bits.flag()? {
        skip_scaling_matrices(bits, if chroma_format == 3 { 12 } else { 8 })?;
    }
    match chroma_format {
        1 => Some(Chroma { across: 2, down: 2 }),
        2 => Some(Chroma { across: 2, down: 1 }),
        3 | 0 => Some(Chroma { across: 1, down: 1 }),
        _ => None,
    }
}

/// { present flag, list }*: six lists of 16, then lists of 64 (H.264 §7.3.2.1.1.1)
fn skip_scaling_matrices(bits: &mut Bits<'_>, lists: usize) -> Option<()> {
    for list in 0..lists {
        if bits.flag()? {
            skip_scaling_list(bits, if list < 6 { 16 } else { 64 })?;
        }
    }
    Some(())
}

fn skip_scaling_list(bits: &mut Bits<'_>, size: usize) -> Option<()> {
    let mut last = 8_i64;
    for _ in 0..size {
        let next = (last + bits.signed_golomb()?).rem_euclid(256);
        if next == 0 {
            break;
        }
        last = next;
    }
    Some(())
}

/// log2_max_frame_num, picture order count, reference frames, gaps flag
fn skip_to_size(bits: &mut Bits<'_>) -> Option<()> {
    bits.golomb()?;
    match bits.golomb()? {
        0 => {
            bits.golomb()?;
        }
        1 => {
            bits.flag()?;
            bits.signed_golomb()?;
            bits.signed_golomb()?;
            let cycle = bits.golomb()?;
            if cycle > POC_CYCLE_MAX {
                return None;
            }
            for _ in 0..cycle {
                bits.signed_golomb()?;
            }
        }
        _ => {}
    }
    bits.golomb()?;
    bits.skip(1)
}

/// size in macroblocks of 16 pixels, frame_mbs_only flag, cropping (H.264 §7.4.2.1.1)
fn picture_size(bits: &mut Bits<'_>, chroma: Chroma) -> Option<(u32, u32)> {
    let across = bits.golomb()?.checked_add(1)?.checked_mul(16)?;
    let units_down = bits.golomb()?.checked_add(1)?.checked_mul(16)?;
    // Without it each unit of height is a pair of macroblocks, for interlaced pictures.
    let frames_only = bits.flag()?;
    let fields = if frames_only { 1 } else { 2 };
    if !frames_only {
        bits.flag()?;
    }
    bits.flag()?;
    let down = units_down.checked_mul(fields)?;
    if !bits.flag()? {
        return Some((across, down));
    }
    let crop_across = bits.golomb()?.checked_add(bits.golomb()?)?.checked_mul(chroma.across)?;
    let crop_down = bits.golomb()?.checked_add(bits.golomb()?)?.checked_mul(chroma.down * fields)?;
    Some((across.checked_sub(crop_across)?, down.checked_sub(crop_down)?))
}

/// Video usability information as far as its timing (H.264 §E.1.1). Two ticks of the clock make a frame.
fn frame_rate(bits: &mut Bits<'_>) -> Option<f64> {
    if !bits.flag()? {
        return None;
    }
    bits.skip_video_signal_information()?;
    if !bits.flag()? {
        return None;
    }
    let units_in_tick = bits.number(32)?;
    let time_scale = bits.number(32)?;
    Some(f64::from(time_scale) / (2.0 * f64::from(units_in_tick)))
}
