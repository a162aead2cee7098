use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use super::bell::Bell;
use super::*;
use crate::socket::Socket;

const PATIENCE: Duration = Duration::from_secs(10);
const FAR: Duration = Duration::from_secs(3600);

/// Says what happens to it. Echoes what it reads; panics when it reads a `!`.
struct Talker {
    socket: Socket,
    says: SyncSender<String>,
    bell: Arc<Bell>,
    deadline: Option<Instant>,
    is_over: bool,
}

impl Driven for Talker {
    type Command = &'static str;

    fn begin(&mut self, place: &Place<'_>) -> io::Result<()> {
        self.bell.listen(&place.ear());
        self.socket.watch(place.registry, place.token)
    }

    fn ready(&mut self, _ready: Ready) {}

    fn tell(&mut self, command: &'static str, now: Instant, _place: &Place<'_>) {
        match command {
            "sleep" => self.deadline = Some(now + Duration::from_millis(20)),
            "end" => self.is_over = true,
            other => self.says.try_send(format!("told {other}")).unwrap(),
        }
    }

    fn turn(&mut self, now: Instant, _place: &Place<'_>) -> Turn {
        let mut buffer = [0; 64];
        if let Ok(n) = self.socket.try_read(&mut buffer, now)
            && n > 0
        {
            assert!(buffer[0] != b'!', "told to panic");
            self.socket.try_write_vectored(&[io::IoSlice::new(&buffer[..n])]).unwrap();
            self.says.try_send(format!("read {n}")).unwrap();
        } else if self.deadline.is_some_and(|at| at <= now) {
            self.deadline = None;
            self.says.try_send("awake".to_owned()).unwrap();
        } else {
            self.says.try_send("turn".to_owned()).unwrap();
        }
        if self.is_over { Turn::Over } else { Turn::Wait(self.deadline.unwrap_or(now + FAR)) }
    }
}

impl Drop for Talker {
    fn drop(&mut self) {
        let _nobody_listens = self.says.try_send("dropped".to_owned());
    }
}

struct Guest {
    running: Running<Talker>,
    near: TcpStream,
    hears: Receiver<String>,
}

impl Guest {
    /// Waits until it says so.
    fn awaits(&self, what: &str) {
        while self.hears.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("never said {what:?}")) != what {}
    }

    fn echoes(&mut self, text: &[u8]) {
        self.near.write_all(text).unwrap();
        let mut back = vec![0; text.len()];
        self.near.read_exact(&mut back).unwrap();
        assert_eq!(back, text);
    }
}

fn guest(reactors: &Reactors<Talker>, bell: &Arc<Bell>) -> Guest {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let far = listener.accept().unwrap().0;
    far.set_nonblocking(true).unwrap();
    let (says, hears) = sync_channel(1024);
    let (socket, bell) = (Socket::new(far), bell.clone());
    let talker = Talker { socket, says, bell, deadline: None, is_over: false };
    Guest { running: reactors.run(Box::new(talker)), near, hears }
}

#[test]
fn sockets_bells_orders_and_deadlines_each_give_a_turn() {
    let (reactors, bell) = (Reactors::start(2).unwrap(), Arc::new(Bell::default()));
    let mut guests: Vec<Guest> = (0..4).map(|_| guest(&reactors, &bell)).collect();
    for guest in &mut guests {
        guest.awaits("turn");
        guest.echoes(b"hello");
        guest.awaits("read 5");
        guest.running.tell("something");
        guest.awaits("told something");
        guest.running.remote().tell("sleep");
        guest.awaits("awake");
        while guest.hears.try_recv().is_ok() {}
    }
    bell.ring();
    guests.iter().for_each(|guest| guest.awaits("turn"));
}

#[test]
fn one_that_panics_ends_alone_and_its_place_is_used_again() {
    let (reactors, bell) = (Reactors::start(1).unwrap(), Arc::new(Bell::default()));
    let mut there = guest(&reactors, &bell);
    for _ in 0..3 {
        let mut bad = guest(&reactors, &bell);
        bad.near.write_all(b"!").unwrap();
        bad.awaits("dropped");
        assert_eq!(bad.near.read(&mut [0]).unwrap_or(0), 0, "its socket is closed");
        there.echoes(b"still here");
    }
}

#[test]
fn what_runs_ends_by_itself_with_its_handle_or_with_the_reactors() {
    let (reactors, bell) = (Reactors::start(1).unwrap(), Arc::new(Bell::default()));
    let [by_itself, by_handle, by_all] = [(); 3].map(|()| guest(&reactors, &bell));
    by_itself.running.tell("end");
    by_itself.awaits("dropped");
    let Guest { running, hears, near: _near } = by_handle;
    drop(running);
    assert!(hears.iter().any(|said| said == "dropped"));
    drop(reactors);
    by_all.awaits("dropped");
}
