//! Ports: which local port a connection from a given address takes. Left to itself the kernel looks for one that no other connection
//! has, and takes longer the more there are; taken in turn, the next one is nearly always good.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU32, Ordering};

/// What Linux gives out by itself.
const FIRST: u16 = 32_768;
const COUNT: u16 = 28_232;
/// Ports in a row that others may hold.
const TRIES: u32 = 100;

/// Ports in turn.
#[derive(Debug, Default)]
pub(super) struct Ports(AtomicU32);

impl Ports {
    /// Opens something from `from` at a port that is free.
    pub(super) fn open<T>(
        &self,
        from: IpAddr,
        mut open: impl FnMut(SocketAddr) -> io::Result<T>,
    ) -> io::Result<T> {
        let mut tries = 0;
        loop {
            let turn = self.0.fetch_add(1, Ordering::Relaxed) % u32::from(COUNT);
            let port = FIRST + u16::try_from(turn).unwrap_or(0);
            match open(SocketAddr::new(from, port)) {
                Err(e)
                    if tries < TRIES
                        && matches!(e.kind(), ErrorKind::AddrInUse | ErrorKind::AddrNotAvailable) =>
                {
                    tries += 1;
                }
                other => return other,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn ports_come_in_turn_past_those_that_are_taken_and_round_again() {
        let ports = Ports::default();
        let from = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let taken = |address: SocketAddr| match address.port() % 2 {
            0 => Err(ErrorKind::AddrInUse.into()),
            _ => Ok(address.port()),
        };
        assert_eq!(ports.open(from, taken).unwrap(), FIRST + 1);
        assert_eq!(ports.open(from, taken).unwrap(), FIRST + 3);
        ports.0.store(u32::from(COUNT), Ordering::Relaxed);
        assert_eq!(ports.open(from, taken).unwrap(), FIRST + 1);
        let never = |_| Err::<(), _>(io::Error::from(ErrorKind::AddrNotAvailable));
        assert_eq!(ports.open(from, never).unwrap_err().kind(), ErrorKind::AddrNotAvailable);
    }
}
