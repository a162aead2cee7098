//! One process of a cluster: the ingest half, the Manager half, or both, around one truth about who is on air.

use std::future::pending;
use std::io::{IsTerminal, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::select_all;
use onair_cluster::NodeId;
use onair_cluster::live_key::{LiveKeyVerifier, PublicKey};
use onair_cluster::nodes::NodeLoad;
use onair_cluster::play_token::PlayVerifier;
use onair_ingest::IngestNode;
use onair_manager::{ManagerHandle, Probes, ProbesParts, RegistryLife, SEAT, manager_name};
use prometheus_client::registry::Registry as Metrics;

use crate::config::Config;
use crate::data_dir::DataDir;
use crate::demo;
use crate::error::{Part, RunError};
use crate::greeting::{self, Greeting};
use crate::ingest;
use crate::issuers::Issuers;
use crate::life::{Life, Stage};
use crate::manager;
use crate::membership::{self, Call, Membership, Name};
use crate::public_keys::{self, PublicKeysError};
use crate::run::Why;
use crate::secrets::{Secrets, SecretsError, SharedFiles};
use crate::truth::Truth;

/// What the Manager gets to store the last ends, even when the sockets took all the time there was.
const MANAGER_PATIENCE_MIN: Duration = Duration::from_secs(1);

/// Which halves run in this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Both.
    Whole,
    /// Encoders and players; the Manager is elsewhere.
    Ingest,
    /// Live DB and API; encoders and players are elsewhere.
    Manager,
}

/// Everything that runs.
pub(crate) struct Node {
    id: NodeId,
    truth: Truth,
    life: Life,
    /// `host[:port]` in addresses.
    media_domain: String,
    http: SocketAddr,
    dir: Option<DataDir>,
    ingest: Option<IngestNode>,
    manager: Option<ManagerHandle>,
    /// Where there is no Manager to answer them.
    probes: Option<Probes>,
    /// The names that this process holds.
    memberships: Vec<Membership>,
}

impl Node {
    /// Starts what `role` says. Nothing is served before all of it is there.
    pub(crate) async fn build(config: &Config, role: Role) -> Result<Self, RunError> {
        let id = node_id(config)?;
        let life = Life::default();
        let mut metrics = Metrics::default();
        let dir = match role {
            Role::Ingest => None,
            Role::Whole | Role::Manager => {
                Some(DataDir::open(&config.node.data_dir).map_err(SecretsError::from)?)
            }
        };
        let shared = SharedFiles {
            signing_key: config.live_keys.signing_key_file.as_deref(),
            admin_token: config.http.admin_token_file.as_deref(),
        };
        let secrets = dir.as_ref().map(|dir| Secrets::open(dir, &config.cluster.name, shared)).transpose()?;
        let issuers = Issuers::open(&config.issuer, &mut metrics)?;
        let judges = judges(config, secrets.as_ref(), &issuers)?;
        let truth = Truth::open(config, role, &mut metrics).await?;
        let prepared = match role {
            Role::Manager => None,
            Role::Whole | Role::Ingest => Some(ingest::Prepared::new(config, &id, &truth, &mut metrics)?),
        };
        let listen = prepared.as_ref().map_or(config.rtmp.listen, ingest::Prepared::address);
        let media_domain = config.node.media_domain.clone();
        let media_domain = media_domain.unwrap_or_else(|| greeting::media_domain(listen));
        let manager =
            secrets.map(|secrets| manager::Prepared::new(secrets, issuers.all().to_vec(), &mut metrics));
        let prometheus = Arc::new(metrics);

        let mut node = Self {
            id: id.clone(),
            truth,
            life: life.clone(),
            media_domain,
            http: config.http.listen,
            dir,
            ingest: None,
            manager: None,
            probes: None,
            memberships: Vec::new(),
        };
        match manager {
            Some(manager) => node.start_manager(config, manager, prometheus).await?,
            None => node.start_probes(config, prometheus)?,
        }
        if let Some(prepared) = prepared {
            let card = prepared.card(config);
            node.join(Name::Node(id.clone()), card, prepared.meter()).await?;
            if node.truth.life() == RegistryLife::Shared {
                membership::free(&*node.truth.registry, &id).await;
            }
            issuers.subscribe().await;
            // Last, so that the first encoder to come finds its key known.
            node.ingest = Some(prepared.start(config, judges).await?);
        }
        life.enter(Stage::Serving);
        Ok(node)
    }

    /// The Manager, after taking its name: with PostgreSQL its own, else the one there is.
    async fn start_manager(
        &mut self,
        config: &Config,
        manager: manager::Prepared,
        prometheus: Arc<Metrics>,
    ) -> Result<(), RunError> {
        if self.truth.life() == RegistryLife::Shared {
            manager::warn_of_what_managers_do_not_share(config, &self.media_domain);
            let name = match config.postgres.url {
                Some(_) => Name::Manager(self.id.clone()),
                None => Name::Seat,
            };
            let node = match &name {
                Name::Manager(id) => manager_name(id),
                _ => NodeId::parse(SEAT).ok(),
            };
            let node = node.ok_or_else(|| RunError::NodeId("it is too long for a Manager".to_owned()))?;
            let card = membership::card(node, None, None);
            self.join(name, card, Arc::new(NodeLoad::default)).await?;
            manager::refuse_other_kind(config, &*self.truth.nodes).await?;
        }
        let Some(dir) = &self.dir else { return Ok(()) };
        let place = manager::Place {
            config,
            dir,
            id: &self.id,
            media_domain: &self.media_domain,
            truth: &self.truth,
            life: self.life.clone(),
            prometheus,
        };
        let manager = manager.start(place).await?;
        self.http = manager.http_addr();
        self.manager = Some(manager);
        Ok(())
    }

    fn start_probes(&mut self, config: &Config, prometheus: Arc<Metrics>) -> Result<(), RunError> {
        let life = self.life.clone();
        let parts = ProbesParts {
            cluster_name: config.cluster.name.clone(),
            node_id: self.id.clone(),
            prometheus,
            node_status: Arc::new(move || life.status()),
        };
        let probes = Probes::start(config.http.listen, parts)?;
        self.http = probes.http_addr();
        self.probes = Some(probes);
        Ok(())
    }

    async fn join(
        &mut self,
        name: Name,
        card: onair_cluster::nodes::NodeCard,
        meter: membership::Meter,
    ) -> Result<(), RunError> {
        let nodes = self.truth.nodes.clone();
        let membership = Membership::join(name, card, nodes, self.life.clone(), meter).await?;
        self.memberships.push(membership);
        Ok(())
    }

    /// Tells whoever started us where we are. A reader of stdout that has gone away is no failure.
    pub(crate) async fn greet(&self, config: &Config) {
        let rtmp = self.ingest.as_ref().map(IngestNode::address);
        let http = self.http;
        let shown = rtmp.map(tracing::field::display);
        tracing::info!(node = %self.id, rtmp = shown, %http, version = env!("CARGO_PKG_VERSION"), "onair is up");
        let mut stdout = std::io::stdout();
        let greeting = Greeting {
            node: self.id.as_str(),
            cluster: &config.cluster.name,
            rtmp,
            http,
            media_domain: &self.media_domain,
            data_dir: self.dir.as_ref().map(DataDir::path),
            admin_token_file: config.http.admin_token_file.as_deref(),
            demo: self.demo(config, stdout.is_terminal()).await,
        };
        let _ = write!(stdout, "{greeting}").and_then(|()| stdout.flush());
    }

    /// The demo producer's address, if one is to be shown: by a whole node only, which needs nobody else to go on air.
    async fn demo(&self, config: &Config, is_terminal: bool) -> Option<greeting::Demo> {
        let (dir, manager) = (self.dir.as_ref()?, self.manager.as_ref()?);
        let producer = config.node.demo().ok()??;
        // Until an address was made nobody can know one. A service's stdout is often collected like a log, so later starts
        // show the secret to a terminal only.
        if self.ingest.is_none() || (demo::was_made(dir) && !is_terminal) {
            return None;
        }
        demo::address(&producer, &self.media_domain, dir, &*self.truth.registry, manager).await
    }

    /// Resolves when a part ends though nobody told it to, or somebody wants this process to stop.
    pub(crate) async fn happening(&mut self) -> Why {
        let Self { ingest, manager, memberships, .. } = self;
        let ingest = async {
            match ingest {
                Some(ingest) => ingest.died().await,
                None => pending().await,
            }
        };
        let manager = async {
            match manager {
                Some(manager) => manager.died().await,
                None => pending().await,
            }
        };
        let calls = memberships.iter().map(|membership| Box::pin(membership.called()));
        tokio::select! {
            () = ingest => Why::Died(Part::Ingest),
            () = manager => Why::Died(Part::Manager),
            // Each process has one name at least.
            ((name, call), ..) = select_all(calls) => match call {
                Call::Displaced => Why::Displaced(name),
                Call::Drain | Call::None => Why::Told,
            },
        }
    }

    /// In this order: no new connections, leases given back before sockets close, then the last events stored, and the names
    /// given back when nothing is held under them any more.
    pub(crate) async fn drain(self, patience: Duration, why: &Why) {
        let began = Instant::now();
        self.life.enter(Stage::Draining);
        // Dead, it has nothing left to drain: its connections went with it.
        let unrecorded = match self.ingest {
            Some(ingest) if !matches!(why, Why::Died(Part::Ingest)) => ingest.drain(patience).await,
            _ => 0,
        };
        let left = patience.saturating_sub(began.elapsed()).max(MANAGER_PATIENCE_MIN);
        let unread = match self.manager {
            Some(manager) => manager.stop(left).await,
            None => 0,
        };
        for membership in self.memberships {
            membership.leave().await;
        }
        if let Some(probes) = self.probes {
            probes.stop().await;
        }
        if unrecorded + unread == 0 {
            tracing::info!(took = ?began.elapsed(), "drained");
        } else {
            tracing::warn!(
                unrecorded,
                unread,
                "drained, but not all ends are stored; the next start finds them"
            );
        }
    }
}

/// The configured id, or the host's name with whatever an id cannot have replaced.
fn node_id(config: &Config) -> Result<NodeId, RunError> {
    if let Some(id) = &config.node.id {
        return Ok(id.clone());
    }
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let id: String = host
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-') { c } else { '-' })
        .take(128)
        .collect();
    NodeId::parse(&id).map_err(|e| RunError::NodeId(e.to_string()))
}

/// Checks tokens with our own key, or with the one in a directory that a Manager uses; with those of the configuration; and
/// live keys with those of other issuers, too.
fn judges(config: &Config, secrets: Option<&Secrets>, issuers: &Issuers) -> Result<ingest::Judges, RunError> {
    let own: Option<PublicKey> = match secrets {
        Some(secrets) => Some(secrets.signer.public_key()),
        None => Secrets::public_key_in(&config.node.data_dir, &config.cluster.name)?,
    };
    let keys = public_keys::of(&config.live_keys, own)?;
    if keys.is_empty() && issuers.all().is_empty() {
        return Err(PublicKeysError::None.into());
    }
    let name = &config.cluster.name;
    let verifier = LiveKeyVerifier::new(name, keys.clone()).with_issuers(issuers.all().iter().cloned());
    Ok(ingest::Judges { verifier, play_verifier: PlayVerifier::new(name, keys) })
}
