//! A client of the event feed: HTTP/1.1 by hand, so that tests see where the stream ends and how, and read no faster than they
//! say.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

/// Generous: only a failure waits that long.
const PATIENCE: Duration = Duration::from_secs(20);

/// One block of the stream.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Block {
    pub(crate) id: Option<String>,
    pub(crate) event: Option<String>,
    pub(crate) data: Option<Value>,
    pub(crate) retry: Option<u64>,
    pub(crate) comment: Option<String>,
}

/// A client that is connected.
pub(crate) struct Listener {
    socket: BufReader<TcpStream>,
    pub(crate) status: u16,
    pub(crate) head: String,
    /// What has come and is no whole block yet.
    text: String,
    /// The stream has ended as it should.
    pub(crate) is_over: bool,
    /// The id that the client would come back with.
    pub(crate) last_id: Option<String>,
    pub(crate) last_comment: String,
}

impl Listener {
    /// Connects with these parameters (`?room=…` or nothing).
    pub(crate) async fn open(addr: SocketAddr, token: &str, query: &str, last_id: Option<&str>) -> Self {
        Self::open_with(TcpSocket::new_v4().unwrap(), addr, token, query, last_id).await
    }

    /// Where the feed is now: an id to come back with.
    pub(crate) async fn begun(addr: SocketAddr, token: &str) -> String {
        let mut listener = Self::open(addr, token, "", None).await;
        loop {
            listener.block().await.expect("the stream ended");
            if let Some(id) = listener.last_id.take() {
                return id;
            }
        }
    }

    /// Connects, if the Manager is there and lets us in.
    pub(crate) async fn try_open(
        addr: SocketAddr,
        token: &str,
        query: &str,
        last_id: Option<&str>,
    ) -> Option<Self> {
        let opened = Self::connect(TcpSocket::new_v4().unwrap(), addr, token, query, last_id).await;
        opened.ok().filter(|listener| listener.status == 200)
    }

    /// The same on a socket that is set up already.
    pub(crate) async fn open_with(
        socket: TcpSocket,
        addr: SocketAddr,
        token: &str,
        query: &str,
        last_id: Option<&str>,
    ) -> Self {
        Self::connect(socket, addr, token, query, last_id).await.unwrap()
    }

    async fn connect(
        socket: TcpSocket,
        addr: SocketAddr,
        token: &str,
        query: &str,
        last_id: Option<&str>,
    ) -> io::Result<Self> {
        let mut socket = socket.connect(addr).await?;
        let last = last_id.map(|id| format!("Last-Event-ID: {id}\r\n")).unwrap_or_default();
        let request = format!(
            "GET /v1/events{query} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n{last}\r\n"
        );
        socket.write_all(request.as_bytes()).await?;
        let mut socket = BufReader::new(socket);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            let read = timeout(PATIENCE, socket.read_line(&mut head)).await.expect("no answer")?;
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        let status = head[9..12].parse().unwrap();
        let (text, last_comment) = (String::new(), String::new());
        Ok(Self { socket, status, head, text, is_over: false, last_id: None, last_comment })
    }

    /// The next block; `None` when the stream has ended in good order.
    pub(crate) async fn block(&mut self) -> Option<Block> {
        timeout(PATIENCE, self.try_block()).await.expect("nothing comes").unwrap()
    }

    /// The next block, for whoever can bear that the connection breaks. Not to be called again after it was dropped half-way.
    pub(crate) async fn try_block(&mut self) -> io::Result<Option<Block>> {
        loop {
            if let Some((block, rest)) = self.text.split_once("\n\n") {
                let block = Block::parse(block);
                self.text = rest.to_owned();
                if let Some(id) = &block.id {
                    self.last_id = Some(id.clone());
                }
                if let Some(comment) = &block.comment {
                    self.last_comment.clone_from(comment);
                }
                return Ok(Some(block));
            }
            if self.is_over {
                assert_eq!(self.text, "", "the stream ends between two blocks");
                return Ok(None);
            }
            self.chunk().await?;
        }
    }

    /// The next event, whatever stands before it.
    pub(crate) async fn event(&mut self) -> Block {
        loop {
            let block = self.block().await.expect("the stream ended");
            if block.data.is_some() {
                return block;
            }
        }
    }

    /// The next `count` events, as `room/kind` of their sessions.
    pub(crate) async fn event_ids(&mut self, count: usize) -> Vec<String> {
        let mut ids = Vec::new();
        for _ in 0..count {
            ids.push(self.event().await.ce("id"));
        }
        ids
    }

    /// All that comes until the stream ends in good order.
    pub(crate) async fn drain(&mut self) -> Vec<Block> {
        let mut blocks = Vec::new();
        while let Some(block) = self.block().await {
            blocks.push(block);
        }
        blocks
    }

    async fn chunk(&mut self) -> io::Result<()> {
        let mut size = String::new();
        if self.socket.read_line(&mut size).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let size = usize::from_str_radix(size.trim(), 16).unwrap();
        let mut chunk = vec![0; size + 2];
        self.socket.read_exact(&mut chunk).await?;
        chunk.truncate(size);
        self.text.push_str(std::str::from_utf8(&chunk).unwrap());
        self.is_over = size == 0;
        Ok(())
    }
}

impl Block {
    fn parse(text: &str) -> Self {
        let mut block = Self::default();
        for line in text.lines() {
            let (field, value) = line.split_once(':').unwrap();
            let value = value.strip_prefix(' ').unwrap_or(value);
            match field {
                "" => block.comment = Some(value.to_owned()),
                "id" => block.id = Some(value.to_owned()),
                "event" => block.event = Some(value.to_owned()),
                "data" => block.data = Some(serde_json::from_str(value).unwrap()),
                "retry" => block.retry = Some(value.parse().unwrap()),
                other => panic!("no such field: {other}"),
            }
        }
        block
    }

    /// A text of the CloudEvent.
    pub(crate) fn ce(&self, name: &str) -> String {
        self.data.as_ref().unwrap()[name].as_str().unwrap_or_else(|| panic!("{name} of {self:?}")).to_owned()
    }
}
