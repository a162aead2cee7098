//! The least of a Redis client: RESP2, one command at a time, blocking.
//!
//! Not the `redis` crate: what tests look with should not be what they look at.

use std::io::{self, BufRead, BufReader, Error, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// How long an answer may take. A frozen server accepts (its kernel does) and never answers.
const TIMEOUT: Duration = Duration::from_secs(2);

/// What Redis answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// No such thing.
    Nil,
    /// An integer.
    Int(i64),
    /// A status or a string; what is not UTF-8 in it is replaced.
    Text(String),
    /// Several.
    Array(Vec<Self>),
    /// An error, only inside of arrays; a bare one is an `Err`.
    Error(String),
}

impl Value {
    /// The text of a string or status, the digits of an integer, nothing for the rest.
    pub fn text(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Int(number) => number.to_string(),
            _ => String::new(),
        }
    }

    /// The integer, also when it came as a string. Panics if it is none.
    pub fn int(&self) -> i64 {
        self.text().parse().unwrap_or_else(|_| panic!("{self:?} is no integer"))
    }

    /// The members of an array, nothing for the rest.
    pub fn items(&self) -> &[Self] {
        if let Self::Array(items) = self { items } else { &[] }
    }
}

pub(super) struct Client {
    reader: BufReader<Box<dyn Socket>>,
}

trait Socket: Read + Write + Send {}
impl Socket for UnixStream {}
impl Socket for TcpStream {}

impl Client {
    pub(super) fn unix(path: &Path) -> io::Result<Self> {
        let socket = UnixStream::connect(path)?;
        socket.set_read_timeout(Some(TIMEOUT))?;
        socket.set_write_timeout(Some(TIMEOUT))?;
        Ok(Self { reader: BufReader::new(Box::new(socket)) })
    }

    pub(super) fn tcp(addr: SocketAddr) -> io::Result<Self> {
        let socket = TcpStream::connect_timeout(&addr, TIMEOUT)?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(TIMEOUT))?;
        socket.set_write_timeout(Some(TIMEOUT))?;
        Ok(Self { reader: BufReader::new(Box::new(socket)) })
    }

    /// Sends one command. An error of Redis is an [`io::Error`] with its text.
    pub(super) fn command(&mut self, words: &[&str]) -> io::Result<Value> {
        let mut request = format!("*{}\r\n", words.len());
        for word in words {
            request.push_str(&format!("${}\r\n{word}\r\n", word.len()));
        }
        self.reader.get_mut().write_all(request.as_bytes())?;
        match self.value()? {
            Value::Error(text) => Err(Error::other(text)),
            value => Ok(value),
        }
    }

    fn value(&mut self) -> io::Result<Value> {
        let line = self.line()?;
        let (kind, rest) = line.split_at_checked(1).ok_or_else(|| Error::other("an empty line"))?;
        Ok(match kind {
            "+" => Value::Text(rest.to_owned()),
            "-" => Value::Error(rest.to_owned()),
            ":" => Value::Int(number(rest)?),
            "$" => match usize::try_from(number(rest)?) {
                Err(_) => Value::Nil,
                Ok(length) => {
                    let mut bytes = vec![0; length + 2];
                    self.reader.read_exact(&mut bytes)?;
                    bytes.truncate(length);
                    Value::Text(String::from_utf8_lossy(&bytes).into_owned())
                }
            },
            "*" => match number(rest)? {
                -1 => Value::Nil,
                count => Value::Array((0..count).map(|_| self.value()).collect::<io::Result<_>>()?),
            },
            _ => return Err(Error::other(format!("not RESP2: {line}"))),
        })
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        if self.reader.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(line.trim_end().to_owned())
    }
}

fn number(text: &str) -> io::Result<i64> {
    text.parse().map_err(|_| Error::other(format!("not a number: {text}")))
}
