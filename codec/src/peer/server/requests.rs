//! Requests: what the application decides about a publish or play, and how the client hears of it.

use thiserror::Error;

use super::ServerPeer;
use crate::message::command::{self, Level};
use crate::message::user_control::UserControl;
use crate::peer::state::{MessageStream, Phase, Role};
use crate::peer::status::{Status, code};
use crate::peer::{Close, RequestId};

/// Why an answer to a request went nowhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RequestError {
    /// There is no such request: the client withdrew it, or the connection is closed.
    #[error("the request is gone")]
    Gone,
    /// It was accepted already.
    #[error("the request was accepted already")]
    AlreadyAccepted,
}

/// How a play ends from our side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlayEnding {
    /// The publisher left; the client may stay connected and play anew.
    Unpublished,
    /// There is nothing more to come: the client is told to stop, and we close.
    Stopped,
}

impl ServerPeer {
    /// Grants a request. A publisher hears `NetStream.Publish.Start` and may send media; a player hears
    /// `NetStream.Play.Start` and waits for media on its message stream.
    ///
    /// # Errors
    /// [`RequestError`] when there is nothing to grant; nothing is sent then.
    pub fn accept(&mut self, request: RequestId) -> Result<(), RequestError> {
        let stream = self.find(request).ok_or(RequestError::Gone)?;
        let id = stream.id;
        match stream.role {
            Role::PublishRequested(_) => {
                stream.role = Role::Publishing(request);
                self.announce_publish(id);
            }
            Role::PlayRequested { reset, .. } => {
                stream.role = Role::Playing(request);
                self.announce_play(id, reset);
            }
            Role::Idle | Role::Publishing(_) | Role::Playing(_) => return Err(RequestError::AlreadyAccepted),
        }
        self.request_deadline = None;
        self.bytes_before_accept = 0;
        Ok(())
    }

    /// Refuses a request, or ends one that was accepted: the client gets an error status with `description`, which
    /// both OBS (in its log) and `FFmpeg` show to people, and the connection closes.
    ///
    /// # Errors
    /// [`RequestError::Gone`] when there is no such request; nothing is sent then.
    pub fn reject(
        &mut self,
        request: RequestId,
        status: Status,
        description: &str,
    ) -> Result<(), RequestError> {
        let stream = self.find(request).ok_or(RequestError::Gone)?;
        stream.role = Role::Idle;
        let id = stream.id;
        self.refuse(id, status, description);
        Ok(())
    }

    /// Tells a player that its play is over. Does nothing when there is no such play.
    pub fn end_play(&mut self, request: RequestId, ending: PlayEnding) {
        let Some(stream) = self.find(request).filter(|stream| !stream.role.is_publisher()) else {
            return;
        };
        stream.role = Role::Idle;
        let id = stream.id;
        self.link.send_user_control(UserControl::StreamEof(id));
        self.notify(id, code::UNPUBLISH_NOTIFY, "The publisher left");
        if ending == PlayEnding::Stopped {
            self.notify(id, code::PLAY_STOP, "Stopped playing");
            self.close(Close::PlayEnded);
        }
    }

    /// The message stream that a request was made on, while the connection lives.
    fn find(&mut self, request: RequestId) -> Option<&mut MessageStream> {
        match self.phase {
            Phase::Closed => None,
            _ => self.streams.by_request(request),
        }
    }

    /// An error status on a message stream, then the end.
    pub(super) fn refuse(&mut self, message_stream_id: u32, status: Status, description: &str) {
        let body = command::on_status(Level::Error, status.code(), description);
        self.link.send_command(message_stream_id, &body);
        self.close(Close::Rejected);
    }

    /// A status of success on a message stream.
    pub(super) fn notify(&mut self, message_stream_id: u32, code: &'static str, description: &str) {
        let body = command::on_status(Level::Status, code, description);
        self.link.send_command(message_stream_id, &body);
    }

    fn announce_publish(&mut self, id: u32) {
        self.link.send_user_control(UserControl::StreamBegin(id));
        // FMLE waits for the answer to its FCPublish; nobody else minds. Not before now: it looks like success.
        if let Phase::Connected(client) = &self.phase
            && client.awaits_fc_publish
        {
            let info = command::info(Level::Status, code::PUBLISH_START, "Start publishing");
            let body = command::encode("onFCPublish", 0.0, &[crate::amf0::Value::Null, info]);
            self.link.send_command(id, &body);
        }
        self.notify(id, code::PUBLISH_START, "Start publishing");
    }

    fn announce_play(&mut self, id: u32, reset: bool) {
        self.link.send_user_control(UserControl::StreamBegin(id));
        if reset {
            self.notify(id, code::PLAY_RESET, "Playing and resetting");
        }
        self.notify(id, code::PLAY_START, "Start playing");
        self.link.send_data(id, &command::rtmp_sample_access());
    }
}
