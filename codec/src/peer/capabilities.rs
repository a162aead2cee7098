//! Capabilities: what the two sides tell each other about Enhanced RTMP in `connect` (E-RTMP v2, "Enhancing
//! NetConnection connect Command").

use crate::amf0::Value;

/// What a client says it can do. Encoders say nothing and use it all the same, so ingest must not ask for it;
/// players that say nothing should get legacy codecs only.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// Codecs by `FourCC`, from `fourCcList` and the two info maps. Key `*` means all.
    pub codecs: Vec<FourCcSupport>,
    /// `capsEx`: a mask of [`Capabilities::RECONNECT`] and the others.
    pub caps_ex: u32,
    /// `videoFunction`: a mask. 1 client seek, 2 HDR, 4 metadata packets, 8 large-scale tiles.
    pub video_function: u32,
}

/// One codec in the list of capabilities.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FourCcSupport {
    /// Four ASCII bytes, or `*`.
    pub four_cc: [u8; 4],
    /// A mask: 1 decode, 2 encode, 4 forward.
    pub mask: u32,
}

const ANY: [u8; 4] = *b"*\0\0\0";
const CAN_DECODE: u32 = 1;
const CAN_FORWARD: u32 = 4;

/// More codecs than these in one list are not read.
const CODECS_MAX: usize = 64;

const VIDEO_CODECS: [&str; 6] = ["avc1", "hvc1", "vvc1", "av01", "vp08", "vp09"];
const AUDIO_CODECS: [&str; 6] = ["mp4a", "Opus", "fLaC", "ac-3", "ec-3", ".mp3"];

impl Capabilities {
    /// `capsEx`: understands a request to reconnect.
    pub const RECONNECT: u32 = 1;
    /// `capsEx`: understands several tracks.
    pub const MULTITRACK: u32 = 2;
    /// `capsEx`: understands `ModEx` packets.
    pub const MOD_EX: u32 = 4;
    /// `capsEx`: understands nanosecond offsets.
    pub const TIMESTAMP_NANO_OFFSET: u32 = 8;

    /// Whether the client takes this codec: it decodes or forwards it.
    pub fn receives(&self, four_cc: [u8; 4]) -> bool {
        let takes = CAN_DECODE | CAN_FORWARD;
        self.codecs.iter().any(|c| (c.four_cc == four_cc || c.four_cc == ANY) && c.mask & takes != 0)
    }

    /// Reads the properties of a `connect` command object. Unknown and odd ones are passed over.
    pub(super) fn from_connect(object: &Value) -> Self {
        let mut codecs = Vec::new();
        for value in object.get("fourCcList").and_then(Value::elements).unwrap_or_default() {
            // The list of E-RTMP v1 names what the client can receive.
            push_codec(&mut codecs, value.as_str_bytes(), Some(CAN_DECODE));
        }
        for map in ["videoFourCcInfoMap", "audioFourCcInfoMap"] {
            for (key, mask) in object.get(map).and_then(Value::properties).unwrap_or_default() {
                push_codec(&mut codecs, Some(key), mask.as_u32());
            }
        }
        let mask = |name| object.get(name).and_then(Value::as_u32).unwrap_or(0);
        Self { codecs, caps_ex: mask("capsEx"), video_function: mask("videoFunction") }
    }

    /// What our side adds to the properties of a `connect` result: we forward every codec, whole tracks and `ModEx`.
    pub(super) fn properties() -> [(&'static str, Value); 3] {
        let caps_ex = Self::MULTITRACK | Self::MOD_EX | Self::TIMESTAMP_NANO_OFFSET;
        let forward = |codecs: [&'static str; 6]| {
            Value::object(codecs.map(|codec| (codec, Value::Number(f64::from(CAN_FORWARD)))))
        };
        [
            ("capsEx", Value::Number(f64::from(caps_ex))),
            ("videoFourCcInfoMap", forward(VIDEO_CODECS)),
            ("audioFourCcInfoMap", forward(AUDIO_CODECS)),
        ]
    }
}

fn push_codec(codecs: &mut Vec<FourCcSupport>, name: Option<&[u8]>, mask: Option<u32>) {
    let four_cc = match name {
        Some(b"*") => Some(ANY),
        Some(name) => <[u8; 4]>::try_from(name).ok(),
        None => None,
    };
    if let (Some(four_cc), Some(mask)) = (four_cc, mask)
        && codecs.len() < CODECS_MAX
    {
        codecs.push(FourCcSupport { four_cc, mask });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_and_maps_of_codecs_are_read_and_odd_entries_passed_over() {
        let list =
            Value::StrictArray(vec![Value::from_static("hvc1"), Value::Null, Value::from_static("long one")]);
        let map = Value::ecma_array([("Opus", Value::from_static("1")), ("ac-3", Value::Number(2.0))]);
        let object = Value::object([
            ("fourCcList", list),
            ("audioFourCcInfoMap", map),
            ("capsEx", Value::Number(3.0)),
            ("videoFourCcInfoMap", Value::Null),
        ]);
        let capabilities = Capabilities::from_connect(&object);
        assert!(capabilities.receives(*b"hvc1") && capabilities.receives(*b"Opus"));
        assert!(!capabilities.receives(*b"ac-3") && !capabilities.receives(*b"av01"));
        assert_eq!(capabilities.caps_ex, Capabilities::RECONNECT | Capabilities::MULTITRACK);
    }

    #[test]
    fn a_star_stands_for_every_codec() {
        let object = Value::object([("fourCcList", Value::StrictArray(vec![Value::from_static("*")]))]);
        assert!(Capabilities::from_connect(&object).receives(*b"vvc1"));
    }
}
