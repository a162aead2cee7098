//! What a node does when its registry cannot vouch for it: away altogether, or there but without its replicas.

use serde::{Deserialize, Serialize};

/// What a node does when its registry cannot vouch for it. Both choices trade being on air against being sure of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Policy {
    /// Nobody answers.
    pub on_registry_loss: OnRegistryLoss,
    /// The registry answers, its replicas do not confirm.
    pub on_unreplicated: OnUnreplicated,
}

/// What happens to sessions on air when the registry does not answer. New ones are refused in either case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnRegistryLoss {
    /// They stay on air, for between 5 and 10 minutes. In an outage of the registry nobody else can get their rooms either; a
    /// node that is cut off alone is outlived by whoever is granted the room, since players only go forward in epochs.
    #[default]
    RideOut,
    /// They end when their leases can no longer be believed.
    Strict,
}

/// What happens to new sessions when grants are not confirmed by replicas. Those on air stay on air in either case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnUnreplicated {
    /// They are refused, and may try again.
    #[default]
    Refuse,
    /// They start. A failover may forget them and grant their rooms to others.
    Degrade,
}
