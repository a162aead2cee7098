//! AMF3 values: what Flash-era clients put into message types 15 and 17, and behind the switch marker of AMF0.
//!
//! Read in full and within bounds, written in the plainest form: no references, every object dynamic.

pub(crate) mod read;
mod write;

use std::fmt;

use bytes::Bytes;

pub use crate::amf::{AmfError, AmfLimits};
pub use read::read_value;
pub use write::write;

use crate::amf0;

/// A property of an object: its name as sent, and its value.
pub type Property = (Bytes, Value);

/// One AMF3 value (AMF3 §3).
///
/// Strings repeated by reference share their bytes. Objects repeated by reference stay [`Value::Reference`], so that
/// no body can describe a cycle or multiply itself. `Debug` shows the length of strings, never their content.
#[derive(Clone, PartialEq)]
pub enum Value {
    /// Undefined, and what a reference to nothing becomes.
    Undefined,
    /// Null.
    Null,
    /// A boolean.
    Boolean(bool),
    /// An integer of 29 bits with sign. One outside of −2^28..2^28−1 is written as a double.
    Integer(i32),
    /// A double.
    Double(f64),
    /// A string, not necessarily UTF-8.
    String(Bytes),
    /// A legacy XML document.
    XmlDocument(Bytes),
    /// An E4X XML value.
    Xml(Bytes),
    /// Milliseconds since 1970-01-01T00:00Z.
    Date(f64),
    /// An array: its named part, then its numbered part.
    Array {
        /// Entries with names.
        associative: Vec<Property>,
        /// Entries 0, 1, 2 and so on.
        dense: Vec<Self>,
    },
    /// An object; sealed and dynamic properties in one list.
    Object {
        /// The class name; empty for an anonymous object.
        class: Bytes,
        /// Its properties, the sealed ones first.
        properties: Vec<Property>,
    },
    /// The one externalizable class whose body is known: `flex.messaging.io.ArrayCollection`, one value.
    ArrayCollection(Box<Self>),
    /// Raw bytes.
    ByteArray(Bytes),
    /// A vector of integers.
    VectorInt(Vec<i32>),
    /// A vector of unsigned integers.
    VectorUint(Vec<u32>),
    /// A vector of doubles.
    VectorDouble(Vec<f64>),
    /// A vector of values of one class.
    VectorObject {
        /// The class name; empty for any.
        class: Bytes,
        /// The elements.
        elements: Vec<Self>,
    },
    /// A dictionary, whose keys may be any value.
    Dictionary(Vec<(Self, Self)>),
    /// An earlier complex value of the same body by its index, not followed. Written as undefined.
    Reference(u32),
}

impl Value {
    /// The nearest AMF0 value. A class name survives as a typed object, a dictionary keeps its text keys, a byte array
    /// becomes a string, a reference undefined. No deeper than the value itself.
    pub fn into_amf0(self) -> amf0::Value {
        match self {
            Self::Undefined | Self::Reference(_) => amf0::Value::Undefined,
            Self::Null => amf0::Value::Null,
            Self::Boolean(flag) => amf0::Value::Boolean(flag),
            Self::Integer(number) => amf0::Value::Number(f64::from(number)),
            Self::Double(number) => amf0::Value::Number(number),
            Self::String(text) | Self::ByteArray(text) => amf0::Value::String(text),
            Self::XmlDocument(text) | Self::Xml(text) => amf0::Value::XmlDocument(text),
            Self::Date(unix_ms) => amf0::Value::Date { unix_ms, time_zone: 0 },
            Self::Array { associative, dense } if associative.is_empty() => elements_into_amf0(dense),
            Self::Array { associative, dense } => {
                let numbered = dense.into_iter().enumerate();
                let dense = numbered.map(|(index, value)| (Bytes::from(index.to_string()), value));
                amf0::Value::EcmaArray(properties_into_amf0(associative.into_iter().chain(dense)))
            }
            Self::Object { class, properties } => {
                let properties = properties_into_amf0(properties);
                match class.is_empty() {
                    true => amf0::Value::Object(properties),
                    false => amf0::Value::TypedObject { class, properties },
                }
            }
            Self::ArrayCollection(value) => value.into_amf0(),
            Self::VectorInt(numbers) => numbers_into_amf0(numbers.into_iter().map(f64::from)),
            Self::VectorUint(numbers) => numbers_into_amf0(numbers.into_iter().map(f64::from)),
            Self::VectorDouble(numbers) => numbers_into_amf0(numbers),
            Self::VectorObject { elements, .. } => elements_into_amf0(elements),
            Self::Dictionary(entries) => {
                let named = entries.into_iter().filter_map(|(key, value)| match key {
                    Self::String(key) => Some((key, value)),
                    _ => None,
                });
                amf0::Value::EcmaArray(properties_into_amf0(named))
            }
        }
    }
}

/// The AMF0 part of the body of message types 15 and 17.
///
/// Both start with a format selector of 0, then AMF0 values follow, each AMF3 value behind a marker of its own
/// (E-RTMP v2, "Action Message Format"). Some old peers leave the selector out or write 3; it is taken for one only
/// when a string marker follows, since both kinds of message begin with a string.
pub fn skip_format_selector(body: &[u8]) -> &[u8] {
    match body {
        [0x00 | 0x03, rest @ ..] if rest.first() == Some(&0x02) => rest,
        _ => body,
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::String(text) => write!(f, "String({} bytes)", text.len()),
            Self::XmlDocument(text) | Self::Xml(text) => write!(f, "Xml({} bytes)", text.len()),
            Self::ByteArray(bytes) => write!(f, "ByteArray({} bytes)", bytes.len()),
            // Everything else holds no text of its own, or holds it in values that come by here.
            other => fmt::Debug::fmt(&other.clone().into_amf0(), f),
        }
    }
}

fn properties_into_amf0(properties: impl IntoIterator<Item = Property>) -> Vec<amf0::Property> {
    properties.into_iter().map(|(key, value)| (key, value.into_amf0())).collect()
}

fn elements_into_amf0(elements: Vec<Value>) -> amf0::Value {
    amf0::Value::StrictArray(elements.into_iter().map(Value::into_amf0).collect())
}

fn numbers_into_amf0(numbers: impl IntoIterator<Item = f64>) -> amf0::Value {
    amf0::Value::StrictArray(numbers.into_iter().map(amf0::Value::Number).collect())
}
