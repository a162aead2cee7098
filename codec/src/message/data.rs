//! Data messages, types 18 and 15: metadata and cue points, brought to one form (RTMP 1.0 §7.1.2).

use bytes::Bytes;

use super::type_id;
use crate::amf3::skip_format_selector;

/// `"@setDataFrame"` as an AMF0 string: publishers put it before metadata that the server shall keep.
pub(crate) const SET_DATA_FRAME: &[u8] = b"\x02\x00\x0d@setDataFrame";

/// `"onMetaData"` as an AMF0 string.
pub(crate) const ON_META_DATA: &[u8] = b"\x02\x00\x0aonMetaData";

/// Brings a data message to plain AMF0 that begins with the name of its handler: the format selector of the AMF3
/// form and a leading `@setDataFrame` are removed, without copying.
///
/// `None` for a body that does not begin with a string: `FFmpeg`'s timecode track sends such, and it is not AMF.
pub fn to_plain(type_id: u8, payload: &Bytes) -> Option<Bytes> {
    let mut body = payload.clone();
    if type_id == type_id::DATA_AMF3 {
        body = payload.slice_ref(skip_format_selector(payload));
    }
    if body.starts_with(SET_DATA_FRAME) {
        body = body.slice(SET_DATA_FRAME.len()..);
    }
    matches!(body.first(), Some(&STRING | &LONG_STRING)).then_some(body)
}

const STRING: u8 = 0x02;
const LONG_STRING: u8 = 0x0c;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_set_data_frame_prefix_is_removed() {
        let sent = Bytes::from([SET_DATA_FRAME, b"\x02\x00\x0aonMetaData\x05"].concat());
        assert_eq!(to_plain(18, &sent).unwrap(), &b"\x02\x00\x0aonMetaData\x05"[..]);
        let amf3 = Bytes::from([b"\x00", &sent[..]].concat());
        assert_eq!(to_plain(15, &amf3).unwrap(), &b"\x02\x00\x0aonMetaData\x05"[..]);
    }

    #[test]
    fn bare_metadata_stays_as_it_is() {
        let sent = Bytes::from_static(b"\x02\x00\x0aonMetaData\x05");
        assert_eq!(to_plain(18, &sent), Some(sent));
    }

    #[test]
    fn bytes_that_are_no_amf_are_nothing() {
        assert_eq!(to_plain(18, &Bytes::from_static(&[0, 1, 2, 3])), None);
        assert_eq!(to_plain(15, &Bytes::from_static(&[0, 0, 1, 2])), None);
        assert_eq!(to_plain(18, &Bytes::new()), None);
        assert_eq!(to_plain(18, &Bytes::from_static(SET_DATA_FRAME)), None);
    }
}
