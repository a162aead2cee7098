//! AMF0 known answers and hostile bodies: each row is read, checked by value, and, where it is canonical, written back
//! to the same bytes.

mod hex;

use bytes::Bytes;
use hex::hex;
use onair_codec::amf0::{AmfError, AmfLimits, Property, Reader, Value, read_all, write_all};
use onair_codec::amf3;
use proptest::prelude::*;

const LIMITS: AmfLimits = AmfLimits { depth: 16, nodes: 4096, properties: 1024 };

fn read_strictly(body: &[u8]) -> Result<Vec<Value>, AmfError> {
    Reader::strict(body, &LIMITS).collect()
}

fn property(name: &'static str, value: Value) -> Property {
    (Bytes::from_static(name.as_bytes()), value)
}

fn empty_typed_object(class: &'static str) -> Value {
    Value::TypedObject { class: Bytes::from_static(class.as_bytes()), properties: Vec::new() }
}

#[test]
fn every_kind_of_value_is_read_and_written_back_to_the_same_bytes() {
    let rows: Vec<(&str, &str, Value)> = vec![
        ("0.0", "000000000000000000", Value::Number(0.0)),
        ("1.0", "003ff0000000000000", Value::Number(1.0)),
        ("-1.0", "00bff0000000000000", Value::Number(-1.0)),
        ("3.5", "00400c000000000000", Value::Number(3.5)),
        ("2500000", "00414312d000000000", Value::Number(2_500_000.0)),
        ("true", "0101", Value::Boolean(true)),
        ("false", "0100", Value::Boolean(false)),
        ("empty string", "020000", "".into()),
        ("é", "020002c3a9", "é".into()),
        ("null", "05", Value::Null),
        ("undefined", "06", Value::Undefined),
        ("{}", "03000009", Value::object([])),
        ("{a:1}", "03000161003ff0000000000000000009", Value::object([("a", 1.0.into())])),
        ("ECMA {k:true}, count 1", "080000000100016b0101000009", Value::ecma_array([("k", true.into())])),
        (
            "[1,\"a\"]",
            "0a00000002003ff000000000000002000161",
            Value::StrictArray(vec![1.0.into(), "a".into()]),
        ),
        (
            "date 2023-11-14T22:13:20Z",
            "0b4278bcfe568000000000",
            Value::Date { unix_ms: 1_700_000_000_000.0, time_zone: 0 },
        ),
        ("typed object Foo{}", "100003466f6f000009", empty_typed_object("Foo")),
        (
            "{self: ref 0} (cycle: must not recurse)",
            "03000473656c66070000000009",
            Value::object([("self", Value::Reference(0))]),
        ),
        ("AVM+ int 42", "11042a", Value::Avm(amf3::Value::Integer(42))),
        ("unsupported", "0d", Value::Unsupported),
        ("XML document", "0f000000043c612f3e", Value::XmlDocument(Bytes::from_static(b"<a/>"))),
        ("dangling reference at top level", "070000", Value::Reference(0)),
        (
            "a property with an empty name",
            "03 0000 0101 0001 61 05 000009",
            Value::Object(vec![property("", true.into()), property("a", Value::Null)]),
        ),
    ];
    for (name, bytes, value) in rows {
        let bytes = hex(bytes);
        assert_eq!(read_strictly(&bytes), Ok(vec![value.clone()]), "{name}");
        assert_eq!(write_all([&value]), bytes, "{name}");
    }
}

#[test]
fn other_forms_of_the_same_value_are_accepted() {
    let rows: Vec<(&str, &str, Value)> = vec![
        ("true (non-canonical)", "017f", Value::Boolean(true)),
        ("ECMA {k:true}, count 0", "080000000000016b0101000009", Value::ecma_array([("k", true.into())])),
        ("ECMA count is only a hint", "08 ffffffff 0000 09", Value::ecma_array([])),
        ("long string \"hi\"", "0c000000026869", "hi".into()),
    ];
    for (name, bytes, value) in rows {
        assert_eq!(read_strictly(&hex(bytes)), Ok(vec![value]), "{name}");
    }
}

#[test]
fn hostile_bodies_are_refused() {
    use AmfError::*;
    let rows: [(&str, Vec<u8>, AmfError); 18] = [
        ("string longer than input", hex("02 0005 6162"), Truncated),
        (
            "strict array count 2^32-1, no data",
            hex("0a ffffffff"),
            CountBeyondBody { announced: u32::MAX, remaining: 0 },
        ),
        (
            "count 1 048 576, 2 elements present",
            hex("0a 00100000 05 05"),
            CountBeyondBody { announced: 1_048_576, remaining: 2 },
        ),
        ("long string length", hex("0c ffffffff 61"), Truncated),
        ("depth bomb", hex("03 0001 61").repeat(100_000), TooDeep { limit: 16 }),
        // Every announced element could still be there, so only the depth tells.
        ("depth bomb via arrays", hex("0a 00000001").repeat(100_000), TooDeep { limit: 16 }),
        ("stray object end", hex("09"), StrayObjectEnd),
        ("stray object end after a key", hex("03 0001 61 09"), StrayObjectEnd),
        // Read as a number that is cut short, since 00 is the number marker.
        ("stray object end with its empty key", hex("0000 09"), Truncated),
        ("movie clip", hex("04"), UnknownMarker { marker: 0x04 }),
        ("record set", hex("0e"), UnknownMarker { marker: 0x0E }),
        ("marker 12", hex("12"), UnknownMarker { marker: 0x12 }),
        ("marker ff", hex("ff"), UnknownMarker { marker: 0xFF }),
        ("more nodes than allowed", hex("05").repeat(4097), TooManyNodes { limit: 4096 }),
        (
            "more nodes than allowed, in an array",
            [hex("0a 00001001"), hex("05").repeat(4097)].concat(),
            TooManyNodes { limit: 4096 },
        ),
        (
            "more properties than allowed",
            [hex("03"), hex("0001 61 05").repeat(1025)].concat(),
            TooManyProperties { limit: 1024 },
        ),
        ("a key without its value", hex("03 0001 61"), Truncated),
        ("AVM+ without its value", hex("11"), Truncated),
    ];
    for (name, bytes, error) in rows {
        assert_eq!(read_all(&bytes, &LIMITS), Err(error), "{name}");
        assert_eq!(read_strictly(&bytes), Err(error), "{name}, strictly");
    }
}

#[test]
fn the_bounds_themselves_are_still_allowed() {
    let nested = [hex("03 0001 61").repeat(16), hex("05"), hex("000009").repeat(16)].concat();
    assert_eq!(read_strictly(&nested).map(|values| values.len()), Ok(1));
    assert_eq!(read_strictly(&hex("05").repeat(4096)).map(|values| values.len()), Ok(4096));
    let wide = [hex("03"), hex("0001 61 05").repeat(1024), hex("000009")].concat();
    assert_eq!(read_strictly(&wide).map(|values| values.len()), Ok(1));
}

#[test]
fn siblings_do_not_add_to_the_depth() {
    let siblings = [hex("0a 00000064"), hex("03000009").repeat(100)].concat();
    assert_eq!(read_strictly(&siblings).map(|values| values.len()), Ok(1));
}

#[test]
fn an_object_may_end_with_the_body_unless_read_strictly() {
    let cut = hex("03 0001 61 00 3ff0000000000000");
    assert_eq!(read_all(&cut, &LIMITS), Ok(vec![Value::object([("a", 1.0.into())])]));
    assert_eq!(read_strictly(&cut), Err(AmfError::Truncated));

    let nested = hex("08 00000001 0001 6f 03 0001 61 05");
    let inner = Value::object([("a", Value::Null)]);
    assert_eq!(read_all(&nested, &LIMITS), Ok(vec![Value::ecma_array([("o", inner)])]));
    assert_eq!(read_strictly(&nested), Err(AmfError::Truncated));
}

#[test]
fn bytes_that_are_no_utf8_are_kept() {
    let bytes = hex("02 0002 c328");
    let values = read_all(&bytes, &LIMITS).unwrap();
    assert_eq!(values[0].as_str_bytes(), Some(&[0xC3, 0x28][..]));
    assert_eq!(write_all(&values), bytes);
}

#[test]
fn a_nan_transaction_id_is_echoed_bit_for_bit() {
    let bytes = hex("00 7ff8000000000001");
    let values = read_all(&bytes, &LIMITS).unwrap();
    assert!(values[0].as_f64().unwrap().is_nan());
    assert_eq!(values[0].as_u32(), None);
    assert_eq!(write_all(&values), bytes);
}

#[test]
fn a_body_whose_first_value_is_no_string_offers_no_command_name() {
    for body in ["", "05", "00 3ff0000000000000"] {
        let values = read_all(&hex(body), &LIMITS).unwrap();
        assert_eq!(values.first().and_then(Value::as_str_bytes), None, "{body:?}");
    }
}

#[test]
fn what_stands_before_an_error_can_be_kept() {
    let body = hex("020001 61 05 04 05");
    let mut reader = Reader::new(&body, &LIMITS);
    assert_eq!(reader.next(), Some(Ok("a".into())));
    assert_eq!(reader.rest(), hex("05 04 05"));
    assert_eq!(reader.next(), Some(Ok(Value::Null)));
    assert_eq!(reader.next(), Some(Err(AmfError::UnknownMarker { marker: 0x04 })));
    assert_eq!(reader.next(), None);
    assert_eq!(reader.rest(), b"");
}

#[test]
fn of_duplicate_properties_the_last_one_counts() {
    let value = Value::object([("a", 1.0.into()), ("b", 5.0.into()), ("a", 2.0.into())]);
    assert_eq!(value.get("a"), Some(&Value::Number(2.0)));
    assert_eq!(value.get("c"), None);
    assert_eq!(Value::Null.get("a"), None);
}

#[test]
fn numbers_booleans_and_text_are_coerced() {
    assert_eq!(Value::from("1635148593").as_u32(), Some(0x6176_6331));
    assert_eq!(Value::from(" 2.5 ").as_f64(), Some(2.5));
    assert_eq!(Value::from("NaN").as_f64(), None);
    assert_eq!(Value::from("avc1").as_f64(), None);
    assert_eq!(Value::from(true).as_f64(), Some(1.0));
    assert_eq!(Value::Avm(amf3::Value::Integer(7)).as_u32(), Some(7));
    assert_eq!(Value::from(-1.0).as_u32(), None);
    assert_eq!(Value::from(0.5).as_u32(), None);
    assert_eq!(Value::from(4_294_967_295.0).as_u32(), Some(u32::MAX));
    assert_eq!(Value::from(4_294_967_296.0).as_u32(), None);
    assert_eq!(Value::from(2.0).as_bool(), Some(true));
    assert_eq!(Value::from(f64::NAN).as_bool(), Some(false));
    assert_eq!(Value::from("True").as_bool(), Some(true));
    assert_eq!(Value::from("0").as_bool(), Some(false));
    assert_eq!(Value::from("perhaps").as_bool(), None);
    assert_eq!(Value::Null.as_bool(), None);
}

#[test]
fn debug_shows_no_string() {
    let secret = "eyJhbGciOiJFZERTQSJ9";
    let values = [
        Value::string(secret),
        Value::object([("name", Value::string(secret))]),
        Value::ecma_array([("name", Value::string(secret))]),
        Value::StrictArray(vec![Value::string(secret)]),
        Value::XmlDocument(Bytes::from_static(secret.as_bytes())),
        Value::Avm(amf3::Value::String(Bytes::from_static(secret.as_bytes()))),
        Value::Avm(amf3::Value::ByteArray(Bytes::from_static(secret.as_bytes()))),
        Value::Avm(amf3::Value::Array {
            associative: Vec::new(),
            dense: vec![amf3::Value::Xml(Bytes::from_static(secret.as_bytes()))],
        }),
    ];
    for value in values {
        assert!(!format!("{value:?} {value:#?}").contains(&secret[..4]), "{value:?}");
    }
    let reader = Reader::new(secret.as_bytes(), &LIMITS);
    let bytes = format!("{:?}", &secret.as_bytes()[..4]);
    assert!(!format!("{reader:?}").contains(bytes.trim_matches(['[', ']'])), "{reader:?}");
}

#[test]
fn a_string_beyond_65535_bytes_is_written_long_and_such_a_name_is_left_out() {
    let long = Value::string(vec![b'x'; 65_536]);
    let written = write_all([&long]);
    assert_eq!(written[..5], hex("0c 00010000"));
    assert_eq!(read_strictly(&written), Ok(vec![long]));

    let name = Bytes::from(vec![b'x'; 65_536]);
    let object = Value::EcmaArray(vec![(name, Value::Null), property("a", Value::Null)]);
    assert_eq!(write_all([&object]), hex("08 00000001 0001 61 05 000009"));
}

fn info(level: &'static str, code: &'static str, description: &'static str) -> Vec<(&'static str, Value)> {
    vec![("level", level.into()), ("code", code.into()), ("description", description.into())]
}

fn object(properties: Vec<(&'static str, Value)>) -> Value {
    Value::Object(properties.into_iter().map(|(name, value)| property(name, value)).collect())
}

/// Fixed parts of connect answers, in the order in which servers are known to send them.
fn server_properties() -> Vec<(&'static str, Value)> {
    vec![("fmsVer", "FMS/3,5,7,7009".into()), ("capabilities", 31.0.into()), ("mode", 1.0.into())]
}

/// The bodies of real commands and of the answers that real clients accept: those of OBS byte for byte.
#[test]
fn command_bodies_are_read_and_written_back_to_the_same_bytes() {
    let start = info("status", "NetStream.Publish.Start", "Start publishing");
    let bad_name = info("error", "NetStream.Publish.BadName", "Stream already publishing");
    let rejected = info("error", "NetConnection.Connect.Rejected", "Unknown application");
    let mut reconnect = info("status", "NetConnection.Connect.ReconnectRequest", "Server maintenance");
    reconnect.push(("tcUrl", "rtmp://b.example.com/live".into()));
    let mut connected = info("status", "NetConnection.Connect.Success", "Connection succeeded.");
    connected.push(("objectEncoding", 0.0.into()));
    let mut capable = server_properties();
    capable.push(("capsEx", 3.0.into()));
    let forwards = |names: &[&'static str]| object(names.iter().map(|name| (*name, 4.0.into())).collect());
    capable.push(("videoFourCcInfoMap", forwards(&["avc1", "hvc1", "av01"])));
    capable.push(("audioFourCcInfoMap", forwards(&["mp4a", "Opus"])));

    let rows: Vec<(&str, &str, Vec<Value>)> = vec![
        (
            "OBS connect",
            "020007636f6e6e656374 003ff0000000000000 03 00036170700200046c697665 \
             00047479706502000a6e6f6e70726976617465 \
             0008666c61736856657202001f464d4c452f332e302028636f6d70617469626c653b20464d53632f312e3029 \
             000673776655726c02001c72746d703a2f2f6c6976652e6578616d706c652e636f6d2f6c697665 \
             0005746355726c02001c72746d703a2f2f6c6976652e6578616d706c652e636f6d2f6c697665 000009",
            vec![
                "connect".into(),
                1.0.into(),
                Value::object([
                    ("app", "live".into()),
                    ("type", "nonprivate".into()),
                    ("flashVer", "FMLE/3.0 (compatible; FMSc/1.0)".into()),
                    ("swfUrl", "rtmp://live.example.com/live".into()),
                    ("tcUrl", "rtmp://live.example.com/live".into()),
                ]),
            ],
        ),
        (
            "releaseStream",
            "02000d72656c6561736553747265616d 004000000000000000 05 0200066b6579313233",
            vec!["releaseStream".into(), 2.0.into(), Value::Null, "key123".into()],
        ),
        (
            "FCPublish",
            "02000946435075626c697368 004008000000000000 05 0200066b6579313233",
            vec!["FCPublish".into(), 3.0.into(), Value::Null, "key123".into()],
        ),
        (
            "createStream",
            "02000c63726561746553747265616d 004010000000000000 05",
            vec!["createStream".into(), 4.0.into(), Value::Null],
        ),
        (
            "publish",
            "0200077075626c697368 004014000000000000 05 0200066b6579313233 0200046c697665",
            vec!["publish".into(), 5.0.into(), Value::Null, "key123".into(), "live".into()],
        ),
        (
            "createStream _result",
            "0200075f726573756c74 004010000000000000 05 003ff0000000000000",
            vec!["_result".into(), 4.0.into(), Value::Null, 1.0.into()],
        ),
        (
            "connect _result",
            "0200075f726573756c74 003ff0000000000000 \
             030006666d7356657202000e464d532f332c352c372c37303039000c6361706162696c697469657300403f00 \
             000000000000046d6f6465003ff0000000000000000009 \
             0300056c6576656c0200067374617475730004636f646502001d4e6574436f6e6e656374696f6e2e436f6e6e \
             6563742e53756363657373000b6465736372697074696f6e020015436f6e6e656374696f6e20737563636565 \
             6465642e000e6f626a656374456e636f64696e67000000000000000000000009",
            vec!["_result".into(), 1.0.into(), object(server_properties()), object(connected)],
        ),
        (
            "onStatus Publish.Start",
            "0200086f6e537461747573 000000000000000000 05 \
             0300056c6576656c0200067374617475730004636f64650200174e657453747265616d2e5075626c6973682e \
             5374617274000b6465736372697074696f6e0200105374617274207075626c697368696e67000009",
            vec!["onStatus".into(), 0.0.into(), Value::Null, object(start)],
        ),
        (
            "onStatus Publish.BadName",
            "0200086f6e537461747573 000000000000000000 05 \
             0300056c6576656c0200056572726f720004636f64650200194e657453747265616d2e5075626c6973682e42 \
             61644e616d65000b6465736372697074696f6e02001953747265616d20616c7265616479207075626c697368 \
             696e67000009",
            vec!["onStatus".into(), 0.0.into(), Value::Null, object(bad_name)],
        ),
        (
            "connect _error Rejected",
            "0200065f6572726f72 003ff0000000000000 05 \
             0300056c6576656c0200056572726f720004636f646502001e4e6574436f6e6e656374696f6e2e436f6e6e65 \
             63742e52656a6563746564000b6465736372697074696f6e020013556e6b6e6f776e206170706c6963617469 \
             6f6e000009",
            vec!["_error".into(), 1.0.into(), Value::Null, object(rejected)],
        ),
        (
            "ReconnectRequest",
            "0200086f6e537461747573 000000000000000000 05 \
             0300056c6576656c0200067374617475730004636f64650200264e6574436f6e6e656374696f6e2e436f6e6e \
             6563742e5265636f6e6e65637452657175657374000b6465736372697074696f6e020012536572766572206d \
             61696e74656e616e63650005746355726c02001972746d703a2f2f622e6578616d706c652e636f6d2f6c6976 \
             65000009",
            vec!["onStatus".into(), 0.0.into(), Value::Null, object(reconnect)],
        ),
        (
            "FCUnpublish",
            "02000b4643556e7075626c697368 004018000000000000 05 0200066b6579313233",
            vec!["FCUnpublish".into(), 6.0.into(), Value::Null, "key123".into()],
        ),
        (
            "deleteStream",
            "02000c64656c65746553747265616d 00401c000000000000 05 003ff0000000000000",
            vec!["deleteStream".into(), 7.0.into(), Value::Null, 1.0.into()],
        ),
        (
            "deleteStream, GStreamer form",
            "02000c64656c65746553747265616d 000000000000000000 05 0200066b6579313233",
            vec!["deleteStream".into(), 0.0.into(), Value::Null, "key123".into()],
        ),
        (
            "play from FFmpeg",
            "020004706c6179 004010000000000000 05 0200066b6579313233 00c09f400000000000",
            vec!["play".into(), 4.0.into(), Value::Null, "key123".into(), (-2000.0).into()],
        ),
        (
            "@setDataFrame onMetaData",
            "02000d40736574446174614672616d65 02000a6f6e4d65746144617461 \
             08000000020005776964746800409e0000000000000006686569676874004090e00000000000000009",
            vec![
                "@setDataFrame".into(),
                "onMetaData".into(),
                Value::ecma_array([("width", 1920.0.into()), ("height", 1080.0.into())]),
            ],
        ),
        (
            "|RtmpSampleAccess",
            "0200117c52746d7053616d706c65416363657373 0101 0101",
            vec!["|RtmpSampleAccess".into(), true.into(), true.into()],
        ),
        (
            "_result start with E-RTMP capabilities",
            "0200075f726573756c74 003ff0000000000000 \
             030006666d7356657202000e464d532f332c352c372c37303039000c6361706162696c697469657300403f00 \
             000000000000046d6f6465003ff000000000000000066361707345780040080000000000000012766964656f \
             466f75724363496e666f4d617003000461766331004010000000000000000468766331004010000000000000 \
             0004617630310040100000000000000000090012617564696f466f75724363496e666f4d61700300046d7034 \
             6100401000000000000000044f707573004010000000000000000009000009",
            vec!["_result".into(), 1.0.into(), object(capable)],
        ),
    ];
    for (name, bytes, values) in rows {
        let bytes = hex(bytes);
        assert_eq!(read_strictly(&bytes), Ok(values.clone()), "{name}");
        assert_eq!(write_all(&values), bytes, "{name}");
    }
}

fn any_number() -> impl Strategy<Value = f64> {
    use prop::num::f64::{INFINITE, NORMAL, SUBNORMAL, ZERO};
    // Not NaN, which equals nothing.
    NORMAL | SUBNORMAL | ZERO | INFINITE
}

fn any_bytes() -> impl Strategy<Value = Bytes> {
    prop::collection::vec(any::<u8>(), 0..24).prop_map(Bytes::from)
}

fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        any_number().prop_map(Value::Number),
        any::<bool>().prop_map(Value::Boolean),
        any_bytes().prop_map(Value::String),
        any_bytes().prop_map(Value::XmlDocument),
        any::<u16>().prop_map(Value::Reference),
        (any_number(), any::<i16>()).prop_map(|(unix_ms, time_zone)| Value::Date { unix_ms, time_zone }),
        (-(1_i32 << 28)..1 << 28).prop_map(|n| Value::Avm(amf3::Value::Integer(n))),
        Just(Value::Null),
        Just(Value::Undefined),
        Just(Value::Unsupported),
    ];
    leaf.prop_recursive(8, 64, 6, |inner| {
        let properties = prop::collection::vec((any_bytes(), inner.clone()), 0..6).boxed();
        prop_oneof![
            properties.clone().prop_map(Value::Object),
            properties.clone().prop_map(Value::EcmaArray),
            (any_bytes(), properties)
                .prop_map(|(class, properties)| Value::TypedObject { class, properties }),
            prop::collection::vec(inner, 0..6).prop_map(Value::StrictArray),
        ]
    })
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(values in prop::collection::vec(any_value(), 0..5)) {
        prop_assert_eq!(read_strictly(&write_all(&values)), Ok(values));
    }

    #[test]
    fn a_body_cut_short_is_an_error_or_fewer_values(value in any_value(), cut in any::<prop::sample::Index>()) {
        let body = write_all([&value]);
        let cut = &body[..cut.index(body.len())];
        prop_assert!(cut.is_empty() || read_strictly(cut).is_err());
    }

    #[test]
    fn no_bytes_panic(body in prop::collection::vec(any::<u8>(), 0..512)) {
        let values: Vec<Value> = Reader::new(&body, &LIMITS).filter_map(Result::ok).collect();
        let _ = format!("{values:?}");
        let _ = read_strictly(&write_all(&values));
    }
}
