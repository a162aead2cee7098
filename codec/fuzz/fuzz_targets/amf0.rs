//! Any bytes as an AMF0 body: read within the limits, written, and read again to the same.

#![no_main]

use libfuzzer_sys::fuzz_target;
use onair_codec::amf0::{AmfLimits, Reader, Value, read_all, write_all};

fuzz_target!(|body: &[u8]| {
    let limits = AmfLimits::default();
    let values: Vec<Value> = Reader::new(body, &limits).map_while(Result::ok).collect();
    let strict = Reader::strict(body, &limits).collect::<Result<Vec<_>, _>>();
    if let Ok(lenient) = read_all(body, &limits) {
        assert_eq!(lenient.len(), values.len());
        if let Ok(strict) = strict {
            assert_eq!(write_all(&strict), write_all(&lenient));
        }
    }
    // By bytes, since NaN does not equal itself.
    let written = write_all(&values);
    let again: Vec<Value> =
        Reader::strict(&written, &limits).collect::<Result<_, _>>().expect("what we wrote can be read");
    assert_eq!(write_all(&again), written);
    for value in values {
        let _ = format!("{value:?}");
        let _ = (value.as_f64(), value.as_u32(), value.as_bool(), value.as_str_bytes(), value.get("app"));
        let plain = value.into_plain();
        let _ = (plain.properties(), plain.elements(), plain.is_nothing());
    }
});
