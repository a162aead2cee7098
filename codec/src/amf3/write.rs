//! Writes AMF3 in its plainest form: strings always in full, no references, every object dynamic with inline traits.

use super::{Property, Value};

/// The largest number a 29-bit integer holds.
const U29_MAX: u32 = 0x1FFF_FFFF;
/// The longest length in front of a string: the lowest bit of its integer is a flag (AMF3 §1.3.1).
const LENGTH_MAX: usize = (U29_MAX >> 1) as usize;

/// Appends one value.
///
/// A property with an empty name has no dynamic form (an empty name ends the list) and is left out. References are
/// written as undefined, since their tables are gone.
pub fn write(value: &Value, body: &mut Vec<u8>) {
    match value {
        Value::Undefined | Value::Reference(_) => body.push(0x00),
        Value::Null => body.push(0x01),
        Value::Boolean(false) => body.push(0x02),
        Value::Boolean(true) => body.push(0x03),
        Value::Integer(number) if (-(1 << 28)..1 << 28).contains(number) => {
            body.push(0x04);
            write_u29(*number as u32 & U29_MAX, body);
        }
        Value::Integer(number) => write_double(f64::from(*number), body),
        Value::Double(number) => write_double(*number, body),
        Value::String(text) => write_marked_bytes(0x06, text, body),
        Value::XmlDocument(text) => write_marked_bytes(0x07, text, body),
        Value::Date(unix_ms) => {
            body.extend_from_slice(&[0x08, 0x01]);
            body.extend_from_slice(&unix_ms.to_be_bytes());
        }
        Value::Array { associative, dense } => {
            body.push(0x09);
            write_length(dense.len(), body);
            write_named_values(associative, body);
            dense.iter().for_each(|value| write(value, body));
        }
        Value::Object { class, properties } => {
            // Inline traits, dynamic, no sealed names.
            body.extend_from_slice(&[0x0A, 0b1011]);
            write_bytes(class, body);
            write_named_values(properties, body);
        }
        Value::ArrayCollection(inner) => {
            body.extend_from_slice(&[0x0A, 0b0111]);
            write_bytes(b"flex.messaging.io.ArrayCollection", body);
            write(inner, body);
        }
        Value::Xml(text) => write_marked_bytes(0x0B, text, body),
        Value::ByteArray(bytes) => write_marked_bytes(0x0C, bytes, body),
        Value::VectorInt(numbers) => write_vector(0x0D, numbers.iter().map(|n| n.to_be_bytes()), body),
        Value::VectorUint(numbers) => write_vector(0x0E, numbers.iter().map(|n| n.to_be_bytes()), body),
        Value::VectorDouble(numbers) => write_vector(0x0F, numbers.iter().map(|n| n.to_be_bytes()), body),
        Value::VectorObject { class, elements } => {
            body.push(0x10);
            write_length(elements.len(), body);
            body.push(0x00);
            write_bytes(class, body);
            elements.iter().for_each(|value| write(value, body));
        }
        Value::Dictionary(entries) => {
            body.push(0x11);
            write_length(entries.len(), body);
            body.push(0x00);
            for (key, value) in entries {
                write(key, body);
                write(value, body);
            }
        }
    }
}

/// The inverse of reading: as few bytes as the number needs.
pub(super) fn write_u29(number: u32, body: &mut Vec<u8>) {
    let more = |shift: u32| (number >> shift) as u8 | 0x80;
    match number {
        0..0x80 => body.push(number as u8),
        0x80..0x4000 => body.extend_from_slice(&[more(7), number as u8 & 0x7F]),
        0x4000..0x20_0000 => body.extend_from_slice(&[more(14), more(7), number as u8 & 0x7F]),
        _ => body.extend_from_slice(&[more(22), more(15), more(8), number as u8]),
    }
}

/// Lengths pass [`LENGTH_MAX`] only in a body far beyond the 2^24 bytes of a message.
fn write_length(length: usize, body: &mut Vec<u8>) {
    write_u29((length.min(LENGTH_MAX) as u32) << 1 | 1, body);
}

fn write_double(number: f64, body: &mut Vec<u8>) {
    body.push(0x05);
    body.extend_from_slice(&number.to_be_bytes());
}

fn write_bytes(bytes: &[u8], body: &mut Vec<u8>) {
    write_length(bytes.len(), body);
    body.extend_from_slice(bytes);
}

fn write_marked_bytes(marker: u8, bytes: &[u8], body: &mut Vec<u8>) {
    body.push(marker);
    write_bytes(bytes, body);
}

fn write_named_values(properties: &[Property], body: &mut Vec<u8>) {
    for (name, value) in properties.iter().filter(|(name, _)| !name.is_empty()) {
        write_bytes(name, body);
        write(value, body);
    }
    body.push(0x01);
}

fn write_vector<const N: usize>(
    marker: u8,
    numbers: impl ExactSizeIterator<Item = [u8; N]>,
    body: &mut Vec<u8>,
) {
    body.push(marker);
    write_length(numbers.len(), body);
    body.push(0x00);
    numbers.for_each(|number| body.extend_from_slice(&number));
}
