//! Ports that nobody else takes: reserved between all processes that use this crate, for as long as they are needed.
//!
//! A server that is killed and restarted must come back on its own port. The kernel's port 0 cannot promise that: in
//! between, it may hand the number to somebody's outgoing connection. So ports come from below the kernel's ephemeral
//! range (32768 and up on Linux), and a locked file per port keeps other tests away from it.

use std::collections::hash_map::RandomState;
use std::fs::{self, File};
use std::hash::{BuildHasher, Hasher};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};

/// Where ports are taken from: above what services use, below the ephemeral range, and 6379 is not in it.
const FIRST: u16 = 12_000;
const LAST: u16 = 31_999;

/// How many ports are tried before giving up.
const ATTEMPTS: usize = 1_000;

/// A port of 127.0.0.1 that is ours until this is dropped.
#[derive(Debug)]
pub struct Port {
    number: u16,
    /// Locked while it is open; the kernel lets go of it when the process dies.
    _lock: File,
}

impl Port {
    /// Reserves a port that is free now. Panics if there is none.
    pub fn reserve() -> Self {
        let directory = std::env::temp_dir().join("onair-testkit-ports");
        fs::create_dir_all(&directory).expect("a directory for port locks");
        for _ in 0..ATTEMPTS {
            let number = FIRST + random() % (LAST - FIRST + 1);
            let Ok(lock) = File::create(directory.join(number.to_string())) else { continue };
            if lock.try_lock().is_ok() && TcpListener::bind((Ipv4Addr::LOCALHOST, number)).is_ok() {
                return Self { number, _lock: lock };
            }
        }
        panic!("no free port between {FIRST} and {LAST} in {ATTEMPTS} attempts");
    }

    /// Its number.
    pub fn number(&self) -> u16 {
        self.number
    }

    /// Its address on loopback.
    pub fn addr(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.number).into()
    }
}

/// The standard library's own source of randomness: enough to keep tests from trying the same ports in the same order.
fn random() -> u16 {
    (RandomState::new().build_hasher().finish() & 0xffff) as u16
}
