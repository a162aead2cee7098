//! Sample media, made once by ffmpeg, and the comparison of what was sent with what arrived: packet by packet, by hash.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use super::encoders::{current_ffmpeg, ffmpeg};

/// One packet of a file or of what a player wrote: its kind is told by the list it stands in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    pub size: u64,
    pub hash: String,
}

/// The packets of the first video and the first audio track, in order.
#[derive(Debug, Default)]
pub struct Packets {
    pub video: Vec<Packet>,
    pub audio: Vec<Packet>,
}

/// What a sample is made of: a name, the ffmpeg that can make it, and encoder arguments.
pub struct Sample {
    pub name: &'static str,
    pub with_current: bool,
    pub codecs: &'static [&'static str],
    pub seconds: u32,
}

/// The sizes every sample has.
pub const WIDTH: u64 = 320;
pub const HEIGHT: u64 = 180;
pub const FPS: u64 = 30;
/// A keyframe each second.
const GOP: &str = "30";

pub const H264_AAC: Sample = Sample {
    name: "h264-aac",
    with_current: false,
    codecs: &[
        "-c:v",
        "libx264",
        "-preset",
        "ultrafast",
        "-bf",
        "0",
        "-b:v",
        "300k",
        "-sc_threshold",
        "0",
        "-c:a",
        "aac",
        "-b:a",
        "64k",
    ],
    seconds: 60,
};
pub const HEVC_AAC: Sample = Sample {
    name: "hevc-aac",
    with_current: true,
    codecs: &["-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "log-level=error", "-c:a", "aac"],
    seconds: 10,
};
pub const AV1_OPUS: Sample = Sample {
    name: "av1-opus",
    with_current: true,
    codecs: &["-c:v", "libsvtav1", "-preset", "12", "-svtav1-params", "pred-struct=1", "-c:a", "libopus"],
    seconds: 10,
};
pub const VP9_FLAC: Sample = Sample {
    name: "vp9-flac",
    with_current: true,
    codecs: &["-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8", "-c:a", "flac"],
    seconds: 10,
};

impl Sample {
    /// The FLV file, made if it is not there yet. Several tests may ask at once: the last rename wins, and all are equal.
    pub fn file(&self) -> PathBuf {
        let dir = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("samples");
        let file = dir.join(format!("{}-{}s.flv", self.name, self.seconds));
        if file.exists() {
            return file;
        }
        fs::create_dir_all(&dir).expect("a directory for samples");
        let unfinished = tempfile::Builder::new().suffix(".flv").tempfile_in(&dir).expect("a file");
        let mut command = if self.with_current { current_ffmpeg() } else { ffmpeg() };
        command.args(["-y", "-f", "lavfi", "-i"]).arg(format!("testsrc2=size={WIDTH}x{HEIGHT}:rate={FPS}"));
        command.args(["-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000"]);
        command.arg("-t").arg(self.seconds.to_string()).args(["-pix_fmt", "yuv420p", "-g", GOP, "-ac", "1"]);
        command.args(self.codecs).args(["-strict", "experimental", "-f", "flv"]).arg(unfinished.path());
        let output = command.stdin(Stdio::null()).output().expect("ffmpeg runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        unfinished.persist(&file).expect("a rename");
        file
    }

    /// Its packets, as the ffmpeg that made it reads them.
    pub fn packets(&self) -> Packets {
        let hashes = tempfile::NamedTempFile::new().expect("a file");
        let mut command = if self.with_current { current_ffmpeg() } else { ffmpeg() };
        command.arg("-y").arg("-i").arg(self.file()).args(HASH_COPIED).arg(hashes.path());
        let output = command.stdin(Stdio::null()).output().expect("ffmpeg runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Packets::read(hashes.path())
    }
}

/// Arguments that write a line with size and hash for each packet, undecoded.
pub const HASH_COPIED: [&str; 10] =
    ["-map", "0:v:0", "-map", "0:a:0", "-c", "copy", "-f", "framehash", "-hash", "sha256"];

impl Packets {
    /// Reads what ffmpeg's `framehash` wrote: `stream, dts, pts, duration, size, hash`; stream 0 is video.
    pub fn read(path: &Path) -> Self {
        let mut packets = Self::default();
        for line in fs::read_to_string(path).unwrap_or_default().lines().filter(|l| !l.starts_with('#')) {
            let fields: Vec<_> = line.split(',').map(str::trim).collect();
            let [stream, _, _, _, size, hash, ..] = fields[..] else { continue };
            let packet = Packet { size: size.parse().expect("a size"), hash: hash.to_owned() };
            if stream == "0" { packets.video.push(packet) } else { packets.audio.push(packet) }
        }
        packets
    }

    /// Whether there are at least so many of each.
    pub fn has(&self, video: usize, audio: usize) -> bool {
        self.video.len() >= video && self.audio.len() >= audio
    }

    /// Checks that `self` is an unbroken run of what `sent` holds, video and audio alike, that it starts at a keyframe
    /// (every `GOP`th picture), and that it goes to the end if `to_the_end`.
    pub fn assert_part_of(&self, sent: &Self, to_the_end: bool) {
        let gop: usize = GOP.parse().expect("a number");
        let first = position("video", &self.video, &sent.video);
        assert_eq!(first % gop, 0, "the first picture that a player gets is a keyframe");
        let first_audio = position("audio", &self.audio, &sent.audio);
        if to_the_end {
            assert_eq!(first + self.video.len(), sent.video.len(), "the last picture arrived");
            assert_eq!(first_audio + self.audio.len(), sent.audio.len(), "the last sound arrived");
        }
    }
}

/// Where `part` lies in `whole`; fails the test if it is not there without a gap.
fn position(kind: &str, part: &[Packet], whole: &[Packet]) -> usize {
    assert!(!part.is_empty(), "no {kind} arrived");
    let starts = whole.iter().enumerate().filter(|(_, packet)| **packet == part[0]).map(|(at, _)| at);
    let mut best = 0;
    for start in starts {
        let same = part.iter().zip(&whole[start..]).take_while(|(a, b)| a == b).count();
        if same == part.len() {
            return start;
        }
        best = best.max(same);
    }
    panic!("{kind}: {} packets arrived, of which the first {best} are what was sent", part.len());
}
