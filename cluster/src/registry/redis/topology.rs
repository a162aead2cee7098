//! Who takes our writes: asks Sentinels or the members of a Redis Cluster for the primary of every hash tag.
//!
//! All who may know are asked at once, and the answer of the newest epoch counts: who was cut off from a failover still
//! names the old primary. What they say is only a hint; whether a server is a primary it must say itself
//! ([`Opener::open`](super::primary::Opener::open)), and whether it is still the one, its replicas (`WAIT`).

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use futures_util::future::join_all;
use redis::aio::MultiplexedConnection;
use redis::{Cmd, Value};

use super::dial::{Dialer, Protocol, exchange, info_field, text};
use super::error::ConnectError;
use super::settings::{Endpoint, Layout};
use super::slots::Tag;
use super::trouble::{Trouble, checked};

/// The most one Sentinel or Cluster member may take to answer; a frozen one holds the others up for so long.
const ASK_WITHIN: Duration = Duration::from_millis(500);
/// Members of a Cluster asked in one round.
const ASKED_MAX: usize = 16;

/// The primaries as of one look, and whose tags are whose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct View {
    pub(super) primaries: Vec<Endpoint>,
    /// By [`Tag::index`]: an index of `primaries`, if the tag's slot has one.
    pub(super) of: Vec<Option<usize>>,
}

impl View {
    /// One primary for everything.
    fn of_one(primary: Endpoint) -> Self {
        Self { primaries: vec![primary], of: vec![Some(0); Tag::COUNT] }
    }

    /// The primary of the tag.
    pub(super) fn primary(&self, tag: Tag) -> Option<&Endpoint> {
        self.of[tag.index()].and_then(|at| self.primaries.get(at))
    }
}

/// Looks for primaries. Keeps its connections between looks.
pub(super) struct Topology {
    layout: Layout,
    dialer: Dialer,
    connections: HashMap<Endpoint, MultiplexedConnection>,
    /// Members of the Cluster that others told of.
    members: BTreeSet<Endpoint>,
}

impl Topology {
    pub(super) fn new(layout: Layout, dialer: Dialer) -> Self {
        Self { layout, dialer, connections: HashMap::new(), members: BTreeSet::new() }
    }

    /// Asks who the primaries are, for at most about [`ASK_WITHIN`] and the time of a connection.
    pub(super) async fn look(&mut self) -> Result<View, ConnectError> {
        match self.layout.clone() {
            Layout::Single(primary) => Ok(View::of_one(primary)),
            Layout::Sentinel { sentinels, master } => self.ask_sentinels(&sentinels, &master).await,
            Layout::Cluster(seeds) => self.ask_members(&seeds).await,
        }
    }

    async fn ask_sentinels(&mut self, sentinels: &[Endpoint], master: &str) -> Result<View, ConnectError> {
        let commands = || {
            let mut state = redis::cmd("SENTINEL");
            state.arg("MASTER").arg(master);
            let mut address = redis::cmd("SENTINEL");
            address.arg("GET-MASTER-ADDR-BY-NAME").arg(master);
            vec![state, address]
        };
        let answers = self.ask(sentinels, commands).await;
        let mut best: Option<(u64, Endpoint)> = None;
        let mut error = None;
        for (at, answer) in answers {
            match answer.and_then(|values| named_master(&values)) {
                Ok(Some((epoch, primary))) => {
                    if best.as_ref().is_none_or(|(newest, _)| *newest < epoch) {
                        best = Some((epoch, primary));
                    }
                }
                Ok(None) => error = Some(ConnectError::UnknownMaster { name: master.to_owned() }),
                // A Sentinel that answers that it knows no such master says more than one that does not answer.
                Err(trouble) if error.is_none() => error = Some(asked_in_vain(&at, trouble)),
                Err(_) => {}
            }
        }
        match (best, error) {
            (Some((_, primary)), _) => Ok(View::of_one(primary)),
            (None, Some(error)) => Err(error),
            (None, None) => Err(ConnectError::UnknownMaster { name: master.to_owned() }),
        }
    }

    async fn ask_members(&mut self, seeds: &[Endpoint]) -> Result<View, ConnectError> {
        let known: BTreeSet<_> = seeds.iter().chain(&self.members).take(ASKED_MAX).cloned().collect();
        let commands = || {
            let mut state = redis::cmd("CLUSTER");
            state.arg("INFO");
            let mut slots = redis::cmd("CLUSTER");
            slots.arg("SLOTS");
            vec![state, slots]
        };
        let answers = self.ask(&known.into_iter().collect::<Vec<_>>(), commands).await;
        let mut best: Option<(u64, Ranges)> = None;
        let mut error = None;
        for (at, answer) in answers {
            match answer.and_then(|values| ranges(&at, &values)) {
                Ok((epoch, ranges)) => {
                    if best.as_ref().is_none_or(|(newest, _)| *newest < epoch) {
                        best = Some((epoch, ranges));
                    }
                }
                Err(trouble) => error = Some(asked_in_vain(&at, trouble)),
            }
        }
        let Some((_, ranges)) = best else {
            let nobody = || ConnectError::Unreachable { why: "no member of the Cluster is named".to_owned() };
            return Err(error.unwrap_or_else(nobody));
        };
        self.members = ranges.members.iter().cloned().collect();
        Ok(ranges.view())
    }

    /// Asks all at once, each over a connection kept from before or a new one.
    async fn ask(
        &mut self,
        whom: &[Endpoint],
        commands: impl Fn() -> Vec<Cmd>,
    ) -> Vec<(Endpoint, Result<Vec<Value>, Trouble>)> {
        let (commands, dialer, layout) = (&commands, &self.dialer, &self.layout);
        let asked = whom.iter().map(|at| {
            let kept = self.connections.get(at).cloned();
            async move {
                let connection = match kept {
                    Some(connection) => Ok(connection),
                    None => open(dialer, layout, at).await,
                };
                let answered = match &connection {
                    Ok(connection) => exchange(connection, commands(), ASK_WITHIN).await,
                    Err(trouble) => Err(trouble.clone()),
                };
                (at.clone(), connection, answered)
            }
        });
        let asked = join_all(asked).await;
        self.connections.clear();
        let mut answers = Vec::with_capacity(asked.len());
        for (at, connection, answer) in asked {
            if let (Ok(connection), Ok(_)) = (connection, &answer) {
                self.connections.insert(at.clone(), connection);
            }
            answers.push((at, answer));
        }
        answers
    }
}

async fn open(dialer: &Dialer, layout: &Layout, at: &Endpoint) -> Result<MultiplexedConnection, Trouble> {
    if !matches!(layout, Layout::Sentinel { .. }) {
        return dialer.open(at, Protocol::Data, ASK_WITHIN).await;
    }
    // Sentinels have users of their own: most have none, some have those of their servers.
    let opened = match dialer.has_credentials() {
        true => dialer.open(at, Protocol::Sentinel { with_credentials: true }, ASK_WITHIN).await,
        false => Err(Trouble::Credentials(String::new())),
    };
    match opened {
        Err(Trouble::Credentials(_)) => {
            dialer.open(at, Protocol::Sentinel { with_credentials: false }, ASK_WITHIN).await
        }
        opened => opened,
    }
}

/// What is wrong with who was asked. Whoever does not know the question is not what the URL says.
fn asked_in_vain(at: &Endpoint, trouble: Trouble) -> ConnectError {
    match &trouble {
        Trouble::Broken(why) if why.contains("unknown command") || why.contains("support disabled") => {
            ConnectError::Layout {
                at: at.to_string(),
                found: "standalone".to_owned(),
                scheme: "redis://, or the address of its Sentinels",
            }
        }
        _ => ConnectError::of(at, trouble),
    }
}

/// The configuration epoch and address of the master, or nothing when the Sentinel does not know the name.
fn named_master(values: &[Value]) -> Result<Option<(u64, Endpoint)>, Trouble> {
    let [state, address] = values else { return Err(nonsense("SENTINEL")) };
    if let Value::ServerError(error) = state {
        return match error.details() {
            Some(details) if details.contains("No such master") => Ok(None),
            _ => Err(Trouble::from(error)),
        };
    }
    let pairs = state.as_map_iter().ok_or_else(|| nonsense("SENTINEL MASTER"))?;
    let mut epoch = 0;
    for (name, value) in pairs {
        if text(name) == Some("config-epoch") {
            epoch = text(value).and_then(|epoch| epoch.parse().ok()).unwrap_or(0);
        }
    }
    match checked(address.clone())? {
        Value::Nil => Ok(None),
        Value::Array(parts) => {
            let [host, port] = parts.as_slice() else { return Err(nonsense("the master's address")) };
            let (Some(host), Some(port)) = (text(host), text(port).and_then(|port| port.parse().ok())) else {
                return Err(nonsense("the master's address"));
            };
            Ok(Some((epoch, Endpoint { host: host.to_owned(), port })))
        }
        _ => Err(nonsense("the master's address")),
    }
}

/// What a member of a Cluster knows of its slots.
struct Ranges {
    /// First slot, last slot, primary.
    ranges: Vec<(i64, i64, Endpoint)>,
    members: Vec<Endpoint>,
}

impl Ranges {
    fn view(&self) -> View {
        let mut primaries = Vec::new();
        let of = Tag::all().map(|tag| {
            let slot = i64::from(tag.slot());
            let (_, _, primary) =
                self.ranges.iter().find(|(first, last, _)| (first..=last).contains(&&slot))?;
            let known = primaries.iter().position(|known| known == primary);
            Some(known.unwrap_or_else(|| {
                primaries.push(primary.clone());
                primaries.len() - 1
            }))
        });
        let of = of.collect();
        View { primaries, of }
    }
}

/// The current epoch of the member `at`, and its `CLUSTER SLOTS`: first slot, last slot, primary, replicas.
fn ranges(at: &Endpoint, values: &[Value]) -> Result<(u64, Ranges), Trouble> {
    let [info, slots] = values else { return Err(nonsense("CLUSTER")) };
    let info = checked(info.clone())?;
    let epoch = text(&info)
        .and_then(|info| info_field(info, "cluster_current_epoch"))
        .and_then(|epoch| epoch.parse().ok())
        .ok_or_else(|| nonsense("CLUSTER INFO"))?;
    let Value::Array(slots) = checked(slots.clone())? else { return Err(nonsense("CLUSTER SLOTS")) };
    let mut found = Ranges { ranges: Vec::new(), members: Vec::new() };
    for range in &slots {
        let Value::Array(parts) = range else { return Err(nonsense("CLUSTER SLOTS")) };
        let [Value::Int(first), Value::Int(last), nodes @ ..] = parts.as_slice() else {
            return Err(nonsense("CLUSTER SLOTS"));
        };
        let mut nodes = nodes.iter().filter_map(|node| member(at, node));
        if let Some(primary) = nodes.next() {
            found.members.push(primary.clone());
            found.ranges.push((*first, *last, primary));
        }
        found.members.extend(nodes);
    }
    Ok((epoch, found))
}

fn member(asked: &Endpoint, node: &Value) -> Option<Endpoint> {
    let Value::Array(parts) = node else { return None };
    let [host, Value::Int(port), ..] = parts.as_slice() else { return None };
    let host = match text(host) {
        // "The same address you asked at": a server that does not know its own.
        None | Some("") => &asked.host,
        // A member whose address nobody knows yet.
        Some("?") => return None,
        Some(host) => host,
    };
    Some(Endpoint { host: host.to_owned(), port: u16::try_from(*port).ok()? })
}

fn nonsense(what: &str) -> Trouble {
    Trouble::Broken(format!("not understood: {what}"))
}
