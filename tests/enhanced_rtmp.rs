//! Codecs beyond FLV's own, by Enhanced RTMP, and encoders beyond ffmpeg.

mod support;

use support::encoders::{self, play, publish};
use support::media::{AV1_OPUS, HEVC_AAC, Sample, VP9_FLAC};
use support::{LONG, Node, eventually};

/// Publishes `sample` with a current ffmpeg, plays it with another, compares, and gives the session seen meanwhile.
fn through_the_node(sample: &Sample) -> serde_json::Value {
    let node = Node::start();
    let address = node.address("alice");
    let mut publisher = publish(&node, sample, &address.url);
    node.api().live_session(&address.room);
    let mut player = play(&node, sample, &address.room, "player");
    eventually("media at the player", LONG, || player.packets().has(30, 30).then_some(()));
    let session = node.api().live_session(&address.room);

    assert!(publisher.wait(LONG).success(), "{}", publisher.stderr());
    player.process.wait(LONG);
    player.packets().assert_part_of(&sample.packets(), true);
    session
}

#[test]
fn hevc_with_aac_passes_byte_for_byte() {
    let session = through_the_node(&HEVC_AAC);
    assert_eq!((&session["video"]["codec"], &session["audio"]["codec"]), (&"h265".into(), &"aac".into()));
    assert_eq!((&session["video"]["width"], &session["video"]["height"]), (&320.into(), &180.into()));
}

#[test]
fn av1_with_opus_passes_byte_for_byte() {
    let session = through_the_node(&AV1_OPUS);
    assert_eq!((&session["video"]["codec"], &session["audio"]["codec"]), (&"av1".into(), &"opus".into()));
    assert_eq!((&session["video"]["width"], &session["video"]["height"]), (&320.into(), &180.into()));
    assert_eq!(session["audio"]["sample_rate"], 48_000);
}

#[test]
fn vp9_with_flac_passes_byte_for_byte() {
    let session = through_the_node(&VP9_FLAC);
    assert_eq!((&session["video"]["codec"], &session["audio"]["codec"]), (&"vp9".into(), &"flac".into()));
}

#[test]
fn gstreamer_publishes_and_a_player_gets_it() {
    let node = Node::start();
    let address = node.address("alice");
    let mut publisher = encoders::gstreamer(&node, &address.url, 300);
    let session = eventually("the session with its codecs", LONG, || {
        node.api().session(&address.room).filter(|s| !s["video"].is_null() && !s["audio"].is_null())
    });
    let player = play(&node, &support::media::H264_AAC, &address.room, "player");
    eventually("GStreamer's media at an ffmpeg player", LONG, || player.packets().has(30, 10).then_some(()));
    assert_eq!((&session["video"]["codec"], &session["audio"]["codec"]), (&"h264".into(), &"aac".into()));
    assert!(publisher.wait(LONG).success(), "{}", publisher.stderr());
    node.api().assert_ended(&address.room, "unpublished");
}
