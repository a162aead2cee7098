//! AMF3 known answers and hostile values: each row is read, checked by value, and, where it is in our plain form,
//! written back to the same bytes.

mod hex;

use bytes::Bytes;
use hex::hex;
use onair_codec::amf0;
use onair_codec::amf3::{AmfError, AmfLimits, Property, Value, read_value, skip_format_selector, write};
use proptest::prelude::*;

const LIMITS: AmfLimits = AmfLimits { depth: 16, nodes: 4096, properties: 1024 };

/// Reads one value that must fill the body.
fn read(body: &[u8]) -> Result<Value, AmfError> {
    let (value, rest) = read_value(body, &LIMITS)?;
    assert!(rest.is_empty(), "{} bytes left", rest.len());
    Ok(value)
}

fn written(value: &Value) -> Vec<u8> {
    let mut body = Vec::new();
    write(value, &mut body);
    body
}

fn text(text: &'static str) -> Value {
    Value::String(Bytes::from_static(text.as_bytes()))
}

fn property(name: &'static str, value: Value) -> Property {
    (Bytes::from_static(name.as_bytes()), value)
}

fn object(class: &'static str, properties: Vec<Property>) -> Value {
    Value::Object { class: Bytes::from_static(class.as_bytes()), properties }
}

fn dense(elements: Vec<Value>) -> Value {
    Value::Array { associative: Vec::new(), dense: elements }
}

#[test]
fn every_kind_of_value_is_read_and_written_back_to_the_same_bytes() {
    let raw = Bytes::from_static(&[1, 2]);
    let xml = Bytes::from_static(b"<a/>");
    let rows: Vec<(&str, &str, Value)> = vec![
        ("undefined", "00", Value::Undefined),
        ("null", "01", Value::Null),
        ("false", "02", Value::Boolean(false)),
        ("true", "03", Value::Boolean(true)),
        ("int -1", "04 ffffffff", Value::Integer(-1)),
        ("int -2^28", "04 c0808000", Value::Integer(-(1 << 28))),
        ("int 2^28-1", "04 bfffffff", Value::Integer((1 << 28) - 1)),
        ("2^28 as a double", "05 41b0000000000000", Value::Double(268_435_456.0)),
        ("empty string", "06 01", text("")),
        ("\"a\"", "06 03 61", text("a")),
        ("XML document", "07 09 3c612f3e", Value::XmlDocument(xml.clone())),
        ("XML", "0b 09 3c612f3e", Value::Xml(xml)),
        ("date 0", "08 01 0000000000000000", Value::Date(0.0)),
        ("[1,2]", "09 05 01 04 01 04 02", dense(vec![Value::Integer(1), Value::Integer(2)])),
        (
            "assoc {k:true}",
            "09 01 03 6b 03 01",
            Value::Array { associative: vec![property("k", Value::Boolean(true))], dense: Vec::new() },
        ),
        (
            "anonymous dynamic {a:1}",
            "0a 0b 01 03 61 04 01 01",
            object("", vec![property("a", Value::Integer(1))]),
        ),
        ("ByteArray 01 02", "0c 05 0102", Value::ByteArray(raw)),
        ("vector of int", "0d 05 00 00000001 ffffffff", Value::VectorInt(vec![1, -1])),
        ("vector of uint", "0e 05 00 00000001 ffffffff", Value::VectorUint(vec![1, u32::MAX])),
        ("vector of double", "0f 03 00 3ff0000000000000", Value::VectorDouble(vec![1.0])),
        (
            "vector of object",
            "10 03 00 03 58 01",
            Value::VectorObject { class: Bytes::from_static(b"X"), elements: vec![Value::Null] },
        ),
        (
            "dictionary {1: true}",
            "11 03 00 04 01 03",
            Value::Dictionary(vec![(Value::Integer(1), Value::Boolean(true))]),
        ),
        (
            "ArrayCollection of []",
            "0a 07 43 666c65782e6d6573736167696e672e696f2e4172726179436f6c6c656374696f6e 09 01 01",
            Value::ArrayCollection(Box::new(dense(Vec::new()))),
        ),
    ];
    for (name, bytes, value) in rows {
        let bytes = hex(bytes);
        assert_eq!(read(&bytes), Ok(value.clone()), "{name}");
        assert_eq!(written(&value), bytes, "{name}");
    }
}

#[test]
fn references_lead_to_strings_and_traits_but_never_to_objects() {
    let a = || text("a");
    let one = |n| vec![property("a", Value::Integer(n))];
    let rows: Vec<(&str, &str, Value)> = vec![
        ("[\"a\",\"a\"], second by reference", "09 05 01 06 03 61 06 00", dense(vec![a(), a()])),
        // The empty string takes no place in the table, so the next one is number 0.
        ("[\"\",\"a\",ref 0]", "09 07 01 06 01 06 03 61 06 00", dense(vec![text(""), a(), a()])),
        ("[ref 0]: the array itself", "09 03 01 09 00", dense(vec![Value::Reference(0)])),
        (
            "[date, ref 1]",
            "09 05 01 08 01 0000000000000000 08 02",
            dense(vec![Value::Date(0.0), Value::Reference(1)]),
        ),
        ("object ref 5 with empty table", "0a 0a", Value::Undefined),
        ("string ref 5 with empty table", "06 0a", Value::Undefined),
        (
            "two objects of one sealed class, traits by reference",
            "09 05 01 0a 13 03 58 03 61 04 01 0a 01 04 02",
            dense(vec![object("X", one(1)), object("X", one(2))]),
        ),
        (
            "a name by reference",
            "09 03 03 61 04 01 01 0a 0b 01 00 04 02 01",
            Value::Array { associative: one(1), dense: vec![object("", one(2))] },
        ),
    ];
    for (name, bytes, value) in rows {
        assert_eq!(read(&hex(bytes)), Ok(value), "{name}");
    }
}

#[test]
fn hostile_values_are_refused() {
    use AmfError::*;
    let count_max = (1 << 28) - 1;
    let rows: Vec<(&str, Vec<u8>, AmfError)> = vec![
        (
            "array dense count 2^28-1, no data",
            hex("09 ffffffff 01"),
            CountBeyondBody { announced: count_max, remaining: 1 },
        ),
        ("externalizable unknown class X", hex("0a 07 03 58"), Externalizable),
        ("U29 cut", hex("04 ff ff"), Truncated),
        ("string longer than input", hex("06 ffffffff 61"), Truncated),
        ("byte array longer than input", hex("0c ffffffff 61"), Truncated),
        (
            "sealed names beyond the body",
            hex("0a fffffff3 01 01"),
            CountBeyondBody { announced: 0x1FF_FFFF, remaining: 1 },
        ),
        (
            "vector of int beyond the body",
            hex("0d 05 00 00000001 ffff"),
            CountBeyondBody { announced: 2, remaining: 6 },
        ),
        (
            "vector of double beyond the body",
            hex("0f ffffffff 00"),
            CountBeyondBody { announced: count_max, remaining: 0 },
        ),
        (
            "vector of object beyond the body",
            hex("10 ffffffff 00 01"),
            CountBeyondBody { announced: count_max, remaining: 0 },
        ),
        (
            "dictionary beyond the body",
            hex("11 05 00 01 01 01"),
            CountBeyondBody { announced: 2, remaining: 3 },
        ),
        ("traits by a reference to nothing", hex("0a 05"), DanglingReference),
        ("a name by a reference to nothing", hex("09 01 04 01 01"), DanglingReference),
        ("depth bomb via arrays", hex("09 03 01").repeat(100_000), TooDeep { limit: 16 }),
        ("depth bomb via objects", hex("0a 0b 01 03 61").repeat(100_000), TooDeep { limit: 16 }),
        ("unknown marker", hex("12"), UnknownMarker { marker: 0x12 }),
        ("no marker", Vec::new(), Truncated),
    ];
    for (name, bytes, error) in rows {
        assert_eq!(read(&bytes), Err(error), "{name}");
    }
}

#[test]
fn names_repeated_by_reference_cost_as_much_as_values() {
    // One name in full, then as many references to it as the count allows: one byte each here, an entry each there.
    let mut head = Vec::new();
    head.push(0x0A);
    // 4000 sealed names: (4000 << 4 | 3) as a 29-bit integer.
    head.extend_from_slice(&hex("83f403"));
    head.extend_from_slice(&hex("01 03 61"));
    let body = [head, hex("00").repeat(3999), hex("01").repeat(4000)].concat();
    assert_eq!(read(&body), Err(AmfError::TooManyProperties { limit: 1024 }));

    let many = [hex("09 bf7f 01"), hex("01").repeat(4095)].concat();
    assert_eq!(read_value(&many, &LIMITS).map(|(_, rest)| rest.len()), Ok(0));
    let too_many = [hex("09 c001 01"), hex("01").repeat(4096)].concat();
    assert_eq!(read_value(&too_many, &LIMITS), Err(AmfError::TooManyNodes { limit: 4096 }));
}

#[test]
fn a_command_behind_a_format_selector_is_read_as_amf0() {
    let create = hex("00 02 000c 63726561746553747265616d 00 4010000000000000 05");
    let limits = AmfLimits::default();
    let values = amf0::read_all(skip_format_selector(&create), &limits).unwrap();
    assert_eq!(values, vec!["createStream".into(), 4.0.into(), amf0::Value::Null]);

    let foo = hex("00 02 0003 666f6f 00 4000000000000000 05 11 0a0b010361040101");
    let mut values = amf0::read_all(skip_format_selector(&foo), &limits).unwrap();
    let argument = values.pop().unwrap().into_plain();
    assert_eq!(argument, amf0::Value::object([("a", 1.0.into())]));
    assert_eq!(values, vec!["foo".into(), 2.0.into(), amf0::Value::Null]);
}

#[test]
fn a_format_selector_is_skipped_only_where_a_string_follows() {
    let rows =
        [("00 02 0000", "02 0000"), ("03 02 0000", "02 0000"), ("02 0000", "02 0000"), ("00 05", "00 05")];
    for (body, rest) in rows {
        assert_eq!(skip_format_selector(&hex(body)), hex(rest), "{body}");
    }
    assert_eq!(skip_format_selector(&[]), b"");
}

#[test]
fn values_come_over_to_amf0() {
    let class = Bytes::from_static(b"X");
    let rows: Vec<(Value, amf0::Value)> = vec![
        (Value::Integer(-1), amf0::Value::Number(-1.0)),
        (Value::Reference(0), amf0::Value::Undefined),
        (Value::Date(5.0), amf0::Value::Date { unix_ms: 5.0, time_zone: 0 }),
        (dense(vec![text("a")]), amf0::Value::StrictArray(vec!["a".into()])),
        (
            Value::Array { associative: vec![property("k", Value::Null)], dense: vec![text("a")] },
            amf0::Value::ecma_array([("k", amf0::Value::Null), ("0", "a".into())]),
        ),
        (
            object("X", vec![property("a", text("b"))]),
            amf0::Value::TypedObject { class, properties: vec![(Bytes::from_static(b"a"), "b".into())] },
        ),
        (Value::ArrayCollection(Box::new(Value::Null)), amf0::Value::Null),
        (Value::VectorInt(vec![1]), amf0::Value::StrictArray(vec![1.0.into()])),
        (
            Value::Dictionary(vec![(text("a"), Value::Null), (Value::Integer(1), Value::Null)]),
            amf0::Value::ecma_array([("a", amf0::Value::Null)]),
        ),
    ];
    for (value, expected) in rows {
        assert_eq!(amf0::Value::Avm(value).into_plain(), expected);
    }
}

#[test]
fn an_integer_beyond_29_bits_is_written_as_a_double() {
    assert_eq!(written(&Value::Integer(1 << 28)), hex("05 41b0000000000000"));
    assert_eq!(written(&Value::Integer(i32::MIN)), hex("05 c1e0000000000000"));
}

fn any_number() -> impl Strategy<Value = f64> {
    use prop::num::f64::{INFINITE, NORMAL, SUBNORMAL, ZERO};
    // Not NaN, which equals nothing.
    NORMAL | SUBNORMAL | ZERO | INFINITE
}

fn any_bytes() -> impl Strategy<Value = Bytes> {
    prop::collection::vec(any::<u8>(), 0..24).prop_map(Bytes::from)
}

fn any_name() -> impl Strategy<Value = Bytes> {
    prop::collection::vec(any::<u8>(), 1..24).prop_map(Bytes::from)
}

fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Undefined),
        Just(Value::Null),
        any::<bool>().prop_map(Value::Boolean),
        (-(1_i32 << 28)..1 << 28).prop_map(Value::Integer),
        any_number().prop_map(Value::Double),
        any_number().prop_map(Value::Date),
        any_bytes().prop_map(Value::String),
        any_bytes().prop_map(Value::ByteArray),
        any_bytes().prop_map(Value::Xml),
        prop::collection::vec(any::<i32>(), 0..5).prop_map(Value::VectorInt),
        prop::collection::vec(any::<u32>(), 0..5).prop_map(Value::VectorUint),
        prop::collection::vec(any_number(), 0..5).prop_map(Value::VectorDouble),
    ];
    leaf.prop_recursive(8, 64, 6, |inner| {
        let values = prop::collection::vec(inner.clone(), 0..6).boxed();
        let named = prop::collection::vec((any_name(), inner.clone()), 0..6).boxed();
        prop_oneof![
            (named.clone(), values.clone())
                .prop_map(|(associative, dense)| Value::Array { associative, dense }),
            (any_bytes(), named).prop_map(|(class, properties)| Value::Object { class, properties }),
            (any_bytes(), values).prop_map(|(class, elements)| Value::VectorObject { class, elements }),
            prop::collection::vec((inner.clone(), inner.clone()), 0..4).prop_map(Value::Dictionary),
            inner.prop_map(|value| Value::ArrayCollection(Box::new(value))),
        ]
    })
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(value in any_value()) {
        prop_assert_eq!(read(&written(&value)), Ok(value));
    }

    #[test]
    fn no_bytes_panic(body in prop::collection::vec(any::<u8>(), 0..512)) {
        if let Ok((value, _)) = read_value(&body, &LIMITS) {
            let _ = format!("{value:?}");
            let _ = written(&value);
            let _ = value.into_amf0();
        }
    }
}
