//! A TCP proxy with faults: cut, reset, slow down, each direction by itself.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::Duration;

use socket2::SockRef;

/// The most that is read before it is passed on. With a delay this bounds the rate too: one chunk per delay.
const CHUNK: usize = 64 << 10;

/// Which way bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From whoever connected to the proxy, to the target.
    ToTarget,
    /// Back.
    FromTarget,
}

/// A proxy on a loopback port of its own, gone when dropped. Everything works on a shared reference, from any thread.
#[derive(Debug)]
pub struct Proxy {
    addr: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    target: SocketAddr,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    lanes: [Lane; 2],
    is_refusing: bool,
    is_over: bool,
    /// How often [`State::reset`] was asked for: who was accepted before the last time is reset, also when the connection to
    /// the target is still being made.
    resets: u64,
    connections: Vec<Weak<Connection>>,
}

/// Both sockets of one connection; they close when both pumps have let go of it.
#[derive(Debug)]
struct Connection {
    client: TcpStream,
    server: TcpStream,
    is_reset: AtomicBool,
}

#[derive(Clone, Copy, Debug, Default)]
struct Lane {
    is_cut: bool,
    delay: Duration,
}

impl Proxy {
    /// Passes everything on to `target` until told otherwise.
    pub fn to(target: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a loopback port");
        let addr = listener.local_addr().expect("a bound socket");
        let shared = Arc::new(Shared { target, state: Mutex::default(), changed: Condvar::new() });
        thread::spawn({
            let shared = shared.clone();
            move || accept(&listener, &shared)
        });
        Self { addr, shared }
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Black hole, both ways: bytes and ends of connections stay where they are until [`Self::heal`]; connections can still
    /// be opened, as the kernel does that, but nothing is heard on them.
    pub fn cut(&self) {
        self.change(|state| state.lanes.iter_mut().for_each(|lane| lane.is_cut = true));
    }

    /// The same one way only.
    pub fn cut_one_way(&self, direction: Direction) {
        self.change(|state| state.lanes[direction as usize].is_cut = true);
    }

    /// Every chunk waits this long before it goes on in `direction`.
    pub fn delay(&self, direction: Direction, delay: Duration) {
        self.change(|state| state.lanes[direction as usize].delay = delay);
    }

    /// Ends every open connection with a TCP reset, at both ends. New ones are welcome.
    pub fn reset(&self) {
        self.change(State::reset);
    }

    /// The same, and new connections are reset too until [`Self::heal`]: nobody is home.
    pub fn refuse(&self) {
        self.change(|state| {
            state.is_refusing = true;
            state.reset();
        });
    }

    /// No faults any more. What waited goes on.
    pub fn heal(&self) {
        self.change(|state| {
            state.lanes = Default::default();
            state.is_refusing = false;
        });
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.shared.state());
        self.shared.changed.notify_all();
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.change(|state| {
            state.is_over = true;
            state.reset();
        });
        // Wakes the thread that accepts.
        let _ = TcpStream::connect(self.addr);
    }
}

impl State {
    fn reset(&mut self) {
        self.resets += 1;
        self.connections.drain(..).filter_map(|c| c.upgrade()).for_each(|c| c.reset());
    }
}

impl Connection {
    /// Both sockets will close with a reset instead of an end, and whoever reads from them wakes up to do so.
    fn reset(&self) {
        self.is_reset.store(true, Ordering::Relaxed);
        for socket in [&self.client, &self.server] {
            let _ = SockRef::from(socket).set_linger(Some(Duration::ZERO));
            let _ = socket.shutdown(Shutdown::Read);
        }
    }

    fn is_reset(&self) -> bool {
        self.is_reset.load(Ordering::Relaxed)
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits as long as `direction` is cut, then gives its delay; nothing once the proxy is gone or `is_reset` says so.
    fn pass(&self, direction: Direction, is_reset: impl Fn() -> bool) -> Option<Duration> {
        let lane = direction as usize;
        let is_waiting = |state: &mut State| state.lanes[lane].is_cut && !state.is_over && !is_reset();
        let state = self.changed.wait_while(self.state(), is_waiting).unwrap_or_else(PoisonError::into_inner);
        (!state.is_over && !is_reset()).then(|| state.lanes[lane].delay)
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for client in listener.incoming() {
        let Ok(client) = client else { return };
        let resets = match &*shared.state() {
            state if state.is_over => return,
            state => state.resets,
        };
        let shared = shared.clone();
        // The connection to the target is made aside: it may take long.
        thread::spawn(move || {
            let _ = serve(client, &shared, resets);
        });
    }
}

/// `resets` is how many there were when `client` was accepted.
fn serve(client: TcpStream, shared: &Arc<Shared>, resets: u64) -> io::Result<()> {
    // Until it is known that somebody is there, dropping the socket is a reset.
    SockRef::from(&client).set_linger(Some(Duration::ZERO))?;
    if shared.pass(Direction::ToTarget, || false).is_none() || shared.state().is_refusing {
        return Ok(());
    }
    let server = TcpStream::connect(shared.target)?;
    SockRef::from(&client).set_linger(None)?;
    for socket in [&client, &server] {
        socket.set_nodelay(true)?;
        // So that a pump that cannot write looks up now and then.
        socket.set_write_timeout(Some(Duration::from_millis(100)))?;
    }
    let connection = Arc::new(Connection { client, server, is_reset: AtomicBool::new(false) });
    {
        let mut state = shared.state();
        state.connections.retain(|c| c.strong_count() > 0);
        state.connections.push(Arc::downgrade(&connection));
        if state.is_refusing || state.is_over || state.resets != resets {
            connection.reset();
        }
    }
    let back = thread::spawn({
        let (connection, shared) = (connection.clone(), shared.clone());
        move || pump(&connection, Direction::FromTarget, &shared)
    });
    pump(&connection, Direction::ToTarget, shared);
    let _ = back.join();
    Ok(())
}

/// Passes bytes on until the end, which it passes on too; a reset on one side becomes one on the other.
fn pump(connection: &Connection, direction: Direction, shared: &Shared) {
    if copy(connection, direction, shared).is_err() {
        connection.reset();
        shared.changed.notify_all();
    }
}

fn copy(connection: &Connection, direction: Direction, shared: &Shared) -> io::Result<()> {
    let (mut from, mut to) = match direction {
        Direction::ToTarget => (&connection.client, &connection.server),
        Direction::FromTarget => (&connection.server, &connection.client),
    };
    let mut chunk = vec![0; CHUNK];
    loop {
        let count = from.read(&mut chunk)?;
        let Some(delay) = shared.pass(direction, || connection.is_reset()) else { return Ok(()) };
        thread::sleep(delay);
        if count == 0 {
            return to.shutdown(Shutdown::Write);
        }
        let mut rest = &chunk[..count];
        while !rest.is_empty() {
            match to.write(rest) {
                Ok(written) => rest = &rest[written..],
                Err(e) if e.kind() == ErrorKind::WouldBlock && !connection.is_reset() => {}
                Err(e) => return Err(e),
            }
        }
    }
}
