//! Commands, types 20 and 17: `name, transaction id, command object, arguments…` (RTMP 1.0 §7.1.1, §7.2).

use bytes::Bytes;

use super::type_id;
use crate::amf0::{AmfLimits, Reader, Value, write, write_all};
use crate::amf3::skip_format_selector;

/// One command, as far as its body could be read. `Debug` shows no string, since names carry live keys.
#[derive(Debug, Clone, PartialEq)]
pub struct Command {
    /// Case-sensitive on the wire. At most as long as the body it came in.
    pub name: CommandName,
    /// To be echoed in the reply with the same bits. 0 asks for no reply.
    pub transaction_id: f64,
    /// The command object; null for most commands.
    pub object: Value,
    /// What follows the command object.
    pub arguments: Vec<Value>,
}

/// A command's name. `Debug` shows it only when it is short plain text, as every known name is.
#[derive(Clone, PartialEq, Eq)]
pub struct CommandName(Bytes);

impl CommandName {
    /// The bytes of the name.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl std::fmt::Debug for CommandName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        const KNOWN_NAME_BYTES_MAX: usize = 40;
        match std::str::from_utf8(&self.0) {
            Ok(name) if name.len() <= KNOWN_NAME_BYTES_MAX => write!(f, "{name:?}"),
            _ => write!(f, "CommandName({} bytes)", self.0.len()),
        }
    }
}

impl Command {
    /// Reads the body of a command message. `None` when it does not begin with a string.
    ///
    /// What follows the name is read as far as it can be: missing values are 0 and null, and a value that is no
    /// valid AMF ends the list, since nothing behind it can be found.
    pub fn parse(type_id: u8, body: &[u8], limits: &AmfLimits) -> Option<Self> {
        let body = if type_id == type_id::COMMAND_AMF3 { skip_format_selector(body) } else { body };
        let mut values = Reader::new(body, limits).map_while(Result::ok).map(Value::into_plain);
        let Some(Value::String(name)) = values.next() else { return None };
        let transaction_id = values.next().as_ref().and_then(Value::as_f64).unwrap_or(0.0);
        let object = values.next().unwrap_or(Value::Null);
        Some(Self { name: CommandName(name), transaction_id, object, arguments: values.collect() })
    }

    /// The argument at this place behind the command object.
    pub fn argument(&self, index: usize) -> Option<&Value> {
        self.arguments.get(index)
    }

    /// Whether the sender waits for a reply. NaN is not 0, so it gets one.
    pub fn wants_reply(&self) -> bool {
        self.transaction_id != 0.0
    }
}

/// The body of a command: name, transaction id, then the command object and arguments.
pub fn encode(name: &'static str, transaction_id: f64, values: &[Value]) -> Vec<u8> {
    let mut body = Vec::new();
    write(&Value::from_static(name), &mut body);
    write(&Value::Number(transaction_id), &mut body);
    for value in values {
        write(value, &mut body);
    }
    body
}

/// The body of a reply that succeeded.
pub fn result(transaction_id: f64, object: Value, answer: Value) -> Vec<u8> {
    encode("_result", transaction_id, &[object, answer])
}

/// The body of a reply that failed. It always carries an info object with a description: old OBS crashes and
/// `FFmpeg` waits for ever without one.
pub fn error(transaction_id: f64, code: &'static str, description: &str) -> Vec<u8> {
    encode("_error", transaction_id, &[Value::Null, info(Level::Error, code, description)])
}

/// The body of an `onStatus`, which is never replied to.
pub fn on_status(level: Level, code: &'static str, description: &str) -> Vec<u8> {
    encode("onStatus", 0.0, &[Value::Null, info(level, code, description)])
}

/// The level of an info object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// All is well.
    Status,
    /// The request failed.
    Error,
}

/// An info object: level, code, description.
pub fn info(level: Level, code: &'static str, description: &str) -> Value {
    let level = match level {
        Level::Status => "status",
        Level::Error => "error",
    };
    Value::object([
        ("level", Value::from_static(level)),
        ("code", Value::from_static(code)),
        ("description", Value::string(description)),
    ])
}

/// The body of a data message that grants players access to raw samples. Only Flash asks for it.
pub(crate) fn rtmp_sample_access() -> Vec<u8> {
    let values = [Value::from_static("|RtmpSampleAccess"), Value::Boolean(true), Value::Boolean(true)];
    write_all(&values)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(body: &[u8]) -> Option<Command> {
        Command::parse(type_id::COMMAND_AMF0, body, &AmfLimits::default())
    }

    #[test]
    fn a_body_that_does_not_begin_with_a_string_is_no_command() {
        for body in [&[][..], &[5], &[0, 0x3f, 0xf0, 0, 0, 0, 0, 0, 0]] {
            assert_eq!(parse(body), None);
        }
    }

    #[test]
    fn a_broken_argument_ends_the_list_and_keeps_what_came_before() {
        let mut body = encode("publish", 5.0, &[Value::Null, Value::from_static("key")]);
        body.push(0xff);
        let command = parse(&body).unwrap();
        assert_eq!(command.name.as_bytes(), b"publish");
        assert_eq!(command.argument(0).and_then(Value::as_str_bytes), Some(&b"key"[..]));
        assert_eq!(command.argument(1), None);
    }

    #[test]
    fn a_nan_transaction_id_is_kept_bit_by_bit() {
        let strange = f64::from_bits(0x7ff8_0000_dead_beef);
        let command = parse(&encode("foo", strange, &[])).unwrap();
        assert_eq!(command.transaction_id.to_bits(), strange.to_bits());
        assert!(command.wants_reply());
    }

    #[test]
    fn the_amf3_form_reads_like_the_amf0_form() {
        let body = encode("createStream", 4.0, &[Value::Null]);
        let wrapped = [&[0][..], &body].concat();
        let limits = AmfLimits::default();
        assert_eq!(Command::parse(type_id::COMMAND_AMF3, &wrapped, &limits), parse(&body));
        assert_eq!(Command::parse(type_id::COMMAND_AMF3, &body, &limits), parse(&body));
    }
}
