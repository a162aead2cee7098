//! onair-codec

mod amf;
pub mod amf0;
pub mod amf3;
