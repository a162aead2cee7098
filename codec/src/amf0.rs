//! AMF0 values: the vocabulary of every RTMP command and data message, read within bounds and written back.
//!
//! Strings are bytes: senders put Latin-1 and worse into them, and a name must compare as it was sent.
//! References are never expanded, so that no body can describe a cycle or multiply itself.
//!
//! ```
//! use onair_codec::amf0::{AmfLimits, Value, read_all, write_all};
//!
//! let info = Value::object([("level", "status".into()), ("clientid", 7.0.into())]);
//! let body = write_all(&["onStatus".into(), 0.0.into(), Value::Null, info]);
//! let values = read_all(&body, &AmfLimits::default())?;
//! assert_eq!(values[0].as_str_bytes(), Some(&b"onStatus"[..]));
//! assert_eq!(values[3].get("clientid").and_then(Value::as_u32), Some(7));
//! # Ok::<(), onair_codec::amf0::AmfError>(())
//! ```

mod read;
mod write;

use std::fmt;

use bytes::Bytes;

pub use crate::amf::{AmfError, AmfLimits};
pub use read::{Reader, read_all};
pub use write::{write, write_all};

use crate::amf3;

/// A property of an object: its name as sent, and its value. Order and duplicates are kept as they were sent.
pub type Property = (Bytes, Value);

/// One AMF0 value (AMF0 §2, §3.1).
///
/// `Debug` shows the length of strings, never their content: a stream name is a secret.
#[derive(Clone, PartialEq)]
pub enum Value {
    /// A double. NaN and infinities are legal and must be expected.
    Number(f64),
    /// A boolean; any non-zero byte was true.
    Boolean(bool),
    /// A string or long string, not necessarily UTF-8. Written in the short form when it fits 65 535 bytes.
    String(Bytes),
    /// An anonymous object.
    Object(Vec<Property>),
    /// Null.
    Null,
    /// Undefined.
    Undefined,
    /// A reference to an earlier complex value of the same body, not followed.
    Reference(u16),
    /// An associative array. The count on the wire is a hint and is not kept; the true one is written.
    EcmaArray(Vec<Property>),
    /// An array.
    StrictArray(Vec<Self>),
    /// A point in time.
    Date {
        /// Milliseconds since 1970-01-01T00:00Z.
        unix_ms: f64,
        /// Reserved by the specification; 0 in everything we write.
        time_zone: i16,
    },
    /// A value the sender could not express.
    Unsupported,
    /// An XML document as text.
    XmlDocument(Bytes),
    /// An object with a class name.
    TypedObject {
        /// The registered alias of the class.
        class: Bytes,
        /// Its properties.
        properties: Vec<Property>,
    },
    /// One AMF3 value behind the switch marker (AMF0 §3.1). [`Value::into_plain`] brings it to AMF0.
    Avm(amf3::Value),
}

impl Value {
    /// A string value from text or bytes that live for ever.
    pub const fn from_static(text: &'static str) -> Self {
        Self::String(Bytes::from_static(text.as_bytes()))
    }

    /// A string value, copied.
    pub fn string(text: impl AsRef<[u8]>) -> Self {
        Self::String(Bytes::copy_from_slice(text.as_ref()))
    }

    /// An object with these properties, in this order.
    pub fn object<const N: usize>(properties: [(&'static str, Self); N]) -> Self {
        Self::Object(named(properties))
    }

    /// An ECMA array with these properties, in this order.
    pub fn ecma_array<const N: usize>(properties: [(&'static str, Self); N]) -> Self {
        Self::EcmaArray(named(properties))
    }

    /// The bytes of a string or XML document, also behind the AMF3 switch.
    pub fn as_str_bytes(&self) -> Option<&[u8]> {
        match self {
            Self::String(text) | Self::XmlDocument(text) => Some(text),
            Self::Avm(amf3::Value::String(text)) => Some(text),
            _ => None,
        }
    }

    /// A number as it was sent, NaN and infinities included. Some senders write numbers as booleans or as decimal
    /// text; those are coerced, and text that is no finite number is `None`.
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            Self::Number(number) => Some(*number),
            Self::Boolean(flag) => Some(f64::from(u8::from(*flag))),
            Self::String(text) => {
                let number: f64 = std::str::from_utf8(text).ok()?.trim().parse().ok()?;
                number.is_finite().then_some(number)
            }
            Self::Avm(amf3::Value::Integer(number)) => Some(f64::from(*number)),
            Self::Avm(amf3::Value::Double(number)) => Some(*number),
            _ => None,
        }
    }

    /// A number that is exactly an integer of 32 bits: ids, masks, codec ids. Coerces as [`Value::as_f64`] does.
    pub fn as_u32(&self) -> Option<u32> {
        let number = self.as_f64()?;
        let integer = number.fract() == 0.0 && (0.0..=f64::from(u32::MAX)).contains(&number);
        // Exact by the line above.
        integer.then_some(number as u32)
    }

    /// A boolean. Numbers are true unless 0 or NaN; the texts `true`, `false`, `1` and `0` count as well.
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Boolean(flag) | Self::Avm(amf3::Value::Boolean(flag)) => Some(*flag),
            Self::String(text) if text.eq_ignore_ascii_case(b"true") || text == "1" => Some(true),
            Self::String(text) if text.eq_ignore_ascii_case(b"false") || text == "0" => Some(false),
            Self::String(_) => None,
            _ => self.as_f64().map(|number| number != 0.0 && !number.is_nan()),
        }
    }

    /// The properties of an object, a typed object or an ECMA array; senders use them interchangeably.
    pub fn properties(&self) -> Option<&[Property]> {
        match self {
            Self::Object(properties) | Self::EcmaArray(properties) | Self::TypedObject { properties, .. } => {
                Some(properties)
            }
            _ => None,
        }
    }

    /// The property of this name. Of duplicates the last one counts.
    pub fn get(&self, name: &str) -> Option<&Self> {
        let properties = self.properties()?;
        properties.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value)
    }

    /// The elements of a strict array.
    pub fn elements(&self) -> Option<&[Self]> {
        match self {
            Self::StrictArray(elements) => Some(elements),
            _ => None,
        }
    }

    /// Nothing was said: null, undefined, unsupported, or a reference (which we do not follow).
    pub fn is_nothing(&self) -> bool {
        matches!(self, Self::Null | Self::Undefined | Self::Unsupported | Self::Reference(_))
            || matches!(self, Self::Avm(amf3::Value::Null | amf3::Value::Undefined))
    }

    /// The same value without the AMF3 switch at its top, so that one set of accessors serves both encodings.
    pub fn into_plain(self) -> Self {
        match self {
            Self::Avm(value) => value.into_amf0(),
            plain => plain,
        }
    }
}

impl From<f64> for Value {
    fn from(number: f64) -> Self {
        Self::Number(number)
    }
}

impl From<bool> for Value {
    fn from(flag: bool) -> Self {
        Self::Boolean(flag)
    }
}

impl From<&'static str> for Value {
    fn from(text: &'static str) -> Self {
        Self::from_static(text)
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number:?}"),
            Self::Boolean(flag) => write!(f, "{flag}"),
            Self::String(text) => write!(f, "String({} bytes)", text.len()),
            Self::Object(properties) => debug_properties(f, "Object", properties),
            Self::Null => f.write_str("Null"),
            Self::Undefined => f.write_str("Undefined"),
            Self::Reference(index) => write!(f, "Reference({index})"),
            Self::EcmaArray(properties) => debug_properties(f, "EcmaArray", properties),
            Self::StrictArray(elements) => f.debug_list().entries(elements).finish(),
            Self::Date { unix_ms, time_zone } => write!(f, "Date({unix_ms:?}, zone {time_zone})"),
            Self::Unsupported => f.write_str("Unsupported"),
            Self::XmlDocument(text) => write!(f, "XmlDocument({} bytes)", text.len()),
            Self::TypedObject { properties, .. } => debug_properties(f, "TypedObject", properties),
            Self::Avm(value) => write!(f, "Avm({value:?})"),
        }
    }
}

/// Names of properties are vocabulary, not secrets; only the first bytes of a long one are shown.
fn debug_properties(f: &mut fmt::Formatter<'_>, kind: &str, properties: &[Property]) -> fmt::Result {
    const NAME_BYTES_SHOWN: usize = 64;
    write!(f, "{kind} ")?;
    let shown = properties.iter().map(|(key, value)| {
        (String::from_utf8_lossy(&key[..key.len().min(NAME_BYTES_SHOWN)]).into_owned(), value)
    });
    f.debug_map().entries(shown).finish()
}

fn named<const N: usize>(properties: [(&'static str, Value); N]) -> Vec<Property> {
    properties.into_iter().map(|(key, value)| (Bytes::from_static(key.as_bytes()), value)).collect()
}
