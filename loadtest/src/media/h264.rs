//! H.264: the smallest pictures that a decoder takes for what they are, a grey keyframe and copies of it, written from the
//! standard rather than by an encoder; weight comes from filler units, as encoders at a constant bit rate add them.

use super::bits::Bits;

/// Supplemental information, before the picture.
pub(super) const SEI: u8 = 0x06;
const SPS: u8 = 0x67;
const PPS: u8 = 0x68;
const KEY_SLICE: u8 = 0x65;
const OTHER_SLICE: u8 = 0x41;
const FILLER: u8 = 0x0c;

/// Bits of `frame_num`; it wraps, as it may.
const FRAME_NUMBER_BITS: u32 = 8;

/// A size of picture: in macroblocks of 16 by 16, of which the last row may be cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Size {
    wide: u32,
    high: u32,
    /// Rows that are seen.
    pub(super) height: u32,
}

impl Size {
    pub(super) const HD: Self = Self { wide: 80, high: 45, height: 720 };
    pub(super) const MIDDLE: Self = Self { wide: 40, high: 23, height: 360 };
    pub(super) const SMALL: Self = Self { wide: 10, high: 6, height: 90 };

    pub(super) const fn width(self) -> u32 {
        self.wide * 16
    }

    const fn macroblocks(self) -> u32 {
        self.wide * self.high
    }
}

/// The decoder configuration record of constrained baseline (ISO/IEC 14496-15 §5.3.3.1).
pub(super) fn configuration(size: Size, fps: u32) -> Vec<u8> {
    let (sps, pps) = (sequence_parameters(size, fps), picture_parameters());
    let mut record = vec![1, sps[1], sps[2], sps[3], 0xff, 0xe1];
    for (nal, count_after) in [(&sps, Some(1)), (&pps, None)] {
        record.extend_from_slice(&u16::try_from(nal.len()).unwrap_or(u16::MAX).to_be_bytes());
        record.extend_from_slice(nal);
        record.extend(count_after);
    }
    record
}

/// The level, ten times its number, by macroblocks a second (H.264 table A-1).
const fn level(size: Size, fps: u32) -> u32 {
    match size.macroblocks() * fps {
        0..=108_000 => 31,
        108_001..=216_000 => 32,
        _ => 52,
    }
}

/// H.264 §7.3.2.1.1.
fn sequence_parameters(size: Size, fps: u32) -> Vec<u8> {
    let mut bits = Bits::default();
    bits.put(66, 8); // baseline
    bits.put(0xc0, 8); // constrained
    bits.put(level(size, fps), 8);
    bits.exp_golomb(0);
    bits.exp_golomb(FRAME_NUMBER_BITS - 4);
    bits.exp_golomb(2); // shown in the order they are sent
    bits.exp_golomb(1); // one reference
    bits.put(0, 1);
    bits.exp_golomb(size.wide - 1);
    bits.exp_golomb(size.high - 1);
    bits.put(0b11, 2); // frames only, direct 8×8
    let cut = size.high * 16 - size.height;
    bits.put(u32::from(cut > 0), 1);
    if cut > 0 {
        [0, 0, 0, cut / 2].into_iter().for_each(|rows| bits.exp_golomb(rows));
    }
    bits.put(1, 1); // usability information
    bits.put(0b0000, 4); // no aspect ratio, overscan, signal type, chroma place
    bits.put(1, 1);
    bits.put(1, 32);
    bits.put(fps * 2, 32);
    bits.put(1, 1); // fixed rate
    bits.put(0b000, 3); // no reference decoders, no picture structure
    bits.put(1, 1); // restrictions
    bits.put(1, 1);
    bits.exp_golomb(0);
    bits.exp_golomb(0);
    bits.exp_golomb(10);
    bits.exp_golomb(10);
    bits.exp_golomb(0); // nothing is reordered
    bits.exp_golomb(1);
    bits.into_nal(SPS)
}

/// H.264 §7.3.2.2.
fn picture_parameters() -> Vec<u8> {
    let mut bits = Bits::default();
    bits.exp_golomb(0);
    bits.exp_golomb(0);
    bits.put(0b00, 2); // CAVLC
    bits.exp_golomb(0);
    bits.exp_golomb(0);
    bits.exp_golomb(0);
    bits.put(0b000, 3);
    bits.exp_golomb_zero();
    bits.exp_golomb_zero();
    bits.exp_golomb_zero();
    bits.put(0b100, 3); // slices say whether they are deblocked
    bits.into_nal(PPS)
}

/// A keyframe, all grey. Two in a row must differ in `id`.
pub(super) fn keyframe(size: Size, id: u32) -> Vec<u8> {
    let mut bits = Bits::default();
    bits.exp_golomb(0);
    bits.exp_golomb(7); // intra
    bits.exp_golomb(0);
    bits.put(0, FRAME_NUMBER_BITS);
    bits.exp_golomb(id);
    bits.put(0b00, 2); // an ordinary reference
    bits.exp_golomb_zero();
    bits.exp_golomb(1); // not deblocked
    for _ in 0..size.macroblocks() {
        bits.exp_golomb(3); // intra 16×16 predicted by the mean, nothing coded
        bits.exp_golomb(0);
        bits.exp_golomb_zero();
        bits.put(1, 1); // no coefficients
    }
    bits.into_nal(KEY_SLICE)
}

/// A picture like the one before it, the `number`th since the keyframe.
pub(super) fn repetition(size: Size, number: u32) -> Vec<u8> {
    let mut bits = Bits::default();
    bits.exp_golomb(0);
    bits.exp_golomb(5); // predicted
    bits.exp_golomb(0);
    bits.put(number % (1 << FRAME_NUMBER_BITS), FRAME_NUMBER_BITS);
    bits.put(0b000, 3); // the usual reference, which this one becomes
    bits.exp_golomb_zero();
    bits.exp_golomb(1);
    bits.exp_golomb(size.macroblocks()); // all skipped
    bits.into_nal(OTHER_SLICE)
}

/// A unit of `bytes` bytes, at least 2, that decoders throw away (H.264 §7.3.2.7).
pub(super) fn filler(bytes: usize) -> Vec<u8> {
    let mut nal = vec![0xff; bytes.max(2)];
    nal[0] = FILLER;
    if let Some(last) = nal.last_mut() {
        *last = 0x80;
    }
    nal
}
