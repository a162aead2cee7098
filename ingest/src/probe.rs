//! Probe: looks at a publisher's messages just far enough to know what they are to a reader, and what the API should say
//! of the broadcast. Decodes nothing.

use onair_cluster::events::{AudioFacts, VideoFacts};
use onair_codec::amf0::AmfLimits;
use onair_codec::flv::{self, AudioCodec, AudioFormat, AudioPacket, Metadata, VideoCodec, VideoPacket};
use onair_codec::{Media, MediaKind};

use crate::room::{FrameKind, HeaderKey};

/// Frames counted before a measured rate is believed.
const FPS_SAMPLE_FRAMES: u32 = 30;

/// What one message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    /// To be passed on.
    As(FrameKind),
    /// Empty or malformed: a message nobody can use.
    Useless,
}

/// What was learned of one broadcast so far.
#[derive(Debug)]
pub(crate) struct Probe {
    amf_limits: AmfLimits,
    video: Option<VideoFacts>,
    audio: Option<AudioFacts>,
    metadata: Option<Metadata>,
    rate: RateSample,
    changed: bool,
}

/// Counts pictures over media time, once, where nobody says the rate.
#[derive(Debug, Default)]
struct RateSample {
    first: Option<u32>,
    frames: u32,
}

impl Probe {
    /// Knows nothing yet. Metadata is read within `amf_limits`.
    pub(crate) fn new(amf_limits: AmfLimits) -> Self {
        Self {
            amf_limits,
            video: None,
            audio: None,
            metadata: None,
            rate: RateSample::default(),
            changed: false,
        }
    }

    /// Looks at one message.
    pub(crate) fn see(&mut self, media: &Media) -> Seen {
        match media.kind {
            MediaKind::Video => self.see_video(media),
            MediaKind::Audio => self.see_audio(media),
            MediaKind::Data => self.see_data(media),
        }
    }

    /// The facts, if they changed since the last call.
    pub(crate) fn take_changes(&mut self) -> Option<(Option<VideoFacts>, Option<AudioFacts>)> {
        std::mem::take(&mut self.changed).then(|| (self.video.clone(), self.audio.clone()))
    }

    fn see_video(&mut self, media: &Media) -> Seen {
        let Ok(tag) = flv::parse_video(&media.payload) else { return Seen::Useless };
        let first = tag.tracks().next();
        if tag.is_sequence_header() {
            let Some(track) = first else { return Seen::Useless };
            if track.track_id == 0 || self.video.is_none() {
                self.video_is(track.codec, Some(track.data));
            }
            return Seen::As(FrameKind::Header(HeaderKey::Video(track.track_id)));
        }
        match tag.packet() {
            VideoPacket::CodedFrames => {}
            VideoPacket::Metadata => return Seen::As(FrameKind::Header(HeaderKey::Colour)),
            VideoPacket::Empty => return Seen::Useless,
            _ => return Seen::As(FrameKind::Other),
        }
        if let Some(track) = first {
            // VP8 and VP9 say their size in keyframes only.
            let says_size = tag.is_keyframe() && matches!(track.codec, VideoCodec::Vp8 | VideoCodec::Vp9);
            let size_is_due = says_size && self.video.as_ref().is_none_or(|video| video.width.is_none());
            if self.video.is_none() || (track.track_id == 0 && size_is_due) {
                self.video_is(track.codec, Some(track.data).filter(|_| says_size));
            }
            if track.track_id == 0 {
                self.measure_rate(media.timestamp.0);
            }
        }
        Seen::As(if tag.is_keyframe() { FrameKind::Keyframe } else { FrameKind::Picture })
    }

    fn see_audio(&mut self, media: &Media) -> Seen {
        let Ok(tag) = flv::parse_audio(&media.payload) else { return Seen::Useless };
        let Some(track) = tag.tracks().next() else { return Seen::Useless };
        if tag.is_sequence_header() {
            if track.track_id == 0 || self.audio.is_none() {
                self.audio_is(track.codec, Some(track.data), None);
            }
            return Seen::As(FrameKind::Header(HeaderKey::Audio(track.track_id)));
        }
        match tag.packet() {
            AudioPacket::CodedFrames => {}
            AudioPacket::MultichannelConfig => {
                return Seen::As(FrameKind::Header(HeaderKey::Channels(track.track_id)));
            }
            AudioPacket::Empty => return Seen::Useless,
            _ => return Seen::As(FrameKind::Other),
        }
        if self.audio.is_none() {
            let said = tag.sound_facts();
            let format =
                said.map(|said| AudioFormat { sample_rate: said.sample_rate, channels: said.channels });
            // These have no header: each frame says it all.
            let says_all = matches!(track.codec, AudioCodec::Mp3 | AudioCodec::Ac3 | AudioCodec::Eac3);
            self.audio_is(track.codec, Some(track.data).filter(|_| says_all), format);
        }
        Seen::As(FrameKind::Sound)
    }

    fn see_data(&mut self, media: &Media) -> Seen {
        let Some(metadata) = flv::parse_metadata(&media.payload, &self.amf_limits) else {
            return Seen::As(FrameKind::Other);
        };
        let before = (self.video.clone(), self.audio.clone());
        if let Some(video) = &mut self.video {
            complete_video(video, &metadata);
        }
        if let Some(audio) = &mut self.audio {
            complete_audio(audio, &metadata);
        }
        self.changed |= before != (self.video.clone(), self.audio.clone());
        self.metadata = Some(metadata);
        Seen::As(FrameKind::Header(HeaderKey::Metadata))
    }

    fn video_is(&mut self, codec: VideoCodec, config: Option<&[u8]>) {
        let format = config.and_then(|config| flv::video_format(codec, config));
        let mut facts = VideoFacts {
            codec: codec.to_string(),
            width: format.map(|f| f.width),
            height: format.map(|f| f.height),
            fps: format.and_then(|f| f.fps),
        };
        if let Some(metadata) = &self.metadata {
            complete_video(&mut facts, metadata);
        }
        self.changed |= self.video.as_ref() != Some(&facts);
        self.video = Some(facts);
    }

    fn audio_is(&mut self, codec: AudioCodec, config: Option<&[u8]>, legacy: Option<AudioFormat>) {
        let format = config.and_then(|config| flv::audio_format(codec, config)).or(legacy);
        let mut facts = AudioFacts {
            codec: codec.to_string(),
            sample_rate: format.map(|f| f.sample_rate),
            channels: format.map(|f| f.channels),
        };
        if let Some(metadata) = &self.metadata {
            complete_audio(&mut facts, metadata);
        }
        self.changed |= self.audio.as_ref() != Some(&facts);
        self.audio = Some(facts);
    }

    fn measure_rate(&mut self, timestamp: u32) {
        let Some(video) = &mut self.video else { return };
        if video.fps.is_some() {
            return;
        }
        let first = *self.rate.first.get_or_insert(timestamp);
        self.rate.frames += 1;
        if self.rate.frames > FPS_SAMPLE_FRAMES {
            let elapsed = timestamp.wrapping_sub(first);
            if elapsed > 0 && elapsed < 600_000 {
                let fps = f64::from(self.rate.frames - 1) * 1000.0 / f64::from(elapsed);
                video.fps = Some((fps * 100.0).round() / 100.0);
                self.changed = true;
            }
            self.rate = RateSample::default();
        }
    }
}

/// The sequence header knows better; metadata fills what it does not say.
fn complete_video(video: &mut VideoFacts, metadata: &Metadata) {
    video.width = video.width.or(metadata.width);
    video.height = video.height.or(metadata.height);
    // Not the other way round: encoders that write a rate into the sequence header write that of a field or a tick.
    video.fps = metadata.fps.or(video.fps);
}

fn complete_audio(audio: &mut AudioFacts, metadata: &Metadata) {
    audio.sample_rate = audio.sample_rate.or(metadata.sample_rate);
    audio.channels = audio.channels.or(metadata.channels);
}
