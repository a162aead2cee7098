//! Any bytes as an AMF3 value: read within the limits, brought over to AMF0, written, and read again to the same.

#![no_main]

use libfuzzer_sys::fuzz_target;
use onair_codec::amf3::{AmfLimits, read_value, skip_format_selector, write};

fuzz_target!(|body: &[u8]| {
    let limits = AmfLimits::default();
    let _ = skip_format_selector(body);
    let Ok((value, rest)) = read_value(body, &limits) else { return };
    assert!(rest.len() < body.len());
    let _ = format!("{value:?}");
    let mut written = Vec::new();
    write(&value, &mut written);
    // What is written by name may take more nodes than what was read by reference, hence the wider limits.
    let wide = AmfLimits { depth: 64, nodes: 1 << 20, properties: 1 << 16 };
    let (again, rest) = read_value(&written, &wide).expect("what we wrote can be read");
    assert!(rest.is_empty());
    let mut twice = Vec::new();
    write(&again, &mut twice);
    assert_eq!(twice, written);
    let mut plain = Vec::new();
    onair_codec::amf0::write(&value.into_amf0(), &mut plain);
});
