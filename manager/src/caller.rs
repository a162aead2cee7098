//! Who asks: what a request's bearer token stands for.

use onair_cluster::{LiveKeyId, RoomId};

use crate::role::Role;

/// The bearer of a request. Carries no secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Caller {
    /// Whoever has the token of the data directory.
    AdminToken,
    /// Whoever has this token.
    ApiToken { token_id: String, name: String, role: Role },
    /// Somebody whom a platform sent, with a token of its own.
    Platform { issuer: String, subject: String, role: Role },
    /// Whoever may publish into this room.
    LiveKey { live_key_id: LiveKeyId, room_id: RoomId },
}

impl Caller {
    /// What it may do. A live key has no role: it may end its own room, and nothing else.
    pub(crate) fn role(&self) -> Option<Role> {
        match self {
            Self::AdminToken => Some(Role::Admin),
            Self::ApiToken { role, .. } | Self::Platform { role, .. } => Some(*role),
            Self::LiveKey { .. } => None,
        }
    }

    /// One out of a closed set.
    pub(crate) fn kind(&self) -> CallerKind {
        match self {
            Self::AdminToken => CallerKind::AdminToken,
            Self::ApiToken { .. } => CallerKind::ApiToken,
            Self::Platform { .. } => CallerKind::Platform,
            Self::LiveKey { .. } => CallerKind::LiveKey,
        }
    }

    /// Which of its kind: a token's id, a platform and whom it sent, a live key's id. Empty for the admin token.
    pub(crate) fn id(&self) -> String {
        match self {
            Self::AdminToken => String::new(),
            Self::ApiToken { token_id, .. } => token_id.clone(),
            Self::Platform { issuer, subject, .. } => format!("{issuer}/{subject}"),
            Self::LiveKey { live_key_id, .. } => live_key_id.to_string(),
        }
    }

    /// What people call it, if it has a name beside its id.
    pub(crate) fn name(&self) -> Option<&str> {
        match self {
            Self::ApiToken { name, .. } => Some(name),
            _ => None,
        }
    }

    /// Whose bucket of requests it takes from.
    pub(crate) fn bucket(&self) -> (CallerKind, String) {
        (self.kind(), self.id())
    }
}

/// What kind of token was borne.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CallerKind {
    /// The admin token of the data directory.
    AdminToken,
    /// A token made by `POST /v1/tokens`.
    ApiToken,
    /// A token of a platform's own issuer.
    Platform,
    /// A live key.
    LiveKey,
}

impl CallerKind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::AdminToken, Self::ApiToken, Self::Platform, Self::LiveKey];

    /// As it stands in rows and answers.
    pub const fn name(self) -> &'static str {
        match self {
            Self::AdminToken => "admin_token",
            Self::ApiToken => "api_token",
            Self::Platform => "platform",
            Self::LiveKey => "live_key",
        }
    }

    /// The other way round.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}
