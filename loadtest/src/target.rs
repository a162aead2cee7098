//! Targets: where the rooms of a run come from: URL templates, a file of addresses, or Onair's API.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, Result, bail, ensure};
use clap::Args;

use crate::address::Address;
use crate::client::Want;
use crate::onair::{Onair, Place};
use crate::plan::{Door, Target};
use crate::wire::requests::Requests;

/// Where to load.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Where to load (one of --publish, --addresses, --api)")]
pub struct Source {
    /// Where publishers go; {n} is the number of the room, as in rtmp://host/live/room-{n}
    #[arg(long, global = true, value_name = "URL", conflicts_with_all = ["addresses", "api"])]
    pub publish: Option<String>,
    /// Where players go; {n} likewise [default: where publishers go]
    #[arg(long, global = true, value_name = "URL", conflicts_with_all = ["addresses", "api"])]
    pub play: Option<String>,
    /// A file of rooms, one a line: PUBLISH_URL, or PUBLISH_URL PLAY_URL
    #[arg(long, global = true, value_name = "FILE", conflicts_with = "api")]
    pub addresses: Option<PathBuf>,
    /// Onair's API, http://host:port: it gives the addresses, and afterwards what is on record is checked
    #[arg(long, global = true, value_name = "URL")]
    pub api: Option<String>,
    /// The API's bearer token
    #[arg(long, global = true, env = "ONAIR_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    pub token: Option<String>,
    /// A file that holds the API's bearer token
    #[arg(long, global = true, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// Producers to ask the API for; {n} is the number of the room
    #[arg(long, global = true, default_value = "load-{n}", value_name = "NAME")]
    pub producer: String,
    /// Players show a token, for an Onair with `play = "token"`
    #[arg(long, global = true)]
    pub play_tokens: bool,
    /// The number of the first room
    #[arg(long, global = true, default_value_t = 0, value_name = "N")]
    pub first: usize,
    /// Servers to go to in turn, host:port,…, instead of the one in the addresses
    #[arg(long, global = true, value_delimiter = ',', value_name = "HOST:PORT")]
    pub nodes: Vec<String>,
}

/// The rooms of a run, and the API that they came from.
#[derive(Debug)]
pub struct Found {
    /// The rooms.
    pub targets: Vec<Target>,
    /// The API, if there is one, and the id that each room has there.
    pub api: Option<(Onair, Vec<String>)>,
}

/// The address that one room is published to, and the one it is played at.
type Pair = (Address, Address);

impl Source {
    /// Finds `count` rooms. Publishers will send chunks of `chunk_size`. With `all_nodes`, clients go to all nodes that the API
    /// knows, unless some are named.
    ///
    /// # Errors
    /// When there are too few, or they make no sense, or a name does not resolve.
    pub fn find(&self, count: usize, chunk_size: u32, all_nodes: bool) -> Result<Found> {
        let (pairs, api) = if let Some(base) = &self.api {
            let onair = Onair::new(base, &self.token()?);
            let producers: Vec<_> = (0..count).map(|n| fill(&self.producer, self.first + n)).collect();
            let places = onair.places(&producers, self.play_tokens)?;
            let pairs = places.iter().map(pair).collect::<Result<Vec<_>>>()?;
            (pairs, Some((onair, places.into_iter().map(|place| place.room).collect())))
        } else if let Some(file) = &self.addresses {
            let text = std::fs::read_to_string(file).with_context(|| format!("{}", file.display()))?;
            (listed(&text, self.first, count)?, None)
        } else if let Some(publish) = &self.publish {
            (self.templated(publish, count)?, None)
        } else {
            bail!(
                "say where to load: --publish rtmp://host/app/{{n}}, --addresses FILE, or --api http://host:port"
            );
        };
        let mut nodes = self.nodes.clone();
        if let (true, true, Some((onair, _))) = (nodes.is_empty(), all_nodes, &api) {
            nodes = onair.nodes()?;
            ensure!(
                !nodes.is_empty(),
                "no node says where it is reached (node.advertise in its configuration): name them with --nodes"
            );
        }
        let mut names = Names::default();
        let nodes = nodes.iter().map(|node| names.resolve(node)).collect::<Result<Vec<_>>>()?;
        let targets = pairs.into_iter().map(|pair| target(pair, chunk_size, &nodes, &mut names));
        Ok(Found { targets: targets.collect::<Result<_>>()?, api })
    }

    fn templated(&self, publish: &str, count: usize) -> Result<Vec<Pair>> {
        let play = self.play.as_deref().unwrap_or(publish);
        for template in [publish, play] {
            ensure!(count == 1 || template.contains("{n}"), "{count} rooms need a {{n}} in {template}");
        }
        (self.first..self.first + count)
            .map(|n| Ok((Address::parse(&fill(publish, n))?, Address::parse(&fill(play, n))?)))
            .collect()
    }

    fn token(&self) -> Result<String> {
        match (&self.token, &self.token_file) {
            (Some(token), _) => Ok(token.clone()),
            (None, Some(file)) => {
                std::fs::read_to_string(file).with_context(|| format!("the token in {}", file.display()))
            }
            (None, None) => bail!("the API needs a token: --token-file FILE, or ONAIR_TOKEN"),
        }
    }
}

fn fill(template: &str, number: usize) -> String {
    template.replace("{n}", &number.to_string())
}

fn pair(place: &Place) -> Result<Pair> {
    Ok((Address::parse(&place.publish)?, Address::parse(&place.play)?))
}

fn listed(text: &str, first: usize, count: usize) -> Result<Vec<Pair>> {
    let lines = text.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#'));
    let mut pairs = Vec::new();
    for (number, line) in lines.enumerate().skip(first).take(count) {
        let at = || format!("address {}", number + 1);
        let mut urls = line.split_whitespace();
        let publish = Address::parse(urls.next().unwrap_or_default()).with_context(at)?;
        let play = urls.next().map(Address::parse).transpose().with_context(at)?;
        let play = play.unwrap_or_else(|| publish.clone());
        pairs.push((publish, play));
    }
    ensure!(pairs.len() == count, "{count} rooms are wanted, the file has {}", pairs.len());
    Ok(pairs)
}

fn target(pair: Pair, chunk_size: u32, nodes: &[SocketAddr], names: &mut Names) -> Result<Target> {
    let (publish, play) = pair;
    let label = publish.app.clone();
    let mut door = |address: &Address, want| -> Result<Door> {
        let to = if nodes.is_empty() { vec![names.resolve(&address.host)?] } else { nodes.to_vec() };
        Ok(Door { to, requests: Arc::new(Requests::new(address, want, chunk_size)) })
    };
    Ok(Target { label, publish: Some(door(&publish, Want::Publish)?), play: Some(door(&play, Want::Play)?) })
}

/// Names that have been resolved once.
#[derive(Default)]
struct Names(HashMap<String, SocketAddr>);

impl Names {
    fn resolve(&mut self, host: &str) -> Result<SocketAddr> {
        if let Some(known) = self.0.get(host) {
            return Ok(*known);
        }
        let found = host
            .to_socket_addrs()
            .with_context(|| format!("the name {host}"))?
            .next()
            .with_context(|| format!("{host} has no address"))?;
        self.0.insert(host.to_owned(), found);
        Ok(found)
    }
}

/// Reads local addresses: `127.0.0.2`, or the range `127.0.0.2-127.0.0.9`.
///
/// # Errors
/// When it is neither.
pub fn parse_sources(text: &str) -> Result<Vec<IpAddr>> {
    match text.split_once('-') {
        None => Ok(vec![text.parse().with_context(|| format!("the address {text}"))?]),
        Some((first, last)) => {
            let ends = [first, last].map(|end| end.parse::<Ipv4Addr>().map(u32::from));
            let [Ok(first), Ok(last)] = ends else { bail!("{text} is no range of IPv4 addresses") };
            ensure!(first <= last && last - first < 4096, "{text}: from low to high, at most 4096");
            Ok((first..=last).map(|address| Ipv4Addr::from(address).into()).collect())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_are_filled_with_the_number_of_the_room() {
        let source = Source {
            publish: Some("rtmp://127.0.0.1/live/r{n}".to_owned()),
            play: Some("rtmp://127.0.0.1:1936/live/r{n}".to_owned()),
            first: 7,
            ..Source::default()
        };
        let found = source.find(2, 4096, false).unwrap();
        assert_eq!(found.targets.len(), 2);
        let door = found.targets[1].play.as_ref().unwrap();
        assert_eq!(door.to, ["127.0.0.1:1936".parse().unwrap()]);
        let pairs = source.templated("rtmp://h/live/r{n}", 2).unwrap();
        assert_eq!((pairs[1].0.name.as_str(), pairs[1].1.host.as_str()), ("r8", "127.0.0.1:1936"));
        assert!(source.templated("rtmp://h/live/one", 2).is_err(), "two rooms cannot be one");
        assert!(Source::default().find(1, 4096, false).is_err());
    }

    #[test]
    fn a_file_has_a_room_a_line() {
        let text = "# rooms\nrtmp://h/a/b rtmp://h/a/live\n\nrtmp://h/c/d\n";
        let pairs = listed(text, 0, 2).unwrap();
        assert_eq!((pairs[0].1.name.as_str(), pairs[1].1.name.as_str()), ("live", "d"));
        assert!(listed(text, 0, 3).is_err());
        assert!(listed(text, 1, 1).is_ok());
        assert!(listed("nonsense", 0, 1).is_err());
    }

    #[test]
    fn local_addresses_may_be_a_range() {
        assert_eq!(parse_sources("127.0.0.2").unwrap().len(), 1);
        assert_eq!(parse_sources("127.0.0.250-127.0.1.5").unwrap().len(), 12);
        assert!(parse_sources("127.0.0.9-127.0.0.2").is_err() && parse_sources("x").is_err());
    }
}
