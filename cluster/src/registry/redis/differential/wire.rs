//! A real Redis, and the connections of a test to it: one for calls, one that hears every bell.

use std::collections::HashMap;
use std::io::{BufReader, Write};
use std::net::TcpStream;
use std::time::Duration;

use ::redis::{Client, Cmd, Connection, Parser, Value};
use onair_testkit::redis::Redis;

use crate::registry::redis::call::{Call, Caller};
use crate::registry::redis::scripts::Script;

pub(in crate::registry::redis) struct Wire {
    pub(in crate::registry::redis) redis: Redis,
    calls: Connection,
    bells: BufReader<TcpStream>,
    /// Keeps what it has read too much of.
    parser: Parser,
    /// The digests of what is loaded, which need not be the true scripts.
    loaded: HashMap<Script, String>,
}

pub(in crate::registry::redis) const CLUSTER: &str = "test";

impl Wire {
    pub(in crate::registry::redis) fn start() -> Self {
        Self::on(Redis::start())
    }

    pub(in crate::registry::redis) fn on(redis: Redis) -> Self {
        let calls = Client::open(redis.url()).unwrap().get_connection().unwrap();
        let bells = TcpStream::connect(redis.addr()).unwrap();
        bells.set_nodelay(true).unwrap();
        bells.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let mut wire = Self {
            redis,
            calls,
            bells: BufReader::new(bells),
            parser: Parser::new(),
            loaded: HashMap::new(),
        };
        wire.bells.get_mut().write_all(b"PSUBSCRIBE onair:test:*\r\n").unwrap();
        let _ = wire.parser.parse_value(&mut wire.bells).unwrap();
        wire.load(str::to_owned);
        wire
    }

    /// Loads all scripts, each changed by `change`.
    pub(in crate::registry::redis) fn load(&mut self, change: impl Fn(&str) -> String) {
        for script in Script::ALL {
            let mut load = ::redis::cmd("SCRIPT");
            load.arg("LOAD").arg(change(script.source()));
            let sha: String = load.query(&mut self.calls).unwrap();
            self.loaded.insert(*script, sha);
        }
    }

    pub(in crate::registry::redis) fn call(
        &mut self,
        call: &Call,
        caller: &Caller<'_>,
    ) -> ::redis::RedisResult<Value> {
        let mut command = ::redis::cmd("EVALSHA");
        command.arg(&self.loaded[&call.script]);
        call.put_arguments(&mut command, caller);
        self.send(&command)
    }

    pub(in crate::registry::redis) fn send(&mut self, command: &Cmd) -> ::redis::RedisResult<Value> {
        command.query(&mut self.calls)
    }

    pub(in crate::registry::redis) fn words(&mut self, words: &[&str]) -> Value {
        let mut command = Cmd::new();
        command.arg(words);
        self.send(&command).unwrap()
    }

    /// What was published since the last time: channel, without what all have in common, and payload. Redis delivers what a
    /// script published before it answers a later command of anyone, so a ping marks the end.
    pub(in crate::registry::redis) fn heard(&mut self) -> Vec<(String, String)> {
        self.bells.get_mut().write_all(b"PING\r\n").unwrap();
        let mut heard = Vec::new();
        loop {
            let Value::Array(words) = self.parser.parse_value(&mut self.bells).unwrap() else {
                panic!("not a message");
            };
            let words: Vec<String> =
                words.iter().map(|word| ::redis::from_redis_value(word.clone()).unwrap()).collect();
            match words.as_slice() {
                [kind, ..] if kind == "pong" => return heard,
                [_, _, channel, payload] => {
                    let channel = channel.strip_prefix("onair:test:").unwrap();
                    heard.push((channel.to_owned(), payload.clone()));
                }
                other => panic!("not a message: {other:?}"),
            }
        }
    }
}
