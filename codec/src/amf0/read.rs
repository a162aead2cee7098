//! Reads AMF0 bodies with complete parsers: within a message body, running out of bytes is an error, not a wait.

use std::fmt;

use bytes::Bytes;
use nom::Parser;
use nom::bytes::complete::take;
use nom::multi::length_data;
use nom::number::complete::{be_f64, be_i16, be_u8, be_u16, be_u32};

use super::{Property, Value};
use crate::amf::{AmfError, AmfLimits, Budget, Parsed, fail, finish};
use crate::amf3;

/// Reads the values of one message body, one after the other, on one budget.
///
/// As an iterator it ends after the last value or after the first error, whichever comes first: nothing behind an
/// error can be found again. `Debug` shows how much is left, never the bytes.
pub struct Reader<'a> {
    rest: &'a [u8],
    budget: Budget,
    object_end: ObjectEnd,
}

/// Reads all values of a body, as [`Reader::new`] does.
///
/// # Errors
/// Any [`AmfError`]; what was read before it is dropped. Use a [`Reader`] to keep it.
pub fn read_all(body: &[u8], limits: &AmfLimits) -> Result<Vec<Value>, AmfError> {
    Reader::new(body, limits).collect()
}

/// What the end of the body means inside an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ObjectEnd {
    /// The object must be closed.
    Required,
    /// After a complete property it closes the object: some hardware encoders never send the end marker.
    Implied,
}

impl<'a> Reader<'a> {
    /// A reader that accepts a missing object end at the end of the body.
    pub fn new(body: &'a [u8], limits: &AmfLimits) -> Self {
        Self { rest: body, budget: Budget::new(*limits), object_end: ObjectEnd::Implied }
    }

    /// A reader that insists on every object end: for what we wrote ourselves.
    pub fn strict(body: &'a [u8], limits: &AmfLimits) -> Self {
        Self { object_end: ObjectEnd::Required, ..Self::new(body, limits) }
    }

    /// The bytes not read yet. Empty after an error.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    fn read_next(&mut self) -> Result<Value, AmfError> {
        let body = std::mem::take(&mut self.rest);
        let (rest, read) = value(body, &mut self.budget, self.object_end).map_err(finish)?;
        self.rest = rest;
        Ok(read)
    }
}

impl fmt::Debug for Reader<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader")
            .field("rest_bytes", &self.rest.len())
            .field("budget", &self.budget)
            .field("object_end", &self.object_end)
            .finish()
    }
}

impl Iterator for Reader<'_> {
    type Item = Result<Value, AmfError>;

    fn next(&mut self) -> Option<Self::Item> {
        (!self.rest.is_empty()).then(|| self.read_next())
    }
}

/// marker u8, then by marker (AMF0 §2.1)
fn value<'a>(input: &'a [u8], budget: &mut Budget, end: ObjectEnd) -> Parsed<'a, Value> {
    budget.node()?;
    let (input, marker) = be_u8(input)?;
    match marker {
        0x00 => be_f64.map(Value::Number).parse(input),
        0x01 => be_u8.map(|byte| Value::Boolean(byte != 0)).parse(input),
        0x02 => short_string.map(Value::String).parse(input),
        0x03 => properties(input, budget, end).map(|(rest, read)| (rest, Value::Object(read))),
        0x05 => Ok((input, Value::Null)),
        0x06 => Ok((input, Value::Undefined)),
        0x07 => be_u16.map(Value::Reference).parse(input),
        0x08 => ecma_array(input, budget, end),
        0x09 => fail(AmfError::StrayObjectEnd),
        0x0A => strict_array(input, budget, end),
        0x0B => (be_f64, be_i16).map(|(unix_ms, time_zone)| Value::Date { unix_ms, time_zone }).parse(input),
        0x0C => long_string.map(Value::String).parse(input),
        0x0D => Ok((input, Value::Unsupported)),
        0x0F => long_string.map(Value::XmlDocument).parse(input),
        0x10 => typed_object(input, budget, end),
        0x11 => amf3::read::value(input, budget).map(|(rest, read)| (rest, Value::Avm(read))),
        // 0x04 movie clip and 0x0E record set are reserved (AMF0 §2.6, §2.16).
        marker => fail(AmfError::UnknownMarker { marker }),
    }
}

/// length u16, bytes (AMF0 §2.4)
fn short_string(input: &[u8]) -> Parsed<'_, Bytes> {
    length_data(be_u16).map(Bytes::copy_from_slice).parse(input)
}

/// length u32, bytes (AMF0 §2.14)
fn long_string(input: &[u8]) -> Parsed<'_, Bytes> {
    let (input, length) = be_u32(input)?;
    take(length).map(Bytes::copy_from_slice).parse(input)
}

/// { key short-string, value }*, then an empty key and marker 09 (AMF0 §2.5, §2.11).
/// An empty key before any other marker is a property with an empty name.
fn properties<'a>(mut input: &'a [u8], budget: &mut Budget, end: ObjectEnd) -> Parsed<'a, Vec<Property>> {
    budget.enter()?;
    let mut read = Vec::new();
    loop {
        if input.is_empty() && end == ObjectEnd::Implied {
            break;
        }
        let (after_key, key) = short_string(input)?;
        if key.is_empty() && after_key.first() == Some(&0x09) {
            input = &after_key[1..];
            break;
        }
        budget.property(read.len())?;
        let (rest, property) = value(after_key, budget, end)?;
        read.push((key, property));
        input = rest;
    }
    budget.leave();
    Ok((input, read))
}

/// approximate count u32, then as an object (AMF0 §2.10). Senders write 0 or anything as the count: it is skipped.
fn ecma_array<'a>(input: &'a [u8], budget: &mut Budget, end: ObjectEnd) -> Parsed<'a, Value> {
    let (input, _count_hint) = be_u32(input)?;
    let (input, read) = properties(input, budget, end)?;
    Ok((input, Value::EcmaArray(read)))
}

/// count u32, then as many values (AMF0 §2.12). A value takes one byte or more.
fn strict_array<'a>(input: &'a [u8], budget: &mut Budget, end: ObjectEnd) -> Parsed<'a, Value> {
    let (mut input, count) = be_u32(input)?;
    budget.count(count, 1, input)?;
    budget.enter()?;
    let mut elements = Vec::new();
    for _ in 0..count {
        let (rest, element) = value(input, budget, end)?;
        elements.push(element);
        input = rest;
    }
    budget.leave();
    Ok((input, Value::StrictArray(elements)))
}

/// class name short-string, then as an object (AMF0 §2.18)
fn typed_object<'a>(input: &'a [u8], budget: &mut Budget, end: ObjectEnd) -> Parsed<'a, Value> {
    let (input, class) = short_string(input)?;
    let (input, properties) = properties(input, budget, end)?;
    Ok((input, Value::TypedObject { class, properties }))
}
