//! Reads AMF3: variable-length integers, three reference tables, and every marker of the specification.

use std::sync::Arc;

use bytes::Bytes;
use nom::Parser;
use nom::bytes::complete::take;
use nom::multi::count;
use nom::number::complete::{be_f64, be_i32, be_u8, be_u32};

use super::{Property, Value};
use crate::amf::{AmfError, AmfLimits, Budget, Parsed, fail, finish};

/// The one externalizable class of the Flex era that is sent over RTMP and has a known body: one value.
const ARRAY_COLLECTION: &str = "flex.messaging.io.ArrayCollection";

/// Reads one value from the start of `body` and returns it with the bytes behind it.
///
/// # Errors
/// Any [`AmfError`] but [`AmfError::StrayObjectEnd`], which AMF3 does not know.
pub fn read_value<'a>(body: &'a [u8], limits: &AmfLimits) -> Result<(Value, &'a [u8]), AmfError> {
    let mut budget = Budget::new(*limits);
    let (rest, read) = value(body, &mut budget).map_err(finish)?;
    Ok((read, rest))
}

/// One value with reference tables of its own. Whether several values of one message share their tables is written
/// nowhere; fresh ones turn a wrong guess into undefined, not into another object.
pub(crate) fn value<'a>(input: &'a [u8], budget: &mut Budget) -> Parsed<'a, Value> {
    Reading { budget, strings: Vec::new(), objects: 0, traits: Vec::new() }.value(input)
}

/// The state of one value: what was read so far and may be referred to (AMF3 §2.2).
struct Reading<'b> {
    budget: &'b mut Budget,
    strings: Vec<Bytes>,
    /// Complex values so far. Their number is all we need, since references are not followed.
    objects: u32,
    traits: Vec<Arc<Traits>>,
}

/// What objects of one class have in common (AMF3 §3.12).
struct Traits {
    class: Bytes,
    form: ObjectForm,
    sealed: Vec<Bytes>,
}

enum ObjectForm {
    Sealed,
    Dynamic,
    Externalizable,
}

/// The integer in front of most values: its lowest bit tells a reference from a value (AMF3 §1.3.1).
enum Head {
    Reference(u32),
    Inline(u32),
}

impl Reading<'_> {
    /// marker u8, then by marker (AMF3 §3.1)
    fn value<'a>(&mut self, input: &'a [u8]) -> Parsed<'a, Value> {
        self.budget.node()?;
        let (input, marker) = be_u8(input)?;
        match marker {
            0x00 => Ok((input, Value::Undefined)),
            0x01 => Ok((input, Value::Null)),
            0x02 => Ok((input, Value::Boolean(false))),
            0x03 => Ok((input, Value::Boolean(true))),
            0x04 => u29.map(|bits| Value::Integer(sign_extended(bits))).parse(input),
            0x05 => be_f64.map(Value::Double).parse(input),
            0x06 => {
                self.string(input).map(|(rest, text)| (rest, text.map_or(Value::Undefined, Value::String)))
            }
            0x07 => self.complex(input, |_, length, rest| text(length, rest, Value::XmlDocument)),
            0x08 => self.complex(input, |_, _, rest| be_f64.map(Value::Date).parse(rest)),
            0x09 => self.complex(input, Self::array),
            0x0A => self.complex(input, Self::object),
            0x0B => self.complex(input, |_, length, rest| text(length, rest, Value::Xml)),
            0x0C => self.complex(input, |_, length, rest| text(length, rest, Value::ByteArray)),
            0x0D => self.complex(input, |this, n, rest| this.vector(n, rest, 4, be_i32, Value::VectorInt)),
            0x0E => self.complex(input, |this, n, rest| this.vector(n, rest, 4, be_u32, Value::VectorUint)),
            0x0F => self.complex(input, |this, n, rest| this.vector(n, rest, 8, be_f64, Value::VectorDouble)),
            0x10 => self.complex(input, Self::vector_object),
            0x11 => self.complex(input, Self::dictionary),
            marker => fail(AmfError::UnknownMarker { marker }),
        }
    }

    /// A value that takes a place in the object table, or a reference to one that did. The place is taken before the
    /// members are read, so that they may refer to the value around them.
    fn complex<'a>(
        &mut self,
        input: &'a [u8],
        inline: impl FnOnce(&mut Self, u32, &'a [u8]) -> Parsed<'a, Value>,
    ) -> Parsed<'a, Value> {
        let (input, head) = head(input)?;
        match head {
            Head::Reference(index) if index < self.objects => Ok((input, Value::Reference(index))),
            Head::Reference(_) => Ok((input, Value::Undefined)),
            Head::Inline(bits) => {
                self.objects += 1;
                self.budget.enter()?;
                let read = inline(self, bits, input)?;
                self.budget.leave();
                Ok(read)
            }
        }
    }

    /// head, bytes (AMF3 §1.3.2). The empty string is never stored; `None` is a reference to nothing.
    fn string<'a>(&mut self, input: &'a [u8]) -> Parsed<'a, Option<Bytes>> {
        let (input, head) = head(input)?;
        match head {
            Head::Reference(index) => Ok((input, self.strings.get(index as usize).cloned())),
            Head::Inline(length) => {
                let (input, bytes) = take(length).parse(input)?;
                let text = Bytes::copy_from_slice(bytes);
                if !text.is_empty() {
                    self.strings.push(text.clone());
                }
                Ok((input, Some(text)))
            }
        }
    }

    /// A name, where a reference to nothing cannot stand in for undefined.
    fn name<'a>(&mut self, input: &'a [u8]) -> Parsed<'a, Bytes> {
        match self.string(input)? {
            (rest, Some(name)) => Ok((rest, name)),
            (_, None) => fail(AmfError::DanglingReference),
        }
    }

    /// dense count (in the head), { name, value }*, empty name, values (AMF3 §3.11)
    fn array<'a>(&mut self, dense: u32, input: &'a [u8]) -> Parsed<'a, Value> {
        self.budget.count(dense, 1, input)?;
        let mut associative = Vec::new();
        let input = self.named_values(input, &mut associative)?;
        let (input, dense) = self.values(dense, input)?;
        Ok((input, Value::Array { associative, dense }))
    }

    /// traits (in the head and behind it), sealed values, then { name, value }*, empty name if dynamic (AMF3 §3.12)
    fn object<'a>(&mut self, head: u32, input: &'a [u8]) -> Parsed<'a, Value> {
        let (mut input, traits) = self.traits(head, input)?;
        if matches!(traits.form, ObjectForm::Externalizable) {
            return self.externalizable(&traits.class, input);
        }
        let mut properties = Vec::new();
        for name in &traits.sealed {
            let (rest, value) = self.value(input)?;
            properties.push((name.clone(), value));
            input = rest;
        }
        if matches!(traits.form, ObjectForm::Dynamic) {
            input = self.named_values(input, &mut properties)?;
        }
        Ok((input, Value::Object { class: traits.class.clone(), properties }))
    }

    /// `head` is the object's integer without its lowest bit: 0 traits reference, 01 inline sealed or dynamic with
    /// the dynamic flag and the sealed count above, 11 externalizable. Then class name and sealed names.
    fn traits<'a>(&mut self, head: u32, input: &'a [u8]) -> Parsed<'a, Arc<Traits>> {
        if head & 0b1 == 0 {
            return match self.traits.get((head >> 1) as usize) {
                Some(traits) => Ok((input, Arc::clone(traits))),
                None => fail(AmfError::DanglingReference),
            };
        }
        let (mut input, class) = self.name(input)?;
        let mut sealed = Vec::new();
        let form = match (head & 0b10 != 0, head & 0b100 != 0) {
            (true, _) => ObjectForm::Externalizable,
            (false, true) => ObjectForm::Dynamic,
            (false, false) => ObjectForm::Sealed,
        };
        if !matches!(form, ObjectForm::Externalizable) {
            let names = head >> 3;
            self.budget.count(names, 1, input)?;
            for _ in 0..names {
                // A name repeated by reference is one byte here and a whole entry there: it is paid for like a value.
                self.budget.node()?;
                self.budget.property(sealed.len())?;
                let (rest, name) = self.name(input)?;
                sealed.push(name);
                input = rest;
            }
        }
        let traits = Arc::new(Traits { class, form, sealed });
        self.traits.push(Arc::clone(&traits));
        Ok((input, traits))
    }

    fn externalizable<'a>(&mut self, class: &[u8], input: &'a [u8]) -> Parsed<'a, Value> {
        if class != ARRAY_COLLECTION.as_bytes() {
            return fail(AmfError::Externalizable);
        }
        let (input, inner) = self.value(input)?;
        Ok((input, Value::ArrayCollection(Box::new(inner))))
    }

    /// count (in the head), fixed u8, numbers of `element_bytes` each (AMF3 §3.15)
    fn vector<'a, T, P>(
        &mut self,
        elements: u32,
        input: &'a [u8],
        element_bytes: usize,
        element: P,
        vector: fn(Vec<T>) -> Value,
    ) -> Parsed<'a, Value>
    where
        P: Parser<&'a [u8], Output = T, Error = AmfError>,
    {
        let (input, _fixed) = be_u8(input)?;
        self.budget.count(elements, element_bytes, input)?;
        count(element, elements as usize).map(vector).parse(input)
    }

    /// count (in the head), fixed u8, class name, values (AMF3 §3.15)
    fn vector_object<'a>(&mut self, elements: u32, input: &'a [u8]) -> Parsed<'a, Value> {
        let (input, _fixed) = be_u8(input)?;
        let (input, class) = self.name(input)?;
        self.budget.count(elements, 1, input)?;
        let (input, elements) = self.values(elements, input)?;
        Ok((input, Value::VectorObject { class, elements }))
    }

    /// count (in the head), weak keys u8, { value, value }* (AMF3 §3.16)
    fn dictionary<'a>(&mut self, entries: u32, input: &'a [u8]) -> Parsed<'a, Value> {
        let (mut input, _weak_keys) = be_u8(input)?;
        self.budget.count(entries, 2, input)?;
        let mut read = Vec::new();
        for _ in 0..entries {
            let (rest, key) = self.value(input)?;
            let (rest, value) = self.value(rest)?;
            read.push((key, value));
            input = rest;
        }
        Ok((input, Value::Dictionary(read)))
    }

    /// { name, value }*, empty name
    fn named_values<'a>(
        &mut self,
        mut input: &'a [u8],
        properties: &mut Vec<Property>,
    ) -> Result<&'a [u8], nom::Err<AmfError>> {
        loop {
            let (rest, name) = self.name(input)?;
            if name.is_empty() {
                return Ok(rest);
            }
            self.budget.property(properties.len())?;
            let (rest, value) = self.value(rest)?;
            properties.push((name, value));
            input = rest;
        }
    }

    fn values<'a>(&mut self, elements: u32, mut input: &'a [u8]) -> Parsed<'a, Vec<Value>> {
        let mut read = Vec::new();
        for _ in 0..elements {
            let (rest, value) = self.value(input)?;
            read.push(value);
            input = rest;
        }
        Ok((input, read))
    }
}

fn text(length: u32, input: &[u8], value: fn(Bytes) -> Value) -> Parsed<'_, Value> {
    take(length).map(Bytes::copy_from_slice).map(value).parse(input)
}

fn head(input: &[u8]) -> Parsed<'_, Head> {
    u29.map(|bits| if bits & 1 == 0 { Head::Reference(bits >> 1) } else { Head::Inline(bits >> 1) })
        .parse(input)
}

/// Up to three bytes of 7 bits, each with its top bit set when another follows; the fourth gives 8 bits (AMF3 §1.3.1).
/// Longer forms than needed are accepted.
pub(super) fn u29(mut input: &[u8]) -> Parsed<'_, u32> {
    let mut bits = 0;
    for _ in 0..3 {
        let (rest, byte) = be_u8(input)?;
        input = rest;
        bits = bits << 7 | u32::from(byte & 0x7F);
        if byte & 0x80 == 0 {
            return Ok((input, bits));
        }
    }
    let (input, byte) = be_u8(input)?;
    Ok((input, bits << 8 | u32::from(byte)))
}

/// 29 bits in two's complement (AMF3 §3.6).
fn sign_extended(bits: u32) -> i32 {
    (bits << 3) as i32 >> 3
}

#[cfg(test)]
mod tests {
    use super::u29;

    #[test]
    fn integers_of_one_to_four_bytes_are_read() {
        let rows: [(&[u8], u32); 10] = [
            (&[0x00], 0x0),
            (&[0x7F], 0x7F),
            (&[0x81, 0x00], 0x80),
            (&[0xFF, 0x7F], 0x3FFF),
            (&[0x81, 0x80, 0x00], 0x4000),
            (&[0xFF, 0xFF, 0x7F], 0x1F_FFFF),
            (&[0x80, 0xC0, 0x80, 0x00], 0x20_0000),
            (&[0xBF, 0xFF, 0xFF, 0xFF], 0xFFF_FFFF),
            (&[0xC0, 0x80, 0x80, 0x00], 0x1000_0000),
            (&[0xFF, 0xFF, 0xFF, 0xFF], 0x1FFF_FFFF),
        ];
        for (bytes, number) in rows {
            assert_eq!(u29(bytes), Ok((&[][..], number)), "{bytes:02x?}");
            let mut written = Vec::new();
            super::super::write::write_u29(number, &mut written);
            assert_eq!(written, bytes, "{number:#x}");
        }
    }

    #[test]
    fn a_longer_form_than_needed_is_accepted() {
        assert_eq!(u29(&[0x80, 0x80, 0x05]), Ok((&[][..], 5)));
        assert_eq!(u29(&[0x80, 0x80, 0x80, 0x05]), Ok((&[][..], 5)));
    }
}
