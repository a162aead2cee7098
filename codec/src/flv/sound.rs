//! Opus, FLAC, AC-3, E-AC-3 and MP3: short fixed headers that say sample rate and channels.

use super::bits::Bits;
use super::config::AudioFormat;

/// Opus always plays at this rate; the rate in its header only tells what the encoder was given (RFC 7845 §5.1).
const OPUS_SAMPLE_RATE: u32 = 48_000;

/// "OpusHead", version u8, channels u8, pre-skip u16, input rate u32, gain i16, mapping u8; little endian
/// (RFC 7845 §5.1). Versions up to 15 are compatible.
pub(super) fn opus_format(config: &[u8]) -> Option<AudioFormat> {
    const HEAD_BYTES: usize = 19;
    match config.strip_prefix(b"OpusHead")? {
        [0..=15, channels, ..] if config.len() >= HEAD_BYTES => {
            AudioFormat::within_bounds(OPUS_SAMPLE_RATE, *channels)
        }
        _ => None,
    }
}

/// "fLaC", then a metadata block: last(1) type(7) size u24, STREAMINFO (RFC 9639 §8). Some senders leave the
/// signature or both out.
pub(super) fn flac_format(config: &[u8]) -> Option<AudioFormat> {
    const STREAMINFO_BYTES: usize = 34;
    let config = config.strip_prefix(b"fLaC").unwrap_or(config);
    let info = match config {
        [0x00 | 0x80, 0, 0, 34, info @ ..] if info.len() >= STREAMINFO_BYTES => info,
        info if info.len() == STREAMINFO_BYTES => info,
        _ => return None,
    };
    // block sizes 2 × u16, frame sizes 2 × u24, sample rate(20), channels − 1 (3)
    let mut bits = Bits::new(info);
    bits.skip(2 * 16 + 2 * 24)?;
    let sample_rate = bits.number(20)?;
    let channels = bits.number(3)? as u8 + 1;
    AudioFormat::within_bounds(sample_rate, channels)
}

/// The start of a syncframe: sync word u16, then by version, which stands at the same place in both
/// (ETSI TS 102 366 §4.3, §E.1.2).
pub(super) fn ac3_format(frame: &[u8]) -> Option<AudioFormat> {
    let [0x0B, 0x77, ..] = frame else { return None };
    let version = frame.get(5)? >> 3;
    match version {
        0..=10 => plain_ac3_format(frame, version),
        11..=16 => enhanced_ac3_format(frame),
        _ => None,
    }
}

const AC3_SAMPLE_RATES: [u32; 3] = [48_000, 44_100, 32_000];
/// By audio coding mode, the LFE channel not counted (ETSI TS 102 366 table 4.3); mode 0 is two separate channels.
const AC3_CHANNELS: [u8; 8] = [2, 1, 2, 3, 3, 4, 4, 5];

/// crc u16, rate code(2), size code(6), version(5), mode(3), coding mode(3), mix levels by coding mode, LFE(1)
fn plain_ac3_format(frame: &[u8], version: u8) -> Option<AudioFormat> {
    let mut bits = Bits::new(frame.get(4..)?);
    let sample_rate = *AC3_SAMPLE_RATES.get(bits.number(2)? as usize)?;
    bits.skip(6 + 5 + 3)?;
    let coding_mode = bits.number(3)?;
    let centre = coding_mode & 0b001 != 0 && coding_mode != 1;
    let surround = coding_mode & 0b100 != 0;
    let stereo = coding_mode == 2;
    bits.skip(2 * (usize::from(centre) + usize::from(surround) + usize::from(stereo)))?;
    let low_frequency = u8::from(bits.flag()?);
    // Versions 9 and 10 play at a half and a quarter of the rate.
    let sample_rate = sample_rate >> version.saturating_sub(8);
    AudioFormat::within_bounds(sample_rate, AC3_CHANNELS[coding_mode as usize] + low_frequency)
}

/// type(2), substream id(3), size(11), rate code(2), blocks or reduced rate code(2), coding mode(3), LFE(1)
fn enhanced_ac3_format(frame: &[u8]) -> Option<AudioFormat> {
    let mut bits = Bits::new(frame.get(2..)?);
    bits.skip(2 + 3 + 11)?;
    let rate_code = bits.number(2)?;
    let second_code = bits.number(2)?;
    let sample_rate = match rate_code {
        // Half of what the second code says.
        3 => AC3_SAMPLE_RATES.get(second_code as usize)? / 2,
        code => *AC3_SAMPLE_RATES.get(code as usize)?,
    };
    let coding_mode = bits.number(3)?;
    let low_frequency = u8::from(bits.flag()?);
    AudioFormat::within_bounds(sample_rate, AC3_CHANNELS[coding_mode as usize] + low_frequency)
}

/// sync(11), version(2), layer(2), protection(1), bit rate(4), rate code(2), padding(1), private(1), channel mode(2)
/// (ISO/IEC 11172-3 §2.4.1.3)
pub(super) fn mp3_format(frame: &[u8]) -> Option<AudioFormat> {
    const SYNC: u32 = 0x7FF;
    const MONO: u32 = 3;
    let mut bits = Bits::new(frame);
    if bits.number(11)? != SYNC {
        return None;
    }
    // MPEG-1 plays at the full rate, MPEG-2 at a half, MPEG-2.5 at a quarter; 1 is reserved.
    let halvings = match bits.number(2)? {
        3 => 0,
        2 => 1,
        0 => 2,
        _ => return None,
    };
    bits.skip(2 + 1 + 4)?;
    let sample_rate = *[44_100, 48_000, 32_000].get(bits.number(2)? as usize)? >> halvings;
    bits.skip(2)?;
    let channels = if bits.number(2)? == MONO { 1 } else { 2 };
    AudioFormat::within_bounds(sample_rate, channels)
}
