//! Networks: where other nodes may be. What a registry says of addresses is believed only within them, so that nobody who can write
//! there makes a node connect to whatever it can reach.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use thiserror::Error;

/// The text is no network.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("a network looks like 10.0.0.0/8 or fd00::/8, with no bits set behind the prefix")]
pub struct NetworkError;

/// A block of addresses in CIDR notation (RFC 4632, RFC 4291 §2.3).
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

impl Network {
    /// Loopback and the private ranges of RFC 1918 and RFC 4193.
    pub fn private() -> Vec<Self> {
        let v4 = |a, b, prefix| Self { address: Ipv4Addr::new(a, b, 0, 0).into(), prefix };
        let v6 = |first, last, prefix| Self {
            address: Ipv6Addr::new(first, 0, 0, 0, 0, 0, 0, last).into(),
            prefix,
        };
        vec![v4(127, 0, 8), v4(10, 0, 8), v4(172, 16, 12), v4(192, 168, 16), v6(0, 1, 128), v6(0xfc00, 0, 7)]
    }

    /// Whether `address` lies in it. An IPv4 address written as IPv6 counts as what it is.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                same_bits(network.to_bits().into(), address.to_bits().into(), 32, self.prefix)
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                same_bits(network.to_bits(), address.to_bits(), 128, self.prefix)
            }
            _ => false,
        }
    }
}

/// Whether the first `prefix` of `width` bits are the same.
fn same_bits(a: u128, b: u128, width: u8, prefix: u8) -> bool {
    let behind = u32::from(width.saturating_sub(prefix));
    // A shift by all 128 bits leaves nothing to differ.
    (a ^ b).checked_shr(behind).unwrap_or(0) == 0
}

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let (address, prefix) = text.split_once('/').ok_or(NetworkError)?;
        let address: IpAddr = address.parse().map_err(|_| NetworkError)?;
        let prefix: u8 = prefix.parse().map_err(|_| NetworkError)?;
        let (bits, width): (u128, u8) = match address {
            IpAddr::V4(v4) => (v4.to_bits().into(), 32),
            IpAddr::V6(v6) => (v6.to_bits(), 128),
        };
        let behind = bits & !u128::MAX.checked_shl(u32::from(width.saturating_sub(prefix))).unwrap_or(0);
        if prefix > width || behind != 0 {
            return Err(NetworkError);
        }
        Ok(Self { address, prefix })
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contains(network: &str, address: &str) -> bool {
        network.parse::<Network>().unwrap().contains(address.parse().unwrap())
    }

    #[test]
    fn an_address_is_in_a_network_by_its_first_bits() {
        assert!(contains("10.0.0.0/8", "10.255.1.2"));
        assert!(!contains("10.0.0.0/8", "11.0.0.0"));
        assert!(contains("192.168.4.0/22", "192.168.7.255"));
        assert!(!contains("192.168.4.0/22", "192.168.8.0"));
        assert!(contains("0.0.0.0/0", "8.8.8.8"));
        assert!(!contains("0.0.0.0/0", "2001:db8::1"));
        assert!(contains("::/0", "2001:db8::1"));
        assert!(contains("203.0.113.7/32", "203.0.113.7"));
        assert!(!contains("203.0.113.7/32", "203.0.113.6"));
        assert!(contains("2001:db8::/32", "2001:db8:ffff::1"));
        assert!(contains("10.0.0.0/8", "::ffff:10.1.1.1"));
    }

    #[test]
    fn what_is_private_is_known() {
        let private = Network::private();
        let is_private = |text: &str| private.iter().any(|network| network.contains(text.parse().unwrap()));
        for inside in ["127.0.0.1", "10.1.2.3", "172.31.0.1", "192.168.0.1", "::1", "fd12::1"] {
            assert!(is_private(inside), "{inside}");
        }
        for outside in ["169.254.169.254", "172.32.0.1", "8.8.8.8", "100.64.0.1", "0.0.0.0", "::2", "fe80::1"]
        {
            assert!(!is_private(outside), "{outside}");
        }
    }

    #[test]
    fn networks_print_as_they_are_written_and_bad_ones_are_refused() {
        for good in ["10.0.0.0/8", "fd00::/8", "0.0.0.0/0", "::/0", "::1/128"] {
            assert_eq!(good.parse::<Network>().unwrap().to_string(), good);
        }
        for bad in
            ["10.0.0.0", "10.0.0.1/8", "10.0.0.0/33", "fd00::/129", "fd00::1/8", "x/8", "10.0.0.0/", ""]
        {
            assert_eq!(bad.parse::<Network>(), Err(NetworkError), "{bad}");
        }
    }
}
