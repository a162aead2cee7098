//! Commands: the bodies that clients and servers exchange, byte by byte, and what the server answers to each.

// A test fails by panicking, in its helpers too.
#![allow(clippy::unwrap_used)]

mod support;

use std::time::Duration;

use onair_codec::amf0::{AmfLimits, Value, write_all};
use onair_codec::message::command::{self, Command, Level};
use onair_codec::message::control::Control;
use onair_codec::message::type_id;
use onair_codec::message::user_control::UserControl;
use onair_codec::{
    ClientAction, ClientConfig, ClientPeer, Close, Event, Input, MediaKind, PlayEnding, PlayStart,
    PublishKind, RequestError, ServerConfig, Status,
};
use support::hex::hex;
use support::raw::{Raw, text};

/// A body as a client wrote it: must parse to these values and be written back as it was.
fn check(body: &str, name: &'static str, transaction_id: f64, values: &[Value]) {
    let body = hex(body);
    let command = Command::parse(type_id::COMMAND_AMF0, &body, &AmfLimits::default()).unwrap();
    assert_eq!(command.name.as_bytes(), name.as_bytes());
    assert_eq!(command.transaction_id, transaction_id);
    assert_eq!(command.object, values[0]);
    assert_eq!(command.arguments, values[1..]);
    assert_eq!(command::encode(name, transaction_id, values), body);
}

#[test]
fn the_connect_of_obs_is_read_and_written() {
    let url = Value::from_static("rtmp://live.example.com/live");
    let object = Value::object([
        ("app", Value::from_static("live")),
        ("type", Value::from_static("nonprivate")),
        ("flashVer", Value::from_static("FMLE/3.0 (compatible; FMSc/1.0)")),
        ("swfUrl", url.clone()),
        ("tcUrl", url),
    ]);
    let body = "020007636f6e6e656374 003ff0000000000000 03 00036170700200046c697665 00047479706502000a6e6f6e70726976617465
        0008666c61736856657202001f464d4c452f332e302028636f6d70617469626c653b20464d53632f312e3029
        000673776655726c02001c72746d703a2f2f6c6976652e6578616d706c652e636f6d2f6c697665
        0005746355726c02001c72746d703a2f2f6c6976652e6578616d706c652e636f6d2f6c697665 000009";
    assert_eq!(hex(body).len(), 175);
    check(body, "connect", 1.0, &[object]);
}

#[test]
fn the_other_commands_of_publishers_and_players_are_read_and_written() {
    let key = || Value::from_static("key123");
    check(
        "02000d72656c6561736553747265616d 004000000000000000 05 0200066b6579313233",
        "releaseStream",
        2.0,
        &[Value::Null, key()],
    );
    check(
        "02000946435075626c697368 004008000000000000 05 0200066b6579313233",
        "FCPublish",
        3.0,
        &[Value::Null, key()],
    );
    check("02000c63726561746553747265616d 004010000000000000 05", "createStream", 4.0, &[Value::Null]);
    check(
        "0200077075626c697368 004014000000000000 05 0200066b6579313233 0200046c697665",
        "publish",
        5.0,
        &[Value::Null, key(), Value::from_static("live")],
    );
    check(
        "02000b4643556e7075626c697368 004018000000000000 05 0200066b6579313233",
        "FCUnpublish",
        6.0,
        &[Value::Null, key()],
    );
    check(
        "02000c64656c65746553747265616d 00401c000000000000 05 003ff0000000000000",
        "deleteStream",
        7.0,
        &[Value::Null, Value::Number(1.0)],
    );
    check(
        "02000c64656c65746553747265616d 000000000000000000 05 0200066b6579313233",
        "deleteStream",
        0.0,
        &[Value::Null, key()],
    );
    check(
        "020004706c6179 004010000000000000 05 0200066b6579313233 00c09f400000000000",
        "play",
        4.0,
        &[Value::Null, key(), Value::Number(-2000.0)],
    );
}

#[test]
fn the_answers_of_a_server_are_written_as_they_should() {
    let created = command::result(4.0, Value::Null, Value::Number(1.0));
    assert_eq!(created, hex("0200075f726573756c74 004010000000000000 05 003ff0000000000000"));

    let started = command::on_status(Level::Status, "NetStream.Publish.Start", "Start publishing");
    assert_eq!(
        started,
        hex("0200086f6e537461747573 000000000000000000 05 0300056c6576656c0200067374617475730004636f6465
             0200174e657453747265616d2e5075626c6973682e5374617274000b6465736372697074696f6e02001053746172
             74207075626c697368696e67000009")
    );

    let busy = command::on_status(Level::Error, "NetStream.Publish.BadName", "Stream already publishing");
    assert_eq!(
        busy,
        hex("0200086f6e537461747573 000000000000000000 05 0300056c6576656c0200056572726f720004636f6465
             0200194e657453747265616d2e5075626c6973682e4261644e616d65000b6465736372697074696f6e
             02001953747265616d20616c7265616479207075626c697368696e67000009")
    );

    let rejected = command::error(1.0, "NetConnection.Connect.Rejected", "Unknown application");
    assert_eq!(
        rejected,
        hex("0200065f6572726f72 003ff0000000000000 05 0300056c6576656c0200056572726f720004636f6465
             02001e4e6574436f6e6e656374696f6e2e436f6e6e6563742e52656a6563746564000b6465736372697074696f6e
             020013556e6b6e6f776e206170706c69636174696f6e000009")
    );
}

#[test]
fn a_connect_result_is_written_as_it_should() {
    let properties = Value::object([
        ("fmsVer", Value::from_static("FMS/3,5,7,7009")),
        ("capabilities", Value::Number(31.0)),
        ("mode", Value::Number(1.0)),
    ]);
    let info = Value::object([
        ("level", Value::from_static("status")),
        ("code", Value::from_static("NetConnection.Connect.Success")),
        ("description", Value::from_static("Connection succeeded.")),
        ("objectEncoding", Value::Number(0.0)),
    ]);
    let body = "0200075f726573756c74 003ff0000000000000 030006666d7356657202000e464d532f332c352c372c37303039
        000c6361706162696c697469657300403f00000000000000046d6f6465003ff0000000000000000009 0300056c6576656c020006
        7374617475730004636f646502001d4e6574436f6e6e656374696f6e2e436f6e6e6563742e53756363657373000b646573637269
        7074696f6e020015436f6e6e656374696f6e207375636365656465642e000e6f626a656374456e636f64696e6700000000000000
        0000000009";
    assert_eq!(hex(body).len(), 206);
    assert_eq!(command::result(1.0, properties, info), hex(body));
}

#[test]
fn capabilities_in_a_connect_result_are_written_as_they_should() {
    let forward = |codecs: &[&'static str]| {
        Value::Object(codecs.iter().map(|codec| ((*codec).into(), Value::Number(4.0))).collect())
    };
    let properties = Value::object([
        ("fmsVer", Value::from_static("FMS/3,5,7,7009")),
        ("capabilities", Value::Number(31.0)),
        ("mode", Value::Number(1.0)),
        ("capsEx", Value::Number(3.0)),
        ("videoFourCcInfoMap", forward(&["avc1", "hvc1", "av01"])),
        ("audioFourCcInfoMap", forward(&["mp4a", "Opus"])),
    ]);
    let body = "0200075f726573756c74 003ff0000000000000 030006666d7356657202000e464d532f332c352c372c37303039
        000c6361706162696c697469657300403f00000000000000046d6f6465003ff000000000000000066361707345780040080000
        000000000012766964656f466f75724363496e666f4d617003000461766331004010000000000000000468766331004010000000
        0000000004617630310040100000000000000000090012617564696f466f75724363496e666f4d61700300046d70346100401000
        0000000000 00044f707573004010000000000000000009000009";
    assert_eq!(command::encode("_result", 1.0, &[properties]), hex(body));
}

#[test]
fn a_reconnect_request_is_written_as_it_should() {
    let info = Value::object([
        ("level", Value::from_static("status")),
        ("code", Value::from_static("NetConnection.Connect.ReconnectRequest")),
        ("description", Value::from_static("Server maintenance")),
        ("tcUrl", Value::from_static("rtmp://b.example.com/live")),
    ]);
    let body = "0200086f6e537461747573 000000000000000000 05 0300056c6576656c0200067374617475730004636f6465
        0200264e6574436f6e6e656374696f6e2e436f6e6e6563742e5265636f6e6e65637452657175657374000b6465736372697074
        696f6e020012536572766572206d61696e74656e616e63650005746355726c02001972746d703a2f2f622e6578616d706c652e
        636f6d2f6c697665000009";
    assert_eq!(hex(body).len(), 157);
    assert_eq!(command::encode("onStatus", 0.0, &[Value::Null, info]), hex(body));
}

#[test]
fn data_messages_are_written_as_they_should() {
    let access = [Value::from_static("|RtmpSampleAccess"), Value::Boolean(true), Value::Boolean(true)];
    assert_eq!(write_all(&access), hex("0200117c52746d7053616d706c65416363657373 0101 0101"));
    let metadata = [
        Value::from_static("@setDataFrame"),
        Value::from_static("onMetaData"),
        Value::ecma_array([("width", Value::Number(1920.0)), ("height", Value::Number(1080.0))]),
    ];
    let body =
        "02000d40736574446174614672616d65 02000a6f6e4d65746144617461 08000000020005776964746800409e0000000000
        000006686569676874004090e00000000000000009";
    assert_eq!(write_all(&metadata), hex(body));
}

#[test]
fn connect_is_answered_by_the_classic_script() {
    let mut raw = Raw::new();
    raw.connect("live").unwrap();
    let script: Vec<(u32, u8)> =
        raw.inbox.iter().map(|message| (message.chunk_stream_id, message.type_id)).collect();
    assert_eq!(script, [(2, 5), (2, 6), (2, 1), (2, 4), (3, 20)]);
    let control = |index: usize| Control::parse(raw.inbox[index].type_id, &raw.inbox[index].payload);
    assert_eq!(control(0), Some(Control::WindowAckSize(2_500_000)));
    assert_eq!(control(1), Some(Control::SetPeerBandwidth { window: 2_500_000, limit_type: 2 }));
    assert_eq!(control(2), Some(Control::SetChunkSize(60_000)));
    assert_eq!(UserControl::parse(&raw.inbox[3].payload), Some(UserControl::StreamBegin(0)));
    assert!(raw.inbox.iter().all(|message| message.message_stream_id == 0 && message.timestamp.0 == 0));

    let (_, result) = raw.take_command();
    assert_eq!((result.name.as_bytes(), result.transaction_id), (&b"_result"[..], 1.0));
    assert_eq!(text(&result, "code"), "NetConnection.Connect.Success");
    assert_eq!(result.argument(0).unwrap().get("objectEncoding"), Some(&Value::Number(0.0)));
    let version = result.object.get("fmsVer").and_then(Value::as_str_bytes);
    assert!(version.unwrap().starts_with(b"FMS/"));
    assert!(result.object.get("videoFourCcInfoMap").unwrap().get("hvc1").is_some());
    assert!(matches!(&raw.events[..], [Event::Connected(_)]));
}

#[test]
fn connect_echoes_whatever_transaction_id_it_came_with() {
    let mut raw = Raw::new();
    let strange = f64::from_bits(0x7ff8_0000_0000_0001);
    raw.command(0, "connect", strange, &[Value::object([("app", Value::from_static("a"))])]).unwrap();
    assert_eq!(raw.take_command().1.transaction_id.to_bits(), strange.to_bits());
}

#[test]
fn a_refused_connect_always_tells_code_and_description() {
    // Without them OBS crashes and FFmpeg hangs.
    for object in [Value::Null, Value::object([]), Value::object([("app", Value::Number(1.0))])] {
        let mut raw = Raw::new();
        raw.command(0, "connect", 1.0, &[object]).unwrap();
        let (_, error) = raw.take_command();
        assert_eq!(error.name.as_bytes(), b"_error");
        assert_eq!(text(&error, "code"), "NetConnection.Connect.Rejected");
        assert!(!text(&error, "description").is_empty());
        assert_eq!(raw.close, Some(Close::Rejected));
        assert!(raw.events.is_empty());
    }
}

#[test]
fn a_second_connect_is_refused_and_changes_nothing() {
    let mut raw = Raw::publishing();
    raw.connect("other").unwrap();
    assert_eq!(raw.take_command().1.name.as_bytes(), b"_error");
    raw.media(8, 0, &[0xaf, 1, 2]).unwrap();
    assert!(matches!(&raw.events[..], [Event::Media(_)]));
}

#[test]
fn commands_before_connect_are_ignored() {
    let mut raw = Raw::new();
    raw.command(0, "createStream", 2.0, &[Value::Null]).unwrap();
    raw.command(1, "publish", 3.0, &[Value::Null, Value::from_static("key")]).unwrap();
    assert!(raw.inbox.is_empty() && raw.events.is_empty());
    assert_eq!(raw.server.counters().malformed, 2);
}

#[test]
fn cameras_that_misspell_tc_url_are_understood() {
    let mut raw = Raw::new();
    let object =
        Value::object([("app", Value::from_static("a")), ("tcurl", Value::from_static("'rtmp://h/a'"))]);
    raw.command(0, "connect", 1.0, &[object]).unwrap();
    let Event::Connected(info) = &raw.events[0] else { panic!() };
    assert_eq!(info.tc_url.expose(), b"rtmp://h/a");
}

#[test]
fn what_clients_wait_for_is_answered() {
    let key = || Value::from_static("key");
    let rows: [(&'static str, &[Value], Value); 6] = [
        ("releaseStream", &[Value::Null, key()], Value::Undefined),
        ("FCPublish", &[Value::Null, key()], Value::Undefined),
        ("_checkbw", &[Value::Null], Value::Null),
        ("getStreamLength", &[Value::Null, key()], Value::Number(0.0)),
        ("FCSubscribe", &[Value::Null, key()], Value::Undefined),
        ("createStream", &[Value::Null], Value::Number(2.0)),
    ];
    let mut raw = Raw::connected();
    for (name, values, answer) in rows {
        raw.command(0, name, 9.0, values).unwrap();
        let (id, result) = raw.take_command();
        assert_eq!((id, result.name.as_bytes(), result.transaction_id), (0, &b"_result"[..], 9.0), "{name}");
        assert_eq!((&result.object, result.argument(0)), (&Value::Null, Some(&answer)), "{name}");
    }
}

#[test]
fn an_unknown_command_fails_with_a_description() {
    let mut raw = Raw::connected();
    raw.command(0, "makeCoffee", 9.0, &[Value::Null]).unwrap();
    let (_, error) = raw.take_command();
    assert_eq!((error.name.as_bytes(), error.transaction_id), (&b"_error"[..], 9.0));
    assert_eq!(text(&error, "code"), "NetConnection.Call.Failed");
    assert!(!text(&error, "description").is_empty());
}

#[test]
fn a_transaction_id_of_zero_is_not_answered() {
    let mut raw = Raw::connected();
    for name in ["releaseStream", "FCPublish", "_checkbw", "makeCoffee"] {
        raw.command(0, name, 0.0, &[Value::Null]).unwrap();
    }
    assert!(raw.inbox.is_empty());
}

#[test]
fn answers_to_calls_we_never_made_are_not_answered() {
    let mut raw = Raw::connected();
    for name in ["_result", "_error", "onStatus"] {
        raw.command(0, name, 9.0, &[Value::Null]).unwrap();
    }
    assert!(raw.inbox.is_empty());
}

#[test]
fn a_granted_publish_begins_on_its_message_stream() {
    let mut raw = Raw::connected();
    let request = raw.publish(1, "key?a=b");
    let Some(Event::PublishRequested(asked)) = raw.events.last() else { panic!() };
    assert_eq!((asked.message_stream_id, asked.kind), (1, PublishKind::Live));
    assert_eq!((&asked.address.room[..], asked.address.name.expose()), (&b"live"[..], &b"key"[..]));
    assert!(raw.inbox.is_empty(), "nothing that looks like success comes before the grant");
    raw.server.accept(request).unwrap();
    raw.drain();
    assert_eq!(UserControl::parse(&raw.inbox[0].payload), Some(UserControl::StreamBegin(1)));
    assert_eq!(raw.take_statuses(), [(1, "NetStream.Publish.Start".to_owned())]);
    assert_eq!(raw.server.accept(request), Err(RequestError::AlreadyAccepted));
}

#[test]
fn a_client_that_said_fc_publish_is_told_so_with_the_grant() {
    let mut raw = Raw::connected();
    raw.command(0, "FCPublish", 3.0, &[Value::Null, Value::from_static("key")]).unwrap();
    let request = raw.publish(1, "key");
    raw.inbox.clear();
    raw.server.accept(request).unwrap();
    raw.drain();
    let commands = raw.take_commands();
    let names: Vec<&[u8]> = commands.iter().map(|(_, command)| command.name.as_bytes()).collect();
    assert_eq!(names, [&b"onFCPublish"[..], b"onStatus"]);
}

#[test]
fn a_refused_publish_hears_why_on_its_message_stream() {
    for (status, code) in [
        (Status::PublishBadName, "NetStream.Publish.BadName"),
        (Status::PublishDenied, "NetStream.Publish.Denied"),
        (Status::PublishRejected, "NetStream.Publish.Rejected"),
    ] {
        let mut raw = Raw::connected();
        let request = raw.publish(1, "key");
        raw.server.reject(request, status, "Because").unwrap();
        raw.drain();
        let (id, answer) = raw.take_command();
        assert_eq!((id, answer.transaction_id, &answer.object), (1, 0.0, &Value::Null));
        assert_eq!(text(&answer, "level"), "error");
        assert_eq!(text(&answer, "code"), code);
        assert_eq!(text(&answer, "description"), "Because");
        assert_eq!(raw.close, Some(Close::Rejected));
        assert_eq!(raw.server.reject(request, status, "Again"), Err(RequestError::Gone));
    }
}

#[test]
fn an_accepted_publish_can_still_be_ended_with_a_reason() {
    let mut raw = Raw::connected();
    let request = raw.publish(1, "key");
    raw.server.accept(request).unwrap();
    raw.server.reject(request, Status::PublishDenied, "Revoked").unwrap();
    raw.drain();
    let codes = raw.take_statuses();
    assert_eq!(codes[1], (1, "NetStream.Publish.Denied".to_owned()));
    assert_eq!(raw.close, Some(Close::Rejected));
}

#[test]
fn media_flows_only_between_grant_and_goodbye() {
    let mut raw = Raw::connected();
    raw.media(9, 0, &[0x17, 0, 0]).unwrap();
    let request = raw.publish(1, "key");
    raw.media(9, 0, &[0x17, 0, 0]).unwrap();
    raw.server.accept(request).unwrap();
    raw.drain();
    raw.media(9, 7, &[0x17, 1, 2]).unwrap();
    let Some(Event::Media(media)) = raw.events.last() else { panic!() };
    assert_eq!((media.kind, media.timestamp.0, &media.payload[..]), (MediaKind::Video, 7, &[0x17, 1, 2][..]));
    raw.command(0, "FCUnpublish", 6.0, &[Value::Null, Value::from_static("key")]).unwrap();
    raw.media(9, 8, &[0x27, 1, 2]).unwrap();
    assert_eq!(raw.events.last(), Some(&Event::Unpublished(request)));
    assert_eq!(raw.server.counters().media_dropped, 3);
}

#[test]
fn media_on_another_message_stream_belongs_to_the_one_publish() {
    let mut raw = Raw::publishing();
    raw.message(4, type_id::AUDIO, 0, 0, &[0xaf, 1, 2]).unwrap();
    assert!(matches!(&raw.events[..], [Event::Media(_)]));
}

#[test]
fn metadata_is_handed_over_in_one_form() {
    let plain = hex("02000a6f6e4d65746144617461 05");
    let prefixed = [hex("02000d40736574446174614672616d65"), plain.clone()].concat();
    let amf3 = [vec![0], prefixed.clone()].concat();
    let mut raw = Raw::publishing();
    for (type_id, body) in [(18, &plain), (18, &prefixed), (15, &amf3), (15, &prefixed)] {
        raw.media(type_id, 0, body).unwrap();
        let Some(Event::Media(media)) = raw.events.pop() else { panic!() };
        assert_eq!((media.kind, &media.payload[..]), (MediaKind::Data, &plain[..]));
    }
    raw.media(18, 0, &[0, 1, 2, 3]).unwrap();
    assert!(raw.events.is_empty());
    assert_eq!(raw.server.counters().malformed, 1);
}

#[test]
fn an_aggregate_of_a_publisher_is_taken_apart() {
    let body =
        hex("08 000003 0003e8 00 000000 af0101 0000000e 09 000005 0003f2 00 000000 2701000000 00000010");
    let mut raw = Raw::publishing();
    raw.media(22, 5000, &body).unwrap();
    let [Event::Media(audio), Event::Media(video)] = &raw.events[..] else { panic!("{:?}", raw.events) };
    assert_eq!((audio.kind, audio.timestamp.0), (MediaKind::Audio, 5000));
    assert_eq!((video.kind, video.timestamp.0), (MediaKind::Video, 5010));
}

#[test]
fn every_way_to_say_goodbye_is_understood_and_reported_once() {
    let key = Value::from_static("key");
    let ways: [(u32, &'static str, Vec<Value>); 6] = [
        (0, "FCUnpublish", vec![Value::Null, key.clone()]),
        (0, "deleteStream", vec![Value::Null, Value::Number(1.0)]),
        // GStreamer names the stream name; others name an id that never was.
        (0, "deleteStream", vec![Value::Null, key]),
        (0, "deleteStream", vec![Value::Null, Value::Number(77.0)]),
        (1, "closeStream", vec![Value::Null]),
        (0, "close", vec![Value::Null]),
    ];
    for (id, name, values) in ways {
        let mut raw = Raw::connected();
        let request = raw.publish(1, "key");
        raw.server.accept(request).unwrap();
        raw.drain();
        raw.events.clear();
        raw.command(id, name, 0.0, &values).unwrap();
        assert_eq!(raw.events, [Event::Unpublished(request)], "{name}");
        raw.command(0, "deleteStream", 0.0, &[Value::Null, Value::Number(1.0)]).unwrap();
        assert_eq!(raw.events.len(), 1, "{name}");
        assert_eq!(raw.close, (name == "close").then_some(Close::PeerClosed));
    }
}

#[test]
fn a_publish_that_is_withdrawn_before_the_grant_is_reported_and_cannot_be_granted() {
    let mut raw = Raw::connected();
    let request = raw.publish(1, "key");
    raw.command(0, "deleteStream", 0.0, &[Value::Null, Value::Number(1.0)]).unwrap();
    assert_eq!(raw.events.last(), Some(&Event::Unpublished(request)));
    assert_eq!(raw.server.accept(request), Err(RequestError::Gone));
}

#[test]
fn publishing_again_on_the_same_connection_is_legal() {
    let mut raw = Raw::connected();
    let mut requests = Vec::new();
    for round in 0..20 {
        let id = if round == 0 {
            1
        } else {
            raw.command(0, "createStream", 4.0, &[Value::Null]).unwrap();
            let (_, result) = raw.take_command();
            result.argument(0).and_then(Value::as_u32).unwrap()
        };
        let request = raw.publish(id, "key");
        raw.server.accept(request).unwrap();
        raw.drain();
        raw.media(8, 0, &[0xaf, 1, 2]).unwrap();
        assert!(matches!(raw.events.last(), Some(Event::Media(_))));
        raw.command(0, "FCUnpublish", 0.0, &[Value::Null, Value::from_static("key")]).unwrap();
        raw.command(0, "deleteStream", 0.0, &[Value::Null, Value::Number(f64::from(id))]).unwrap();
        raw.inbox.clear();
        requests.push(request);
        raw.wait(Duration::from_secs(1)).unwrap();
    }
    requests.dedup();
    assert_eq!(requests.len(), 20);
}

#[test]
fn after_a_goodbye_the_next_request_must_come_in_time() {
    let mut raw = Raw::publishing();
    raw.wait(Duration::from_secs(3600)).unwrap();
    assert_eq!(raw.close, None);
    raw.command(0, "FCUnpublish", 0.0, &[Value::Null]).unwrap();
    raw.wait(Duration::from_millis(14_999)).unwrap();
    assert_eq!(raw.close, None);
    raw.wait(Duration::from_millis(1)).unwrap();
    assert_eq!(raw.close, Some(Close::RequestTimeout));
}

#[test]
fn a_second_publish_on_one_connection_is_a_bad_name_and_disturbs_nothing() {
    let mut raw = Raw::publishing();
    for id in [1, 2] {
        let values = [Value::Null, Value::from_static("other"), Value::from_static("live")];
        raw.command(id, "publish", 6.0, &values).unwrap();
        assert_eq!(raw.take_statuses(), [(id, "NetStream.Publish.BadName".to_owned())]);
    }
    assert!(raw.events.is_empty());
    raw.media(8, 0, &[0xaf, 1, 2]).unwrap();
    assert!(matches!(&raw.events[..], [Event::Media(_)]));
    assert_eq!(raw.close, None);
}

#[test]
fn a_client_that_lost_its_message_stream_id_may_publish_on_0() {
    let mut raw = Raw::connected();
    let request = raw.publish(0, "key");
    raw.server.accept(request).unwrap();
    raw.drain();
    assert_eq!(raw.take_statuses(), [(0, "NetStream.Publish.Start".to_owned())]);
}

#[test]
fn names_of_every_legal_length_come_through_whole() {
    for length in [0, 974, 975, 1017, 4000, 8192] {
        let name = "k".repeat(length);
        let mut raw = Raw::connected();
        raw.publish(1, &name);
        let Some(Event::PublishRequested(asked)) = raw.events.last() else { panic!() };
        assert_eq!(asked.address.name.expose(), name.as_bytes());
    }
}

#[test]
fn publish_types_are_told_apart_and_live_is_the_default() {
    let kinds = [("record", PublishKind::Record), ("append", PublishKind::Append), ("x", PublishKind::Live)];
    for (name, kind) in kinds {
        let mut raw = Raw::connected();
        let values = [Value::Null, Value::from_static("key"), Value::from_static(name)];
        raw.command(1, "publish", 0.0, &values).unwrap();
        assert!(matches!(raw.events.last(), Some(Event::PublishRequested(asked)) if asked.kind == kind));
    }
    let mut raw = Raw::connected();
    raw.command(1, "publish", 0.0, &[Value::Null, Value::from_static("key")]).unwrap();
    assert!(
        matches!(raw.events.last(), Some(Event::PublishRequested(asked)) if asked.kind == PublishKind::Live)
    );
}

#[test]
fn a_granted_play_gets_the_classic_script() {
    let mut raw = Raw::connected();
    let request = raw.play(1, "live");
    raw.server.accept(request).unwrap();
    raw.drain();
    assert_eq!(UserControl::parse(&raw.inbox[0].payload), Some(UserControl::StreamBegin(1)));
    let access = raw.inbox.last().unwrap();
    assert_eq!((access.type_id, access.message_stream_id), (type_id::DATA_AMF0, 1));
    assert!(access.payload.starts_with(b"\x02\x00\x11|RtmpSampleAccess"));
    let script = ["NetStream.Play.Reset", "NetStream.Play.Start"].map(|code| (1, code.to_owned()));
    assert_eq!(raw.take_statuses(), script);
}

#[test]
fn a_play_that_shall_not_reset_is_not_told_of_one() {
    let mut raw = Raw::connected();
    let no = Value::Boolean(false);
    let values = [Value::Null, Value::from_static("live"), Value::Number(5.0), Value::Number(-1.0), no];
    raw.command(1, "play", 4.0, &values).unwrap();
    let Some(Event::PlayRequested(asked)) = raw.events.last() else { panic!() };
    assert_eq!((asked.start, asked.reset), (PlayStart::Seconds(5.0), false));
    let request = asked.request;
    raw.server.accept(request).unwrap();
    raw.drain();
    assert_eq!(raw.take_statuses(), [(1, "NetStream.Play.Start".to_owned())]);
}

#[test]
fn a_new_play_on_the_same_message_stream_replaces_the_old_one() {
    let mut raw = Raw::connected();
    let first = raw.play(1, "a");
    raw.server.accept(first).unwrap();
    let second = raw.play(1, "b");
    assert_ne!(first, second);
    assert!(raw.events.contains(&Event::PlayStopped(first)));
}

#[test]
fn pause_and_the_choice_of_media_are_reported() {
    let mut raw = Raw::connected();
    let request = raw.play(1, "live");
    raw.server.accept(request).unwrap();
    raw.drain();
    raw.inbox.clear();
    raw.events.clear();
    raw.command(1, "pause", 0.0, &[Value::Null, Value::Boolean(true), Value::Number(0.0)]).unwrap();
    raw.command(1, "pause", 0.0, &[Value::Null, Value::Boolean(false), Value::Number(0.0)]).unwrap();
    raw.command(1, "receiveAudio", 0.0, &[Value::Null, Value::Boolean(false)]).unwrap();
    raw.command(1, "receiveVideo", 0.0, &[Value::Null, Value::Boolean(true)]).unwrap();
    assert_eq!(
        raw.events,
        [
            Event::Paused { request, paused: true },
            Event::Paused { request, paused: false },
            Event::ReceiveAudio { request, wanted: false },
            Event::ReceiveVideo { request, wanted: true },
        ]
    );
    let codes = ["NetStream.Pause.Notify", "NetStream.Unpause.Notify"].map(|code| (1, code.to_owned()));
    assert_eq!(raw.take_statuses(), codes);
}

#[test]
fn the_end_of_a_play_is_told() {
    let mut raw = Raw::connected();
    let request = raw.play(1, "live");
    raw.server.accept(request).unwrap();
    raw.drain();
    raw.inbox.clear();
    raw.server.end_play(request, PlayEnding::Unpublished);
    raw.drain();
    assert_eq!(UserControl::parse(&raw.inbox[0].payload), Some(UserControl::StreamEof(1)));
    assert_eq!(raw.take_statuses(), [(1, "NetStream.Play.UnpublishNotify".to_owned())]);
    assert_eq!(raw.close, None);

    let request = raw.play(1, "live");
    raw.server.accept(request).unwrap();
    raw.drain();
    raw.inbox.clear();
    raw.server.end_play(request, PlayEnding::Stopped);
    raw.drain();
    let codes = ["NetStream.Play.UnpublishNotify", "NetStream.Play.Stop"].map(|code| (1, code.to_owned()));
    assert_eq!(raw.take_statuses(), codes);
    assert_eq!(raw.close, Some(Close::PlayEnded));
}

#[test]
fn commands_in_amf3_form_are_understood() {
    let mut raw = Raw::connected();
    let body = hex("00 02 000c 63726561746553747265616d 00 4010000000000000 05");
    raw.message(3, type_id::COMMAND_AMF3, 0, 0, &body).unwrap();
    assert_eq!(raw.take_command().1.argument(0), Some(&Value::Number(2.0)));
}

#[test]
fn an_object_encoding_of_3_is_noted_and_answered_with_0() {
    let mut raw = Raw::new();
    let object = Value::object([("app", Value::from_static("a")), ("objectEncoding", Value::Number(3.0))]);
    raw.command(0, "connect", 1.0, &[object]).unwrap();
    assert!(matches!(&raw.events[..], [Event::Connected(info)] if info.object_encoding == 3));
    let (_, result) = raw.take_command();
    assert_eq!(result.argument(0).unwrap().get("objectEncoding"), Some(&Value::Number(0.0)));
}

#[test]
fn a_camera_that_pings_on_a_fresh_chunk_stream_is_answered() {
    let mut raw = Raw::new();
    raw.send_bytes(&hex("42 000000 000006 04 000600000d0f")).unwrap();
    assert_eq!(UserControl::parse(&raw.inbox[0].payload), Some(UserControl::PingResponse(0x0d0f)));
}

#[test]
fn acknowledgements_carry_the_total_at_half_the_window() {
    let mut raw = Raw::publishing();
    raw.control(Control::WindowAckSize(20_000)).unwrap();
    raw.inbox.clear();
    let mut totals = Vec::new();
    for i in 0..40 {
        raw.media(9, i * 40, &[0x27; 1000]).unwrap();
        let received = raw.server.bytes_received();
        for message in raw.inbox.drain(..) {
            let Some(Control::Acknowledgement(total)) = Control::parse(message.type_id, &message.payload)
            else {
                panic!()
            };
            assert_eq!(u64::from(total), received);
            totals.push(total);
        }
    }
    assert_eq!(totals.len(), 4, "{totals:?}");
    assert!(totals.windows(2).all(|pair| (10_000..11_100).contains(&(pair[1] - pair[0]))));
}

#[test]
fn the_configured_chunk_size_is_announced() {
    let mut raw = Raw::with(ServerConfig { chunk_size: 4096, ..ServerConfig::default() });
    raw.connect("live").unwrap();
    let size = Control::parse(raw.inbox[2].type_id, &raw.inbox[2].payload);
    assert_eq!(size, Some(Control::SetChunkSize(4096)));
}

/// Neither as text nor as a list of numbers.
fn assert_hidden(shown: &str) {
    for form in ["hidden", "104, 105, 100, 100, 101, 110", "68, 69, 64, 64, 65, 6e"] {
        assert!(!shown.contains(form), "{shown}");
    }
}

#[test]
fn no_secret_is_ever_shown() {
    const SECRET: &str = "hidden-live-key";
    let mut raw = Raw::new();
    let object = Value::object([
        ("app", Value::string(format!("live/{SECRET}?t={SECRET}"))),
        ("tcUrl", Value::string(format!("rtmp://h/live/{SECRET}"))),
    ]);
    raw.command(0, "connect", 1.0, &[object]).unwrap();
    raw.command(0, "releaseStream", 2.0, &[Value::Null, Value::string(SECRET)]).unwrap();
    raw.command(0, "createStream", 3.0, &[Value::Null]).unwrap();
    raw.publish(1, &format!("{SECRET}?sig={SECRET}"));
    assert_hidden(&format!("{:?} {:#?} {:?} {:?}", raw.events, raw.events, raw.server, raw.inbox));
}

#[test]
fn a_command_in_assembly_shows_nothing_of_its_content() {
    let body = command::encode("publish", 5.0, &[Value::Null, Value::string("hidden".repeat(60))]);
    let mut raw = Raw::connected();
    let mut wire = hex("08 000000 00017f 14 01000000");
    wire.extend_from_slice(&body[..128]);
    wire.extend(hex("c8"));
    wire.extend_from_slice(&body[128..200]);
    raw.send_bytes(&wire).unwrap();
    assert!(raw.server.reserved_bytes() > 0);
    assert_hidden(&format!("{:?} {:x?}", raw.server, raw.server));
}

#[test]
fn a_client_shows_no_part_of_its_address() {
    const SECRET: &str = "hidden-live-key";
    let action = ClientAction::Publish { name: SECRET.into() };
    let config = ClientConfig::new(SECRET, format!("rtmp://h/{SECRET}"), action);
    let mut client = ClientPeer::new(config.clone(), support::SEED, Raw::new().now);
    let mut shown = format!("{config:?} {client:?}");
    let answers = support::capture("ffmpeg-9.0-h264-aac.server");
    for piece in answers.chunks(100) {
        let input = Input::Bytes(piece);
        client.handle(Raw::new().now, input).unwrap();
        shown += &format!("{input:?} {client:?} {client:x?}");
        while let Some(output) = client.poll_output() {
            shown += &format!("{output:?}");
        }
    }
    assert!(shown.contains("Started"));
    assert_hidden(&shown);
}
