//! Roles: what a bearer may do. Each has the rights of the ones before it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What a bearer may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Look at everything but tokens and the audit log.
    Viewer,
    /// And hand out addresses and keys, end and hold rooms: what a platform does all day.
    Issuer,
    /// And drain nodes, refuse keys of other issuers, make and revoke tokens, read the audit log.
    Admin,
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Viewer, Self::Issuer, Self::Admin];

    /// As it stands in tokens, rows and answers.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Issuer => "issuer",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// No role is named so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a role is viewer, issuer or admin")]
pub struct NoRole;

impl FromStr for Role {
    type Err = NoRole;
    fn from_str(name: &str) -> Result<Self, NoRole> {
        Self::ALL.into_iter().find(|role| role.name() == name).ok_or(NoRole)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_role_has_the_rights_of_the_ones_before_it_and_one_name_everywhere() {
        assert!(Role::Viewer < Role::Issuer && Role::Issuer < Role::Admin);
        for role in Role::ALL {
            assert_eq!(role.name().parse(), Ok(role));
            assert_eq!(serde_json::to_value(role).unwrap(), role.name());
        }
        assert_eq!("root".parse::<Role>(), Err(NoRole));
    }
}
