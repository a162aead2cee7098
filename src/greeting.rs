//! What a start prints to stdout: where the node listens and, ready to paste, how to go on air, watch and look.
//!
//! Stdout, never the log: the stream key is a secret. The first line is a promise to scripts:
//! `onair <version> is up: node <id>, RTMP on <ip:port>, API on http://<ip:port>, data in <dir>` of a whole node,
//! `onair <version> is up: node <id>, RTMP on <ip:port>, probes on http://<ip:port>` of an ingest node, and
//! `onair <version> is up: Manager of <cluster>, API on http://<ip:port>, data in <dir>` of a Manager.

use std::fmt;
use std::net::SocketAddr;
use std::path::Path;

/// All that is told at start.
pub(crate) struct Greeting<'a> {
    /// Who we are.
    pub(crate) node: &'a str,
    /// Of which cluster.
    pub(crate) cluster: &'a str,
    /// Where RTMP listens, with the port really taken; if it does.
    pub(crate) rtmp: Option<SocketAddr>,
    /// Where the API listens, likewise.
    pub(crate) http: SocketAddr,
    /// `host[:port]` for players.
    pub(crate) media_domain: &'a str,
    /// Where the Manager keeps what is its own, if there is one.
    pub(crate) data_dir: Option<&'a Path>,
    /// Where the admin token is, if not there.
    pub(crate) admin_token_file: Option<&'a Path>,
    /// The demo producer's address, if one is to be shown.
    pub(crate) demo: Option<Demo>,
}

/// A broadcast address in the forms that encoders want.
pub(crate) struct Demo {
    /// Whose.
    pub(crate) producer: String,
    /// What viewers address.
    pub(crate) room: String,
    /// `rtmp://domain/room`.
    pub(crate) server: String,
    /// The live key. Secret.
    pub(crate) stream_key: String,
}

impl fmt::Display for Greeting<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let version = env!("CARGO_PKG_VERSION");
        let Self { node, cluster, rtmp, http, .. } = self;
        write!(f, "onair {version} is up: ")?;
        match rtmp {
            Some(rtmp) => write!(f, "node {node}, RTMP on {rtmp}")?,
            None => write!(f, "Manager of {cluster}")?,
        }
        let Some(data) = self.data_dir.map(Path::display) else {
            return writeln!(f, ", probes on http://{http}");
        };
        writeln!(f, ", API on http://{http}, data in {data}")?;
        let token_file = match self.admin_token_file {
            Some(file) => shell(&file.display().to_string()),
            None => format!("{}/admin-token", shell(&data.to_string())),
        };
        let token = format!("-H \"Authorization: Bearer $(cat {token_file})\"");
        let api = format!("http://{}", reachable(*http));
        if let Some(demo) = &self.demo {
            let Demo { producer, room, server, stream_key } = demo;
            let domain = self.media_domain;
            writeln!(
                f,
                r#"
Go on air as producer "{producer}" (the stream key is a secret):
  OBS      Settings > Stream > Service: Custom...
             Server      {server}
             Stream Key  {stream_key}
  ffmpeg   ffmpeg -re -f lavfi -i testsrc2=size=1280x720:rate=30 -f lavfi -i sine=frequency=440 \
             -c:v libx264 -preset veryfast -tune zerolatency -pix_fmt yuv420p -g 60 -b:v 2500k -c:a aac -b:a 128k \
             -f flv '{server}/{stream_key}'

Watch it:
  ffplay -fflags nobuffer rtmp://{domain}/{room}/live

See the session:
  curl -s {token} {api}/v1/sessions"#
            )?;
        }
        writeln!(
            f,
            r"
A new address for any producer:
  curl -s -X POST {token} {api}/v1/producers/alice/broadcast-url"
        )
    }
}

/// An address that a client on this host can connect to: "everywhere" is no place to go.
pub(crate) fn reachable(listen: SocketAddr) -> SocketAddr {
    let mut address = listen;
    match listen {
        SocketAddr::V4(v4) if v4.ip().is_unspecified() => {
            address.set_ip(std::net::Ipv4Addr::LOCALHOST.into());
        }
        SocketAddr::V6(v6) if v6.ip().is_unspecified() => {
            address.set_ip(std::net::Ipv6Addr::LOCALHOST.into());
        }
        _ => {}
    }
    address
}

/// The `host[:port]` of an RTMP listener; 1935 goes without saying.
pub(crate) fn media_domain(listen: SocketAddr) -> String {
    let address = reachable(listen);
    if address.port() != 1935 {
        return address.to_string();
    }
    match address {
        SocketAddr::V4(v4) => v4.ip().to_string(),
        SocketAddr::V6(v6) => format!("[{}]", v6.ip()),
    }
}

/// A path as one word of a shell line.
fn shell(path: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"/._-+".contains(&b);
    if path.bytes().all(plain) { path.to_owned() } else { format!("'{}'", path.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn greeting(demo: Option<Demo>) -> String {
        Greeting {
            node: "n1",
            cluster: "onair",
            rtmp: Some("0.0.0.0:1935".parse().unwrap()),
            http: "127.0.0.1:8080".parse().unwrap(),
            media_domain: "127.0.0.1",
            data_dir: Some(Path::new("./onair data")),
            admin_token_file: None,
            demo,
        }
        .to_string()
    }

    #[test]
    fn the_first_line_is_what_scripts_were_promised() {
        let text = greeting(None);
        let version = env!("CARGO_PKG_VERSION");
        let first = format!(
            "onair {version} is up: node n1, RTMP on 0.0.0.0:1935, API on http://127.0.0.1:8080, data in ./onair data"
        );
        assert_eq!(text.lines().next(), Some(first.as_str()));
        assert!(!text.contains("Stream Key"));
    }

    #[test]
    fn each_half_says_what_it_is() {
        let version = env!("CARGO_PKG_VERSION");
        let whole = Greeting {
            node: "n1",
            cluster: "blue",
            rtmp: Some("0.0.0.0:1935".parse().unwrap()),
            http: "127.0.0.1:8080".parse().unwrap(),
            media_domain: "",
            data_dir: None,
            admin_token_file: None,
            demo: None,
        };
        let ingest = format!(
            "onair {version} is up: node n1, RTMP on 0.0.0.0:1935, probes on http://127.0.0.1:8080\n"
        );
        assert_eq!(whole.to_string(), ingest);
        let manager = Greeting { rtmp: None, data_dir: Some(Path::new("d")), ..whole }.to_string();
        let first =
            format!("onair {version} is up: Manager of blue, API on http://127.0.0.1:8080, data in d");
        assert_eq!(manager.lines().next(), Some(first.as_str()));
    }

    #[test]
    fn the_lines_can_be_pasted_as_they_are() {
        let text = greeting(Some(Demo {
            producer: "demo".to_owned(),
            room: "r1".to_owned(),
            server: "rtmp://127.0.0.1/r1".to_owned(),
            stream_key: "KEY".to_owned(),
        }));
        assert!(text.contains("Server      rtmp://127.0.0.1/r1\n"), "{text}");
        assert!(text.contains("Stream Key  KEY\n"), "{text}");
        assert!(text.contains("-f flv 'rtmp://127.0.0.1/r1/KEY'\n"), "{text}");
        assert!(text.contains("rtmp://127.0.0.1/r1/live\n"), "{text}");
        assert!(
            text.contains(
                r#"curl -s -H "Authorization: Bearer $(cat './onair data'/admin-token)" http://127.0.0.1:8080/v1/sessions"#
            ),
            "{text}"
        );
    }

    #[test]
    fn a_media_domain_is_reachable_and_leaves_out_the_usual_port() {
        for (listen, domain) in [
            ("0.0.0.0:1935", "127.0.0.1"),
            ("0.0.0.0:4000", "127.0.0.1:4000"),
            ("10.1.2.3:1935", "10.1.2.3"),
            ("[::]:1935", "[::1]"),
            ("[::]:1936", "[::1]:1936"),
        ] {
            assert_eq!(media_domain(listen.parse().unwrap()), domain);
        }
    }
}
