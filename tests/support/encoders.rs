//! The encoders and players people use: ffmpeg from Debian, a current ffmpeg, GStreamer, mpv.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::media::{HASH_COPIED, Packets, Sample};
use super::node::Node;
use super::process::Process;

/// Debian's ffmpeg.
pub fn ffmpeg() -> Command {
    quiet(Command::new("ffmpeg"))
}

/// A current ffmpeg, which speaks Enhanced RTMP; `make setup` puts it into .tools.
pub fn current_ffmpeg() -> Command {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(".tools/bin/ffmpeg-current");
    assert!(path.exists(), "{} is missing; run: make setup", path.display());
    quiet(Command::new(path))
}

fn quiet(mut command: Command) -> Command {
    command.args(["-nostdin", "-hide_banner", "-loglevel", "info", "-nostats"]);
    command
}

/// Publishes a sample in real time, packets as they are.
pub fn publish(node: &Node, sample: &Sample, url: &str) -> Process {
    publish_from(node.home(), sample, url)
}

/// The same with the process's files in `home`.
pub fn publish_from(home: &Path, sample: &Sample, url: &str) -> Process {
    let mut command = if sample.with_current { current_ffmpeg() } else { ffmpeg() };
    command.arg("-re").arg("-i").arg(sample.file()).args(["-c", "copy"]);
    if sample.with_current {
        command.args(["-rtmp_enhanced_codecs", "hvc1,av01,vp09,Opus,fLaC"]);
    }
    command.args(["-f", "flv", url]);
    Process::spawn("publisher", home, &command)
}

/// A player that writes one hash per packet.
pub struct Player {
    pub process: Process,
    hashes: PathBuf,
}

/// Plays `room` with the ffmpeg that made `sample`.
pub fn play(node: &Node, sample: &Sample, room: &str, name: &str) -> Player {
    play_from(node.home(), sample, &node.play_url(room), name)
}

/// The same at any address, with the process's files in `home`.
pub fn play_from(home: &Path, sample: &Sample, url: &str, name: &str) -> Player {
    let hashes = home.join(format!("{name}.hashes"));
    let mut command = if sample.with_current { current_ffmpeg() } else { ffmpeg() };
    // Flush each line, so that the test can watch packets arrive.
    command.args(["-y", "-rtmp_live", "live", "-i"]).arg(url);
    command.args(HASH_COPIED).args(["-flush_packets", "1"]).arg(&hashes);
    Player { process: Process::spawn(name, home, &command), hashes }
}

impl Player {
    /// What has arrived so far.
    pub fn packets(&self) -> Packets {
        Packets::read(&self.hashes)
    }
}

/// Plays `room` with mpv, decoding into nothing, until `frames` pictures have been shown.
pub fn mpv(node: &Node, room: &str, frames: u32) -> Process {
    let mut command = Command::new("mpv");
    command.args(["--no-config", "--no-terminal", "--vo=null", "--ao=null", "--profile=low-latency"]);
    command.arg(format!("--frames={frames}")).arg(node.play_url(room));
    Process::spawn("mpv", node.home(), &command)
}

/// Publishes `frames` pictures and their sound with GStreamer's `rtmp2sink`, in real time.
pub fn gstreamer(node: &Node, url: &str, frames: u32) -> Process {
    let audio_buffers = frames * 48_000 / 30 / 1024;
    let mut command = Command::new("gst-launch-1.0");
    command.args(["-q", "flvmux", "name=mux", "streamable=true", "!", "rtmp2sink"]);
    command.arg(format!("location={url}"));
    command.args(["videotestsrc", "is-live=true", &format!("num-buffers={frames}"), "!"]);
    command.args(["video/x-raw,format=I420,width=320,height=180,framerate=30/1", "!"]);
    command.args(["x264enc", "tune=zerolatency", "speed-preset=ultrafast", "key-int-max=30", "!"]);
    command.args(["h264parse", "!", "queue", "!", "mux."]);
    command.args(["audiotestsrc", "is-live=true", &format!("num-buffers={audio_buffers}"), "!"]);
    command.args([
        "audio/x-raw,rate=48000,channels=1",
        "!",
        "audioconvert",
        "!",
        "voaacenc",
        "!",
        "aacparse",
        "!",
    ]);
    command.args(["queue", "!", "mux."]);
    Process::spawn("gstreamer", node.home(), &command)
}
