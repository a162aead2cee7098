//! Engine: runs a job and measures it. Workers do the work; here their seconds are summed up.

mod client;
mod holders;
mod life;
mod link;
mod outbox;
mod ports;
mod watch;
mod wheel;
mod worker;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

use crate::client::Want;
use crate::measure::{Gauges, Interval, Published, Tally};
use crate::media::now_micros;
use crate::plan::{Acks, Job};
use crate::server::{Process, Usage};
use ports::Ports;
use worker::{ALL_LEAVE, PUBLISHERS_LEAVE, RUN, Shared, Worker};

/// Seconds of each worker that may wait to be added up. They are taken out as they come; a worker that found no room would wait.
const INTERVALS: usize = 16;
/// How long publishers may take to say goodbye.
const GOODBYES: Duration = Duration::from_millis(1500);

/// One second of a run, all workers together.
#[derive(Clone, Debug)]
pub struct Second {
    /// Since the beginning of the run.
    pub at: Duration,
    /// Whether it belongs to the measurement.
    pub is_measured: bool,
    /// Who was there at its end.
    pub gauges: Gauges,
    /// What happened in it.
    pub tally: Tally,
    /// How long it really was.
    pub length: Duration,
    /// Bytes written by publishers in it.
    pub sent_bytes: u64,
    /// Bytes read by players in it.
    pub received_bytes: u64,
    /// What the server used in it, if its process is known.
    pub server: Option<Usage>,
}

/// What a run came to.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// Second by second.
    pub seconds: Vec<Second>,
    /// Everything.
    pub whole: Tally,
    /// The measurement only.
    pub measured: Tally,
    /// How long the measurement was.
    pub length: Duration,
    /// Bytes written by publishers during the measurement.
    pub sent_bytes: u64,
    /// Bytes read by players during the measurement.
    pub received_bytes: u64,
    /// What the server used during the measurement, and its memory at the end of it.
    pub server: Option<Usage>,
    /// The server's memory before the run and the most seen during it, in KiB of PSS.
    pub server_memory: Option<(u64, u64)>,
    /// CPU seconds that we used ourselves during the measurement.
    pub own_cpu: f64,
    /// The busiest worker's share of a core during the measurement.
    pub busiest: f64,
    /// What became of each target's publishes.
    pub published: Vec<Published>,
    /// A worker could not go on.
    pub failure: Option<String>,
}

/// Runs `job` to its end, or until `stop` is set; `on_second` hears of each second.
///
/// # Errors
/// When threads or polls cannot be made.
pub fn run(
    job: &Job,
    server: &Process,
    stop: &AtomicBool,
    mut on_second: impl FnMut(&Second),
) -> io::Result<Outcome> {
    let began = Instant::now();
    let shared = Arc::new(Shared {
        job: job.clone(),
        stage: AtomicU8::new(RUN),
        publishes: AtomicU64::new(now_micros()),
        sent: AtomicU64::new(0),
        received: AtomicU64::new(0),
        ports: Ports::default(),
    });
    let (sender, intervals) = sync_channel(INTERVALS * job.threads.max(1));
    let workers = start(&shared, &sender)?;
    drop(sender);
    let (lead, end) = (job.lead(), job.lead() + job.measure);
    let mut sums = Sums::new(Mark::now(&shared, server), workers.len());
    let mut last = began;
    while began.elapsed() < end && !stop.load(Ordering::Relaxed) && sums.is_working() {
        // A second counts for the measurement if it begins in it.
        let is_measured = last.duration_since(began) >= lead;
        if is_measured && sums.mark.is_none() {
            sums.mark = Some(Mark::now(&shared, server));
        }
        let border = began + if is_measured { end } else { lead };
        let tick = (last + Duration::from_secs(1)).min(border);
        sums.collect(&intervals, tick, stop);
        let now = Instant::now();
        let at = (now.duration_since(began), now.duration_since(last));
        let second = sums.second(at, is_measured, Mark::now(&shared, server));
        last = now;
        on_second(&second);
        sums.outcome.seconds.push(second);
    }
    sums.measured_until(&Mark::now(&shared, server));
    shared.stage.store(PUBLISHERS_LEAVE, Ordering::Relaxed);
    sums.collect(&intervals, Instant::now() + GOODBYES, &AtomicBool::new(false));
    shared.stage.store(ALL_LEAVE, Ordering::Relaxed);
    for worker in workers {
        match worker.join() {
            Ok(Ok(())) => {}
            Ok(Err(e)) => sums.outcome.failure = Some(format!("a worker could not go on: {e}")),
            Err(_) => sums.outcome.failure = Some("a worker panicked".to_owned()),
        }
    }
    sums.collect(&intervals, Instant::now() + Duration::from_secs(1), &AtomicBool::new(false));
    Ok(sums.finish())
}

fn start(
    shared: &Arc<Shared>,
    out: &SyncSender<Interval>,
) -> io::Result<Vec<thread::JoinHandle<io::Result<()>>>> {
    let threads = shared.job.threads.max(1);
    let mut shares: Vec<Vec<_>> = (0..threads).map(|_| Vec::new()).collect();
    for (number, plan) in shared.job.plans.iter().enumerate() {
        // All publishers of a target belong to one worker, who sees whether two are accepted at once.
        let at = if plan.want == Want::Publish { plan.target } else { number };
        shares[at % threads].push((number, plan.clone()));
    }
    shares
        .into_iter()
        .enumerate()
        .map(|(number, plans)| {
            let worker = Worker::new(number, shared.clone(), plans)?;
            let out = out.clone();
            thread::Builder::new().name(format!("load-{number}")).spawn(move || worker.run(&out))
        })
        .collect()
}

/// What has been added up so far.
struct Sums {
    outcome: Outcome,
    pending: Tally,
    gauges: Vec<Gauges>,
    workers: usize,
    /// The server before the run.
    memory_before: Option<u64>,
    memory_most: u64,
    last: Mark,
    /// Where the measurement began.
    mark: Option<Mark>,
    busy: Vec<(f64, u32)>,
}

impl Sums {
    fn new(first: Mark, workers: usize) -> Self {
        Self {
            outcome: Outcome::default(),
            pending: Tally::default(),
            gauges: vec![Gauges::default(); workers],
            workers,
            memory_before: first.usage.map(|usage| usage.pss_kib),
            memory_most: 0,
            last: first,
            mark: None,
            busy: vec![(0.0, 0); workers],
        }
    }

    /// Whether all workers are at it.
    fn is_working(&self) -> bool {
        self.workers > 0
    }

    /// Takes what workers send until `tick`.
    fn collect(&mut self, intervals: &Receiver<Interval>, tick: Instant, stop: &AtomicBool) {
        while let Some(wait) = tick.checked_duration_since(Instant::now())
            && !stop.load(Ordering::Relaxed)
        {
            match intervals.recv_timeout(wait.min(Duration::from_millis(100))) {
                Ok(interval) => self.take(interval),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    self.workers = 0;
                    return;
                }
            }
        }
    }

    fn take(&mut self, interval: Interval) {
        let Interval { worker, gauges, tally, ended } = interval;
        self.pending.add(&tally);
        self.outcome.whole.add(&tally);
        if self.mark.is_some() {
            self.outcome.measured.add(&tally);
            self.busy[worker].0 += gauges.cpu;
            self.busy[worker].1 += 1;
        }
        self.gauges[worker] = gauges;
        for published in ended.into_iter().flatten().filter(|published| published.accepted > 0) {
            self.outcome.published.push(published);
        }
    }

    fn second(&mut self, (at, length): (Duration, Duration), is_measured: bool, now: Mark) -> Second {
        let before = std::mem::replace(&mut self.last, now);
        let server = now.usage.zip(before.usage).map(|(now, before)| now.since(&before));
        self.memory_most = self.memory_most.max(now.usage.map_or(0, |usage| usage.pss_kib));
        let mut gauges = Gauges::default();
        for worker in &self.gauges {
            gauges.publishers += worker.publishers;
            gauges.players += worker.players;
            gauges.pending += worker.pending;
            gauges.cpu += worker.cpu;
        }
        Second {
            at,
            length,
            is_measured,
            gauges,
            tally: std::mem::take(&mut self.pending),
            sent_bytes: now.sent - before.sent,
            received_bytes: now.received - before.received,
            server,
        }
    }

    /// The measurement is over.
    fn measured_until(&mut self, now: &Mark) {
        let Some(mark) = self.mark.take() else { return };
        self.outcome.length = now.at.duration_since(mark.at);
        self.outcome.sent_bytes = now.sent - mark.sent;
        self.outcome.received_bytes = now.received - mark.received;
        self.outcome.own_cpu = now.own_cpu - mark.own_cpu;
        self.outcome.server = now.usage.zip(mark.usage).map(|(now, before)| now.since(&before));
        self.outcome.busiest =
            self.busy.iter().map(|(sum, count)| sum / f64::from((*count).max(1))).fold(0.0, f64::max);
    }

    fn finish(mut self) -> Outcome {
        self.outcome.server_memory = self.memory_before.map(|before| (before, self.memory_most));
        let mut published: Vec<Published> = Vec::new();
        self.outcome.published.sort_by_key(|one| one.target);
        for one in self.outcome.published.drain(..) {
            match published.last_mut().filter(|last| last.target == one.target) {
                Some(last) => {
                    last.accepted += one.accepted;
                    last.certain += one.certain;
                }
                None => published.push(one),
            }
        }
        self.outcome.published = published;
        self.outcome
    }
}

/// What has been moved and used up to a moment: measured at the moment itself, since workers tell of theirs only once a second.
#[derive(Clone, Copy)]
struct Mark {
    at: Instant,
    sent: u64,
    received: u64,
    own_cpu: f64,
    usage: Option<Usage>,
}

impl Mark {
    fn now(shared: &Shared, server: &Process) -> Self {
        let time = clock_gettime(ClockId::ProcessCPUTime);
        let (seconds, nanos) = (u64::try_from(time.tv_sec), u32::try_from(time.tv_nsec));
        Self {
            at: Instant::now(),
            sent: shared.sent.load(Ordering::Relaxed),
            received: shared.received.load(Ordering::Relaxed),
            own_cpu: Duration::new(seconds.unwrap_or(0), nanos.unwrap_or(0)).as_secs_f64(),
            usage: server.usage(),
        }
    }
}
