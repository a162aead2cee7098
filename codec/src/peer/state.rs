//! Where a [`ServerPeer`](crate::ServerPeer) stands: the phase of the connection, and the role of each message stream.
//!
//! `Handshake → Connecting → Connected → Closed`, and `Closed` from anywhere. Publishing and playing are roles of
//! message streams within `Connected`, since one connection may hold several and change them.

use super::RequestId;
use crate::handshake::ServerHandshake;

/// The phase of a connection, with what belongs to it alone.
#[derive(Debug)]
pub(super) enum Phase {
    /// Boxed, since it is soon over and the connection is not.
    Handshake(Box<ServerHandshake>),
    /// Chunks flow; `connect` has not come.
    Connecting,
    Connected(Client),
    Closed,
}

/// What `connect` said that later commands need.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) app: crate::Secret,
    pub(super) flash_version: Vec<u8>,
    /// It said `FCPublish`, as FMLE did, and may wait for the answer to that.
    pub(super) awaits_fc_publish: bool,
}

/// What a message stream is used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Idle,
    PublishRequested(RequestId),
    Publishing(RequestId),
    PlayRequested { request: RequestId, reset: bool },
    Playing(RequestId),
}

impl Role {
    pub(super) const fn request(self) -> Option<RequestId> {
        match self {
            Self::Idle => None,
            Self::PublishRequested(request)
            | Self::Publishing(request)
            | Self::PlayRequested { request, .. }
            | Self::Playing(request) => Some(request),
        }
    }

    pub(super) const fn is_publisher(self) -> bool {
        matches!(self, Self::PublishRequested(_) | Self::Publishing(_))
    }

    pub(super) const fn is_accepted(self) -> bool {
        matches!(self, Self::Publishing(_) | Self::Playing(_))
    }
}

/// One message stream.
#[derive(Debug)]
pub(super) struct MessageStream {
    pub(super) id: u32,
    pub(super) role: Role,
}

/// All message streams of a connection.
#[derive(Debug)]
pub(super) struct MessageStreams {
    list: Vec<MessageStream>,
    max: usize,
    next_id: u32,
    next_request: u32,
}

impl MessageStreams {
    pub(super) const fn new(max: usize) -> Self {
        Self { list: Vec::new(), max, next_id: 1, next_request: 1 }
    }

    /// A new message stream, unless there are too many.
    pub(super) fn create(&mut self) -> Option<u32> {
        if self.list.len() >= self.max {
            return None;
        }
        while self.list.iter().any(|stream| stream.id == self.next_id) {
            self.next_id = self.next_id.wrapping_add(1);
        }
        let id = self.next_id;
        self.next_id = self.next_id.wrapping_add(1);
        self.adopt(id).map(|_| id)
    }

    /// The message stream of this id. One that was never created comes into being: clients that misread our answer
    /// to `createStream` use 0.
    pub(super) fn adopt(&mut self, id: u32) -> Option<&mut MessageStream> {
        let index = match self.list.iter().position(|stream| stream.id == id) {
            Some(index) => index,
            None if self.list.len() < self.max => {
                self.list.push(MessageStream { id, role: Role::Idle });
                self.list.len() - 1
            }
            None => return None,
        };
        self.list.get_mut(index)
    }

    pub(super) fn next_request(&mut self) -> RequestId {
        let request = RequestId(self.next_request);
        self.next_request = self.next_request.wrapping_add(1);
        request
    }

    pub(super) fn get(&mut self, id: u32) -> Option<&mut MessageStream> {
        self.list.iter_mut().find(|stream| stream.id == id)
    }

    pub(super) fn by_request(&mut self, request: RequestId) -> Option<&mut MessageStream> {
        self.list.iter_mut().find(|stream| stream.role.request() == Some(request))
    }

    /// The one that publishes or asks to.
    pub(super) fn publisher(&mut self) -> Option<&mut MessageStream> {
        self.list.iter_mut().find(|stream| stream.role.is_publisher())
    }

    /// Whether media may come.
    pub(super) fn is_publishing(&self) -> bool {
        self.list.iter().any(|stream| matches!(stream.role, Role::Publishing(_)))
    }

    pub(super) fn any_accepted(&self) -> bool {
        self.list.iter().any(|stream| stream.role.is_accepted())
    }

    pub(super) fn all_idle(&self) -> bool {
        self.list.iter().all(|stream| stream.role == Role::Idle)
    }

    /// The message stream that a careless client must mean: the one of this id, or the only one in use.
    pub(super) fn meant_by(&mut self, id: Option<u32>) -> Option<u32> {
        if let Some(stream) = id.and_then(|id| self.get(id)) {
            return Some(stream.id);
        }
        let mut used = self.list.iter().filter(|stream| stream.role != Role::Idle);
        match (used.next(), used.next()) {
            (Some(only), None) => Some(only.id),
            _ => None,
        }
    }

    pub(super) fn remove(&mut self, id: u32) {
        self.list.retain(|stream| stream.id != id);
    }

    pub(super) fn ids(&self) -> Vec<u32> {
        self.list.iter().map(|stream| stream.id).collect()
    }
}
