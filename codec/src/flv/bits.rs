//! Bits of parameter sets and sequence headers, read from the front, every step of it checked.

/// A cursor over bits, most significant first. Running out is `None`; so is a number nobody could mean.
#[derive(Debug, Clone)]
pub(super) struct Bits<'a> {
    bytes: &'a [u8],
    position: usize,
}

impl<'a> Bits<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, position: 0 }
    }

    pub(super) fn flag(&mut self) -> Option<bool> {
        let byte = self.bytes.get(self.position / 8)?;
        let bit = byte >> (7 - self.position % 8) & 1;
        self.position += 1;
        Some(bit == 1)
    }

    /// An unsigned number of up to 32 bits.
    pub(super) fn number(&mut self, width: u32) -> Option<u32> {
        debug_assert!(width <= 32);
        let mut number = 0;
        for _ in 0..width {
            number = number << 1 | u32::from(self.flag()?);
        }
        Some(number)
    }

    pub(super) fn skip(&mut self, bits: usize) -> Option<()> {
        let position = self.position.checked_add(bits)?;
        (position <= self.bytes.len() * 8).then(|| self.position = position)
    }

    /// The part of the video usability information that H.264 (§E.1.1) and H.265 (§E.2.1) share: sample aspect ratio,
    /// overscan, colours, chroma location. None of it matters for size and rate.
    pub(super) fn skip_video_signal_information(&mut self) -> Option<()> {
        const EXTENDED_SAMPLE_ASPECT_RATIO: u32 = 255;
        if self.flag()? && self.number(8)? == EXTENDED_SAMPLE_ASPECT_RATIO {
            self.skip(32)?;
        }
        if self.flag()? {
            self.skip(1)?;
        }
        if self.flag()? {
            self.skip(4)?;
            if self.flag()? {
                self.skip(24)?;
            }
        }
        if self.flag()? {
            self.golomb()?;
            self.golomb()?;
        }
        Some(())
    }

    /// Exp-Golomb, unsigned: as many bits as zeros stood in front of the first one (H.264 §9.1).
    /// Numbers of 32 bits and more are refused: nothing we read has use for them.
    pub(super) fn golomb(&mut self) -> Option<u32> {
        let mut zeros = 0;
        while !self.flag()? {
            zeros += 1;
            if zeros > 31 {
                return None;
            }
        }
        // 2^zeros − 1 plus fewer than 2^zeros stays below 2^32.
        Some(((1_u64 << zeros) - 1) as u32 + self.number(zeros)?)
    }

    /// Exp-Golomb, signed: 0, 1, −1, 2, −2 and so on (H.264 §9.1.1).
    pub(super) fn signed_golomb(&mut self) -> Option<i64> {
        let code = i64::from(self.golomb()?);
        Some(if code % 2 == 0 { -(code / 2) } else { code / 2 + 1 })
    }

    /// Bits not read yet.
    pub(super) fn remaining(&self) -> usize {
        self.bytes.len() * 8 - self.position
    }
}

/// The payload of a NAL unit: a 03 behind two zero bytes was put there only to avoid a start code
/// (H.264 §7.4.1, H.265 §7.4.2).
pub(super) fn without_emulation_prevention(nal_unit: &[u8]) -> Vec<u8> {
    let mut payload = Vec::with_capacity(nal_unit.len());
    let mut zeros = 0;
    for &byte in nal_unit {
        if zeros >= 2 && byte == 0x03 {
            zeros = 0;
            continue;
        }
        zeros = if byte == 0 { zeros + 1 } else { 0 };
        payload.push(byte);
    }
    payload
}

#[cfg(test)]
mod tests {
    use super::{Bits, without_emulation_prevention};

    #[test]
    fn exp_golomb_numbers_are_read_and_monsters_refused() {
        // 1 | 010 | 011 | 00100 | 00101, then padding
        let bits = [0b1010_0110, 0b0100_0010, 0b1000_0000];
        let mut unsigned = Bits::new(&bits);
        assert_eq!([(); 5].map(|()| unsigned.golomb()), [Some(0), Some(1), Some(2), Some(3), Some(4)]);
        let mut signed = Bits::new(&bits);
        assert_eq!([(); 5].map(|()| signed.signed_golomb()), [Some(0), Some(1), Some(-1), Some(2), Some(-2)]);

        assert_eq!(Bits::new(&[0; 64]).golomb(), None);
        assert_eq!(Bits::new(&[0x00, 0x00, 0x00, 0x01, 0xFF, 0xFF, 0xFF, 0xFE]).golomb(), Some(u32::MAX - 1));
        assert_eq!(Bits::new(&[0x00, 0x01]).golomb(), None);
    }

    #[test]
    fn reading_and_skipping_stop_at_the_end() {
        let mut bits = Bits::new(&[0xA5]);
        assert_eq!(bits.number(4), Some(0xA));
        assert_eq!(bits.skip(5), None);
        assert_eq!(bits.remaining(), 4);
        assert_eq!(bits.number(4), Some(0x5));
        assert_eq!(bits.flag(), None);
        assert_eq!(bits.skip(usize::MAX), None);
    }

    #[test]
    fn emulation_prevention_is_taken_out() {
        let rows: [(&[u8], &[u8]); 4] = [
            (&[1, 0, 0, 3, 1], &[1, 0, 0, 1]),
            (&[0, 0, 3, 0, 0, 3, 0], &[0, 0, 0, 0, 0]),
            (&[0, 3, 0, 0, 3], &[0, 3, 0, 0]),
            (&[0, 0, 0, 3, 3], &[0, 0, 0, 3]),
        ];
        for (with, without) in rows {
            assert_eq!(without_emulation_prevention(with), without);
        }
    }
}
