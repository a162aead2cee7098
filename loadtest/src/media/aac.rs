//! AAC: silence in stereo at 48 kHz, of any weight, written from the standard.

use super::bits::Bits;

/// Low complexity, 48 kHz, stereo (ISO/IEC 14496-3 §1.6.2.1), behind its FLV tag header.
pub(super) const CONFIGURATION: &[u8] = &[0xaf, 0x00, 0x11, 0x90];

/// Samples in a frame.
pub(super) const FRAME_SAMPLES: u64 = 1024;
/// Samples in a second.
pub(super) const SAMPLE_RATE: u64 = 48_000;

/// One FLV audio payload of about `bytes` bytes: a frame of silence, filled up as encoders at a constant bit rate do.
pub(super) fn silence(bytes: usize) -> Vec<u8> {
    let mut bits = Bits::default();
    bits.put(1, 3); // a pair of channels
    bits.put(0, 4);
    bits.put(1, 1); // which share their window
    bits.put(0, 1 + 2 + 1 + 6 + 1); // one long window, no band
    bits.put(0, 2);
    for _channel in 0..2 {
        bits.put(0, 8); // gain
        bits.put(0, 3); // no pulses, no noise shaping, no gain control
    }
    // Tag header, silence and end take 8 bytes; each fill element up to 271.
    let mut missing = bytes.saturating_sub(8);
    while missing > 20 {
        let count = missing.min(271) - 2;
        missing -= count + 2;
        bits.put(6, 3);
        bits.put(15, 4);
        bits.put(u32::try_from(count - 14).unwrap_or(0), 8);
        bits.put(0, 4); // plain fill: a type of 4 bits, then the rest
        bits.put(0, 4);
        for _ in 1..count {
            bits.put(0xa5, 8);
        }
    }
    bits.put(7, 3);
    bits.align();
    [&[0xaf, 0x01][..], &bits.into_bytes()].concat()
}
