//! Bytes written as hex in test tables; spaces only mark field borders.

/// The bytes of a row. Panics on anything that is not hex: the table is wrong then.
pub(crate) fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.chars().filter(|c| !c.is_whitespace()).map(digit).collect();
    assert!(digits.len().is_multiple_of(2), "odd number of digits in {text:?}");
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

fn digit(c: char) -> u8 {
    c.to_digit(16).expect("a hex digit") as u8
}
