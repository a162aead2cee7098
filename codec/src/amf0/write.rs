//! Writes AMF0. Total: whatever a [`Value`] can say is written, and the rare thing AMF0 has no form for is left out.

use super::{Property, Value};
use crate::amf3;

/// The longest string and property name of the short form (AMF0 §1.3.1).
const SHORT_STRING_BYTES_MAX: usize = u16::MAX as usize;

/// Appends one value to a message body.
///
/// A property whose name is longer than 65 535 bytes has no AMF0 form and is left out; a class name of that length
/// likewise, which leaves an anonymous object. Neither can come from an AMF0 body.
pub fn write(value: &Value, body: &mut Vec<u8>) {
    match value {
        Value::Number(number) => {
            body.push(0x00);
            body.extend_from_slice(&number.to_be_bytes());
        }
        Value::Boolean(flag) => body.extend_from_slice(&[0x01, u8::from(*flag)]),
        Value::String(text) => write_string(text, body),
        Value::Object(properties) => {
            body.push(0x03);
            write_properties(properties, body);
        }
        Value::Null => body.push(0x05),
        Value::Undefined => body.push(0x06),
        Value::Reference(index) => {
            body.push(0x07);
            body.extend_from_slice(&index.to_be_bytes());
        }
        Value::EcmaArray(properties) => {
            let count = properties.iter().filter(|(key, _)| has_form(key)).count();
            body.push(0x08);
            body.extend_from_slice(&count_bytes(count));
            write_properties(properties, body);
        }
        Value::StrictArray(elements) => {
            body.push(0x0A);
            body.extend_from_slice(&count_bytes(elements.len()));
            for element in elements {
                write(element, body);
            }
        }
        Value::Date { unix_ms, time_zone } => {
            body.push(0x0B);
            body.extend_from_slice(&unix_ms.to_be_bytes());
            body.extend_from_slice(&time_zone.to_be_bytes());
        }
        Value::Unsupported => body.push(0x0D),
        Value::XmlDocument(text) => {
            body.push(0x0F);
            write_long(text, body);
        }
        Value::TypedObject { class, properties } if has_form(class) => {
            body.push(0x10);
            write_short(class, body);
            write_properties(properties, body);
        }
        Value::TypedObject { properties, .. } => {
            body.push(0x03);
            write_properties(properties, body);
        }
        Value::Avm(value) => {
            body.push(0x11);
            amf3::write(value, body);
        }
    }
}

/// A whole body of these values.
pub fn write_all<'a>(values: impl IntoIterator<Item = &'a Value>) -> Vec<u8> {
    let mut body = Vec::new();
    for value in values {
        write(value, &mut body);
    }
    body
}

fn write_string(text: &[u8], body: &mut Vec<u8>) {
    if has_form(text) {
        body.push(0x02);
        write_short(text, body);
    } else {
        body.push(0x0C);
        write_long(text, body);
    }
}

fn write_properties(properties: &[Property], body: &mut Vec<u8>) {
    for (key, value) in properties.iter().filter(|(key, _)| has_form(key)) {
        write_short(key, body);
        write(value, body);
    }
    body.extend_from_slice(&[0x00, 0x00, 0x09]);
}

fn has_form(short: &[u8]) -> bool {
    short.len() <= SHORT_STRING_BYTES_MAX
}

/// Only for what [`has_form`]: the length then fits 16 bits.
fn write_short(text: &[u8], body: &mut Vec<u8>) {
    body.extend_from_slice(&(text.len() as u16).to_be_bytes());
    body.extend_from_slice(text);
}

fn write_long(text: &[u8], body: &mut Vec<u8>) {
    body.extend_from_slice(&count_bytes(text.len()));
    body.extend_from_slice(text);
}

/// A message body has fewer than 2^24 bytes, so no count in one can pass 32 bits.
fn count_bytes(count: usize) -> [u8; 4] {
    (count as u32).to_be_bytes()
}
