//! Bits: a writer of numbers that are not whole bytes, and the rules by which they become an H.264 NAL unit.

/// Bits, most significant first.
#[derive(Debug, Default)]
pub(super) struct Bits {
    bytes: Vec<u8>,
    /// Bits used of the last byte, 0 to 7; 0 when it is full.
    used: u32,
}

impl Bits {
    /// The `count` low bits of `value`, at most 32.
    pub(super) fn put(&mut self, value: u32, count: u32) {
        for at in (0..count).rev() {
            if self.used == 0 {
                self.bytes.push(0);
            }
            let bit = u8::from(value >> at & 1 == 1);
            if let Some(last) = self.bytes.last_mut() {
                *last |= bit << (7 - self.used);
            }
            self.used = (self.used + 1) % 8;
        }
    }

    /// An unsigned Exp-Golomb code (H.264 §9.1).
    pub(super) fn exp_golomb(&mut self, value: u32) {
        let code = value + 1;
        let length = 32 - code.leading_zeros();
        self.put(0, length - 1);
        self.put(code, length);
    }

    /// The signed Exp-Golomb code of zero, the only one that we need.
    pub(super) fn exp_golomb_zero(&mut self) {
        self.put(1, 1);
    }

    /// Zeros up to the next whole byte.
    pub(super) fn align(&mut self) {
        self.used = 0;
    }

    /// The bytes, filled up with zeros.
    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// A NAL unit: its header, these bits, the stop bit, and a 3 wherever a decoder would mistake the bytes for a start code
    /// (H.264 §7.4.1).
    pub(super) fn into_nal(mut self, header: u8) -> Vec<u8> {
        self.put(1, 1);
        let mut nal = vec![header];
        let mut zeros = 0;
        for byte in self.bytes {
            if zeros >= 2 && byte <= 3 {
                nal.push(3);
                zeros = 0;
            }
            zeros = if byte == 0 { zeros + 1 } else { 0 };
            nal.push(byte);
        }
        nal
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_golomb_codes_are_those_of_the_standard() {
        for (value, code, length) in
            [(0, 0b1, 1), (1, 0b010, 3), (2, 0b011, 3), (3, 0b00100, 5), (7, 0b000_1000, 7)]
        {
            let mut bits = Bits::default();
            bits.exp_golomb(value);
            bits.align();
            assert_eq!(bits.into_bytes(), [u8::try_from(code << (8 - length)).unwrap()], "{value}");
        }
    }

    #[test]
    fn no_start_code_appears_inside_a_nal_unit() {
        let mut bits = Bits::default();
        bits.put(1, 32);
        assert_eq!(bits.into_nal(0x67), [0x67, 0, 0, 3, 0, 1, 0x80]);
    }
}
