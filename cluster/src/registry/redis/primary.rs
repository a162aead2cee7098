//! One primary, as long as it is the same process: three connections, so that what waits on one holds up nothing on another.
//!
//! A connection that broke or kept us waiting is never used again, since a late answer would be taken for another's; the
//! [steward](super::steward) replaces the whole primary, while calls on its other connections go on. No call here waits for
//! a connection: without one it fails at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use redis::aio::MultiplexedConnection;
use redis::{Cmd, PushInfo, PushKind, Value};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::call::Contact;
use super::contact::Touch;
use super::dial::{Dialer, Protocol, exchange, info_field, text};
use super::error::ConnectError;
use super::reports::Reports;
use super::settings::{Endpoint, Layout};
use super::trouble::{Trouble, checked};
use crate::time::UnixMs;

/// Time to open a connection, log in and load the scripts.
const OPEN_WITHIN: Duration = Duration::from_secs(1);
/// Time for an answer to "are you still primary?".
const CHECK_WITHIN: Duration = Duration::from_secs(1);
/// How long Redis waits for its replicas, in ms. Well below the keeper's call timeout of 400 ms: without replicas there is
/// still an answer, only unconfirmed.
const WAIT_MS: u64 = 150;
/// The same on the control connection while replicas do not confirm anyway, so that calls do not pile up behind each other.
const WAIT_SHORT_MS: u64 = 5;

/// Which of a primary's connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lane {
    /// Claims, renewals and releases of the keeper; nothing else, since `WAIT` holds up whatever comes behind it.
    Ownership,
    /// Orders, keys, holds: few, and must last, so each of them waits for replicas too.
    Control,
    /// Whatever needs no replica: reads, and what is done again anyway.
    Plain,
}

impl Lane {
    const ALL: [Self; 3] = [Self::Ownership, Self::Control, Self::Plain];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Ownership => "ownership",
            Self::Control => "control",
            Self::Plain => "plain",
        }
    }
}

/// The answers to some commands, in their order.
pub(super) struct Answers {
    pub(super) values: Vec<Result<Value, Trouble>>,
    /// Enough replicas have all that was written.
    pub(super) is_confirmed: bool,
}

pub(super) struct Primary {
    pub(super) endpoint: Endpoint,
    /// Which run of the process it is: random at each start of a Redis.
    pub(super) run_id: String,
    links: [Link; 3],
    scripts: Arc<[&'static str]>,
    /// The last `WAIT` counted too few replicas.
    is_unconfirmed: AtomicBool,
    touch: Touch,
    steward: Arc<Notify>,
    reports: Arc<Reports>,
}

struct Link {
    connection: MultiplexedConnection,
    is_dead: Arc<AtomicBool>,
}

/// What all primaries are opened with.
pub(super) struct Opener {
    pub(super) dialer: Dialer,
    pub(super) layout: Layout,
    /// Sources of the scripts that every connection loads.
    pub(super) scripts: Arc<[&'static str]>,
    /// Woken when a primary needs looking at.
    pub(super) steward: Arc<Notify>,
    pub(super) reports: Arc<Reports>,
}

impl Opener {
    /// Connects to `endpoint`, if it says that it is a primary.
    pub(super) async fn open(&self, endpoint: &Endpoint) -> Result<Arc<Primary>, ConnectError> {
        let opened = join_all(Lane::ALL.map(|_| self.open_link(endpoint))).await;
        let mut links = Vec::with_capacity(opened.len());
        let mut run_ids = Vec::with_capacity(opened.len());
        for opened in opened {
            let (link, run_id) = opened?;
            links.push(link);
            run_ids.push(run_id);
        }
        // Behind a proxy that balances, or across a restart between two connections.
        let is_one = run_ids.windows(2).all(|pair| pair[0] == pair[1]);
        let (Ok(links), Some(run_id), true) = (<[Link; 3]>::try_from(links), run_ids.pop(), is_one) else {
            return Err(ConnectError::Unreachable {
                why: format!("{endpoint}: connections end at different servers"),
            });
        };
        self.reports.connected(endpoint, &run_id);
        Ok(Arc::new(Primary {
            endpoint: endpoint.clone(),
            run_id,
            links,
            scripts: Arc::clone(&self.scripts),
            is_unconfirmed: AtomicBool::new(false),
            touch: Touch::default(),
            steward: Arc::clone(&self.steward),
            reports: Arc::clone(&self.reports),
        }))
    }

    async fn open_link(&self, endpoint: &Endpoint) -> Result<(Link, String), ConnectError> {
        let of = |trouble| ConnectError::of(endpoint, trouble);
        let is_dead = Arc::new(AtomicBool::new(false));
        let (dead, steward) = (Arc::clone(&is_dead), Arc::clone(&self.steward));
        let on_push = move |push: PushInfo| {
            if push.kind == PushKind::Disconnection {
                dead.store(true, Ordering::Release);
                steward.notify_one();
            }
            Ok::<(), redis::aio::SendError>(())
        };
        let opening = self.dialer.open_with(endpoint, Protocol::Data, OPEN_WITHIN, Some(on_push));
        let connection = opening.await.map_err(of)?;
        let mut info = redis::cmd("INFO");
        info.arg("server");
        let questions = [info, redis::cmd("ROLE")];
        let mut values = exchange(&connection, questions, OPEN_WITHIN).await.map_err(of)?.into_iter();
        let info = checked(values.next().unwrap_or_default()).map_err(of)?;
        let run_id = self.read_info(endpoint, text(&info).unwrap_or_default())?;
        let role = checked(values.next().unwrap_or_default()).map_err(of)?;
        if !is_master(&role) {
            return Err(match self.layout {
                Layout::Single(_) => ConnectError::Replica { at: endpoint.to_string() },
                // A failover that not everybody has heard of yet.
                _ => of(Trouble::NotPrimary("it is a replica".to_owned())),
            });
        }
        let loaded = exchange(&connection, loads(&self.scripts), OPEN_WITHIN).await.map_err(of)?;
        for loaded in loaded {
            checked(loaded).map_err(of)?;
        }
        Ok((Link { connection, is_dead }, run_id))
    }

    /// Checks version and kind of the server; returns its `run_id`.
    fn read_info(&self, endpoint: &Endpoint, info: &str) -> Result<String, ConnectError> {
        let at = || endpoint.to_string();
        let version = info_field(info, "redis_version").unwrap_or_default();
        let major = version.split('.').next().and_then(|major| major.parse::<u32>().ok());
        if major.is_none_or(|major| major < 7) {
            return Err(ConnectError::TooOld { at: at(), version: version.to_owned() });
        }
        let found = info_field(info, "redis_mode").unwrap_or("standalone");
        let is_cluster = matches!(self.layout, Layout::Cluster(_));
        let scheme = match found {
            "cluster" if !is_cluster => Some("redis+cluster://"),
            "sentinel" => Some("redis+sentinel://"),
            "standalone" if is_cluster => Some("redis://"),
            _ => None,
        };
        if let Some(scheme) = scheme {
            return Err(ConnectError::Layout { at: at(), found: found.to_owned(), scheme });
        }
        Ok(info_field(info, "run_id").unwrap_or_default().to_owned())
    }
}

impl Primary {
    /// Sends `count` commands, which `command` makes by their index, and waits for their answers until `within` has passed;
    /// with `confirm`, also for so many replicas. Scripts that Redis has forgotten are loaded and sent once more.
    ///
    /// An error is the whole exchange's: none of its commands has an answer, and any may have been carried out.
    pub(super) async fn run(
        &self,
        lane: Lane,
        count: usize,
        command: &(dyn Fn(usize) -> Cmd + Sync),
        confirm: u8,
        within: Duration,
    ) -> Result<Answers, Trouble> {
        let deadline = Instant::now() + within;
        let mut answers = self.send(lane, (0..count).map(command), confirm, deadline).await?;
        let is_forgotten = |at: &usize| matches!(answers.values[*at], Err(Trouble::NoScript));
        let forgotten: Vec<_> = (0..count).filter(is_forgotten).collect();
        if !forgotten.is_empty() {
            self.reports.scripts_forgotten(&self.endpoint);
            self.send(lane, loads(&self.scripts), 0, deadline).await?;
            let again = forgotten.iter().map(|at| command(*at));
            let again = self.send(lane, again, confirm, deadline).await?;
            for (at, value) in forgotten.into_iter().zip(again.values) {
                answers.values[at] = value;
            }
            // The later WAIT covers whatever this connection wrote before it.
            answers.is_confirmed = again.is_confirmed;
        }
        Ok(answers)
    }

    async fn send(
        &self,
        lane: Lane,
        commands: impl Iterator<Item = Cmd>,
        confirm: u8,
        deadline: Instant,
    ) -> Result<Answers, Trouble> {
        let link = &self.links[lane as usize];
        if link.is_dead() {
            self.reports.call_without_connection(lane.name());
            return Err(Trouble::Gone("no connection".to_owned()));
        }
        let wait = (confirm > 0).then(|| {
            let is_brief = lane == Lane::Control && self.is_unconfirmed.load(Ordering::Relaxed);
            let mut wait = redis::cmd("WAIT");
            // Every script that writes, writes: a WAIT behind one that changed nothing would count replicas for nothing.
            wait.arg(confirm).arg(if is_brief { WAIT_SHORT_MS } else { WAIT_MS });
            wait
        });
        let within = deadline.saturating_duration_since(Instant::now());
        let exchanged = exchange(&link.connection, commands.chain(wait), within).await;
        self.reports.call(lane.name(), exchanged.as_ref().map(|_| ()));
        let mut values = exchanged.inspect_err(|_| {
            link.is_dead.store(true, Ordering::Release);
            self.steward.notify_one();
        })?;
        let is_confirmed = confirm == 0 || {
            let counted = matches!(values.pop(), Some(Value::Int(count)) if count >= i64::from(confirm));
            let was = !self.is_unconfirmed.swap(!counted, Ordering::Relaxed);
            self.reports.confirmed(&self.endpoint, counted, was != counted);
            counted
        };
        let values: Vec<_> = values.into_iter().map(checked).collect();
        if values.iter().any(|value| matches!(value, Err(Trouble::NotPrimary(_)))) {
            self.steward.notify_one();
        }
        Ok(Answers { values, is_confirmed })
    }

    /// Asks on every connection whether this is still a primary, and what time it is there.
    pub(super) async fn check(&self) -> Result<(), Trouble> {
        let asked = join_all(self.links.iter().map(Link::ask)).await;
        let times: Vec<_> = asked.into_iter().collect::<Result<_, _>>()?;
        // The earliest, since they were asked in no order.
        if let Some(at) = times.into_iter().flatten().min() {
            self.touch.on_time(at);
        }
        Ok(())
    }

    /// How long it has answered without a break.
    pub(super) fn contact(&self) -> Option<Contact> {
        self.touch.contact()
    }

    /// Too few replicas had what was last written.
    pub(super) fn is_unconfirmed(&self) -> bool {
        self.is_unconfirmed.load(Ordering::Relaxed)
    }

    /// Nothing more is sent to it. What is on its way may still be answered.
    pub(super) fn leave(&self) {
        for link in &self.links {
            link.is_dead.store(true, Ordering::Release);
        }
    }
}

impl Link {
    fn is_dead(&self) -> bool {
        self.is_dead.load(Ordering::Acquire)
    }

    /// Whether this is still a primary; and its time.
    async fn ask(&self) -> Result<Option<UnixMs>, Trouble> {
        if self.is_dead() {
            return Err(Trouble::Gone("its connection broke".to_owned()));
        }
        let questions = [redis::cmd("ROLE"), redis::cmd("TIME")];
        let asked = exchange(&self.connection, questions, CHECK_WITHIN).await;
        let mut answers = asked.inspect_err(|_| self.is_dead.store(true, Ordering::Release))?.into_iter();
        if is_master(&checked(answers.next().unwrap_or_default())?) {
            return Ok(answers.next().as_ref().and_then(time));
        }
        Err(Trouble::NotPrimary("it is a replica now".to_owned()))
    }
}

/// `ROLE` begins with the role.
fn is_master(role: &Value) -> bool {
    match role {
        Value::Array(parts) => parts.first().and_then(text) == Some("master"),
        _ => false,
    }
}

/// `TIME` is seconds and microseconds.
fn time(answer: &Value) -> Option<UnixMs> {
    let Value::Array(parts) = answer else { return None };
    let number = |nth: usize| parts.get(nth).and_then(text).and_then(|part| part.parse::<u64>().ok());
    Some(UnixMs(number(0)?.checked_mul(1_000)? + number(1)? / 1_000))
}

fn loads(scripts: &[&'static str]) -> impl Iterator<Item = Cmd> {
    scripts.iter().map(|source| {
        let mut load = redis::cmd("SCRIPT");
        load.arg("LOAD").arg(*source);
        load
    })
}
