//! AAC: from the AudioSpecificConfig to the sound as played, spectral band replication and parametric stereo included.

use super::bits::Bits;
use super::config::AudioFormat;

/// By sampling frequency index (ISO/IEC 14496-3 table 1.18); 13 and 14 are reserved, 15 escapes to 24 bits.
const SAMPLE_RATES: [u32; 13] =
    [96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000, 7_350];
const RATE_ESCAPE: u32 = 15;
const TYPE_ESCAPE: u32 = 31;
const SPECTRAL_BAND_REPLICATION: u32 = 5;
const PARAMETRIC_STEREO: u32 = 29;
/// Introduce the backward compatible signalling at the end (ISO/IEC 14496-3 §1.6.5.3).
const SYNC_BAND_REPLICATION: u32 = 0x2B7;
const SYNC_PARAMETRIC_STEREO: u32 = 0x548;

/// What is played beyond the core coder.
#[derive(Debug, Clone, Copy, Default)]
struct Extension {
    sample_rate: Option<u32>,
    parametric_stereo: bool,
}

/// object type(5), sampling frequency index(4), channel configuration(4), then by type (ISO/IEC 14496-3 §1.6.2.1)
pub(super) fn format(config: &[u8]) -> Option<AudioFormat> {
    let mut bits = Bits::new(config);
    let mut object_type = object_type(&mut bits)?;
    let core_rate = sample_rate(&mut bits)?;
    let channel_configuration = bits.number(4)?;
    let mut extension = Extension::default();
    if matches!(object_type, SPECTRAL_BAND_REPLICATION | PARAMETRIC_STEREO) {
        extension.parametric_stereo = object_type == PARAMETRIC_STEREO;
        extension.sample_rate = Some(sample_rate(&mut bits)?);
        object_type = self::object_type(&mut bits)?;
    }
    let mut channels = channels(channel_configuration);
    // What follows may be cut short without harm to what the header said.
    if let Some(described) = general_audio(&mut bits, object_type, channel_configuration) {
        channels = channels.or(described);
        if extension.sample_rate.is_none() {
            extension = late_extension(&mut bits).unwrap_or_default();
        }
    }
    let channels = match channels? {
        1 if extension.parametric_stereo => 2,
        channels => channels,
    };
    AudioFormat::within_bounds(extension.sample_rate.unwrap_or(core_rate), channels)
}

fn object_type(bits: &mut Bits<'_>) -> Option<u32> {
    match bits.number(5)? {
        TYPE_ESCAPE => Some(32 + bits.number(6)?),
        object_type => Some(object_type),
    }
}

fn sample_rate(bits: &mut Bits<'_>) -> Option<u32> {
    match bits.number(4)? {
        RATE_ESCAPE => bits.number(24),
        index => SAMPLE_RATES.get(index as usize).copied(),
    }
}

/// ISO/IEC 14496-3 table 1.19; 0 means that a program config element says it.
fn channels(configuration: u32) -> Option<u8> {
    match configuration {
        1..=6 => Some(configuration as u8),
        7 | 12 | 14 => Some(8),
        11 => Some(7),
        13 => Some(24),
        _ => None,
    }
}

/// GASpecificConfig (ISO/IEC 14496-3 §4.4.1), if the object type has one. The inner value is the number of channels
/// by the program config element.
fn general_audio(bits: &mut Bits<'_>, object_type: u32, channel_configuration: u32) -> Option<Option<u8>> {
    if !matches!(object_type, 1..=4 | 6 | 7 | 17 | 19..=23) {
        return None;
    }
    bits.skip(1)?;
    if bits.flag()? {
        bits.skip(14)?;
    }
    let extended = bits.flag()?;
    let channels = if channel_configuration == 0 { program_config_channels(bits)? } else { None };
    if matches!(object_type, 6 | 20) {
        bits.skip(3)?;
    }
    if extended {
        match object_type {
            22 => bits.skip(5 + 11)?,
            17 | 19 | 20 | 23 => bits.skip(3)?,
            _ => {}
        }
        bits.skip(1)?;
    }
    Some(channels)
}

/// Counts the elements: front, side and back ones are single or pairs, LFE ones single (ISO/IEC 14496-3 §4.4.1.1).
/// The inner `None` stands for a count nobody could mean.
fn program_config_channels(bits: &mut Bits<'_>) -> Option<Option<u8>> {
    bits.skip(4 + 2 + 4)?;
    let speakers = bits.number(4)? + bits.number(4)? + bits.number(4)?;
    let low_frequency = bits.number(2)?;
    let associated_data = bits.number(3)?;
    let coupling = bits.number(4)?;
    for mixdown_bits in [4, 4, 3] {
        if bits.flag()? {
            bits.skip(mixdown_bits)?;
        }
    }
    let mut channels = low_frequency;
    for _ in 0..speakers {
        channels += if bits.flag()? { 2 } else { 1 };
        bits.skip(4)?;
    }
    bits.skip((4 * low_frequency + 4 * associated_data + 5 * coupling) as usize)?;
    // The comment at the end starts on a whole byte.
    bits.skip(bits.remaining() % 8)?;
    let comment_bytes = bits.number(8)? as usize;
    bits.skip(8 * comment_bytes)?;
    Some(u8::try_from(channels).ok().filter(|channels| *channels > 0))
}

/// sync(11) object type, present(1), sampling frequency; then sync(11), present(1) for parametric stereo.
/// Old decoders stop before it and play the core coder; everyone else plays this.
fn late_extension(bits: &mut Bits<'_>) -> Option<Extension> {
    if bits.number(11)? != SYNC_BAND_REPLICATION || object_type(bits)? != SPECTRAL_BAND_REPLICATION {
        return None;
    }
    if !bits.flag()? {
        return None;
    }
    let sample_rate = Some(sample_rate(bits)?);
    let parametric_stereo =
        bits.number(11) == Some(SYNC_PARAMETRIC_STEREO) && bits.flag().unwrap_or_default();
    Some(Extension { sample_rate, parametric_stereo })
}
