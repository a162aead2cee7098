//! Status: the refusals that clients understand, and the notices that go with success (RTMP 1.0 §7.2.2).

/// A refusal of a publish or play. Only codes that OBS knows as final are here: with any other it would wait for us
/// to close and tell its user less.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Status {
    /// The name is taken, or cannot be used.
    PublishBadName,
    /// The bearer of this key may not publish.
    PublishDenied,
    /// Policy: codec, quota, a hold.
    PublishRejected,
    /// Nothing to play under this name.
    PlayStreamNotFound,
    /// The bearer may not play, or playing failed.
    PlayFailed,
}

impl Status {
    /// The code on the wire.
    pub const fn code(self) -> &'static str {
        match self {
            Self::PublishBadName => "NetStream.Publish.BadName",
            Self::PublishDenied => "NetStream.Publish.Denied",
            Self::PublishRejected => "NetStream.Publish.Rejected",
            Self::PlayStreamNotFound => "NetStream.Play.StreamNotFound",
            Self::PlayFailed => "NetStream.Play.Failed",
        }
    }
}

/// Codes that are not refusals of a request.
pub(super) mod code {
    pub(in crate::peer) const CALL_FAILED: &str = "NetConnection.Call.Failed";
    pub(in crate::peer) const CONNECT_REJECTED: &str = "NetConnection.Connect.Rejected";
    pub(in crate::peer) const CONNECT_SUCCESS: &str = "NetConnection.Connect.Success";
    pub(in crate::peer) const PAUSE_NOTIFY: &str = "NetStream.Pause.Notify";
    pub(in crate::peer) const PLAY_RESET: &str = "NetStream.Play.Reset";
    pub(in crate::peer) const PLAY_START: &str = "NetStream.Play.Start";
    pub(in crate::peer) const PLAY_STOP: &str = "NetStream.Play.Stop";
    pub(in crate::peer) const PLAY_COMPLETE: &str = "NetStream.Play.Complete";
    pub(in crate::peer) const PUBLISH_START: &str = "NetStream.Publish.Start";
    pub(in crate::peer) const UNPAUSE_NOTIFY: &str = "NetStream.Unpause.Notify";
    pub(in crate::peer) const UNPUBLISH_NOTIFY: &str = "NetStream.Play.UnpublishNotify";
    pub(in crate::peer) const UNPUBLISH_SUCCESS: &str = "NetStream.Unpublish.Success";
}
