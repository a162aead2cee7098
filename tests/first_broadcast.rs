//! From a producer's address to a viewer's screen: what a newcomer does first.

mod support;

use std::process::Command;
use std::time::Instant;

use support::encoders::{self, play, publish};
use support::media::{FPS, H264_AAC, HEIGHT, Sample, WIDTH};
use support::{LONG, Node, Process, eventually};

/// Long enough for two players to join in the middle, short enough to wait for its end.
const SHORT: Sample = Sample { seconds: 12, ..H264_AAC };

#[test]
fn the_lines_printed_at_the_first_start_can_be_pasted_and_work() {
    let node = Node::start();
    let greeting = node.stdout();
    let ffmpeg = pasted(&greeting, "  ffmpeg   ");
    let curl = pasted(&greeting, "See the session:\n  ");

    // The line is for a terminal and a person; here nobody types "q".
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(format!("exec {ffmpeg} </dev/null"));
    let _publisher = Process::spawn("pasted-ffmpeg", node.home(), &shell);

    let session = eventually("the session, by the printed curl line", LONG, || {
        let output = Command::new("sh").arg("-c").arg(&curl).output().expect("sh runs");
        let body: serde_json::Value = serde_json::from_slice(&output.stdout).ok()?;
        body["items"]
            .as_array()?
            .iter()
            .find(|s| s["state"] == "live" && s["video"]["width"].is_u64())
            .cloned()
    });
    assert_eq!(session["producer_id"], "demo");
    assert_eq!((&session["video"]["width"], &session["video"]["height"]), (&1280.into(), &720.into()));
}

/// What stands after `mark`, with lines that end in a backslash joined as a shell would.
fn pasted(greeting: &str, mark: &str) -> String {
    let rest = greeting.split_once(mark).unwrap_or_else(|| panic!("no {mark:?} in {greeting}")).1;
    let mut line = String::new();
    for part in rest.lines() {
        match part.strip_suffix('\\') {
            Some(part) => line.push_str(part),
            None => return line + part,
        }
    }
    line
}

#[test]
fn a_session_shows_codecs_size_and_bitrate() {
    let node = Node::start();
    let address = node.address("alice");
    let file = H264_AAC.file();
    let _publisher = publish(&node, &H264_AAC, &address.url);

    let api = node.api();
    let session = eventually("the session with its facts", LONG, || {
        api.session(&address.room).filter(|s| s["state"] == "live" && s["bitrate_kbps"].as_u64() > Some(0))
    });
    assert_eq!(session["room_id"], address.room.as_str());
    assert_eq!(session["producer_id"], "alice");
    assert_eq!(session["live_key_id"], address.live_key_id.as_str());
    assert_eq!(session["client_addr"], "127.0.0.1");
    assert_eq!(session["confirmed"], true);
    assert_eq!(session["video"]["codec"], "h264");
    assert_eq!(session["video"]["width"], WIDTH);
    assert_eq!(session["video"]["height"], HEIGHT);
    assert_eq!(session["video"]["fps"].as_f64(), Some(FPS as f64));
    assert_eq!(session["audio"]["codec"], "aac");
    assert_eq!(session["audio"]["sample_rate"], 48_000);
    assert_eq!(session["audio"]["channels"], 1);
    for time in ["granted_at", "live_at"] {
        let time = session[time].as_str().expect("a time");
        assert!(time.len() == 24 && time.ends_with('Z'), "RFC 3339 with milliseconds: {time}");
    }
    assert!(session["last_media_age_ms"].as_u64().is_some_and(|age| age < 5_000), "{session}");

    let bytes = std::fs::metadata(file).expect("the sample").len();
    let sent_kbps = bytes * 8 / 1000 / u64::from(H264_AAC.seconds);
    eventually("a bitrate near the file's own", LONG, || {
        let seen = api.session(&address.room)?["bitrate_kbps"].as_u64()?;
        (sent_kbps * 2 / 3..sent_kbps * 3 / 2).contains(&seen).then_some(())
    });
}

#[test]
fn the_session_is_in_the_api_with_its_codecs_and_size_soon_after_its_first_frame() {
    let node = Node::start();
    let address = node.address("alice");
    let publisher = support::Publisher::start(&node, &address).expect("a good key");
    let _steady = publisher.keep_sending(support::client::tags(&H264_AAC.file()));
    let (api, began) = (node.api(), Instant::now());
    eventually("the live session with its codecs and size", LONG, || {
        let session = api.session(&address.room)?;
        (session["state"] == "live"
            && session["video"]["width"] == WIDTH
            && session["audio"]["codec"] == "aac")
            .then_some(())
    });
    println!("complete in the API after {:?}", began.elapsed());
}

#[test]
fn two_players_get_byte_for_byte_what_was_sent() {
    let node = Node::start();
    let address = node.address("alice");
    let mut publisher = publish(&node, &SHORT, &address.url);
    node.api().live_session(&address.room);
    let mut first = play(&node, &SHORT, &address.room, "player-1");
    eventually("the first player's media", LONG, || first.packets().has(30, 30).then_some(()));
    let mut second = play(&node, &SHORT, &address.room, "player-2");
    eventually("both players in the count", LONG, || {
        (node.api().session(&address.room)?["players"] == 2).then_some(())
    });

    assert!(publisher.wait(LONG).success(), "{}", publisher.stderr());
    for player in [&mut first, &mut second] {
        player.process.wait(LONG);
        player.packets().assert_part_of(&SHORT.packets(), true);
    }
    let broadcast = node.api().assert_ended(&address.room, "unpublished");
    assert!(broadcast["started_at"].as_str() < broadcast["ended_at"].as_str(), "{broadcast}");
}

#[test]
fn a_player_may_come_before_the_publisher() {
    let node = Node::start();
    let address = node.address("alice");
    let player = play(&node, &H264_AAC, &address.room, "early-player");
    let _publisher = publish(&node, &H264_AAC, &address.url);
    eventually("media at the player that was there first", LONG, || {
        player.packets().has(60, 60).then_some(())
    });
    player.packets().assert_part_of(&H264_AAC.packets(), false);
}

#[test]
fn a_player_of_another_make_plays_it_too() {
    let node = Node::start();
    let address = node.address("alice");
    let _publisher = publish(&node, &H264_AAC, &address.url);
    node.api().live_session(&address.room);
    let mut mpv = encoders::mpv(&node, &address.room, 60);
    assert!(mpv.wait(LONG).success(), "{}", mpv.stderr());
}

#[test]
fn a_late_player_sees_one_video_and_one_audio_and_nothing_else() {
    let node = Node::start();
    let address = node.address("alice");
    let _publisher = publish(&node, &H264_AAC, &address.url);
    let before = node.api().live_session(&address.room)["bytes_in"].as_u64();
    eventually("the broadcast to be some seconds old", LONG, || {
        (node.api().session(&address.room)?["bytes_in"].as_u64()? > before? + 100_000).then_some(())
    });
    let mut player = play(&node, &H264_AAC, &address.room, "late-player");
    eventually("its media", LONG, || player.packets().has(30, 30).then_some(()));
    player.process.kill();
    // FFmpeg makes a track of its own from metadata that is not at time zero.
    let words = player.process.stderr();
    let input = words.split("Output #0").next().expect("what it found");
    let tracks: Vec<_> = input.lines().filter(|line| line.trim_start().starts_with("Stream #0:")).collect();
    assert_eq!(tracks.len(), 2, "{tracks:#?}");
}
