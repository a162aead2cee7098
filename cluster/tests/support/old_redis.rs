//! A server that says it is an old Redis, since none can be had: it understands no more than a newcomer's first questions.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::thread;

/// How old.
#[derive(Clone, Copy)]
pub(crate) enum Age {
    /// 5.0: does not know `HELLO`.
    Five,
    /// 6.2: speaks RESP3, but has no functions of its scripts.
    Six,
}

/// Starts one; it ends with the test program.
pub(crate) fn start(age: Age) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let addr = listener.local_addr().unwrap();
    thread::spawn(move || {
        for socket in listener.incoming().map_while(Result::ok) {
            thread::spawn(move || serve(&socket, age));
        }
    });
    addr
}

fn serve(socket: &TcpStream, age: Age) -> io::Result<()> {
    let mut reader = BufReader::new(socket);
    let mut writer = socket;
    loop {
        let command = read_command(&mut reader)?;
        let answer = match (command[0].to_uppercase().as_str(), age) {
            ("HELLO", Age::Six) => "%2\r\n$6\r\nserver\r\n$5\r\nredis\r\n$5\r\nproto\r\n:3\r\n".to_owned(),
            ("INFO", _) => {
                let version = if matches!(age, Age::Five) { "5.0.14" } else { "6.2.14" };
                let info =
                    format!("# Server\r\nredis_version:{version}\r\nredis_mode:standalone\r\nrun_id:1\r\n");
                format!("${}\r\n{info}\r\n", info.len())
            }
            ("ROLE", _) => "*3\r\n$6\r\nmaster\r\n:0\r\n*0\r\n".to_owned(),
            (name, _) => format!("-ERR unknown command `{name}`, with args beginning with: \r\n"),
        };
        writer.write_all(answer.as_bytes())?;
    }
}

/// A RESP array of bulk strings.
fn read_command(reader: &mut impl BufRead) -> io::Result<Vec<String>> {
    let count = read_length(reader)?;
    (0..count).map(|_| read_bulk(reader)).collect()
}

fn read_bulk(reader: &mut impl BufRead) -> io::Result<String> {
    let mut bytes = vec![0; read_length(reader)? + 2];
    reader.read_exact(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).trim_end().to_owned())
}

fn read_length(reader: &mut impl BufRead) -> io::Result<usize> {
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let digits = line.trim_end().get(1..).unwrap_or_default();
    digits.parse().map_err(|_| io::ErrorKind::UnexpectedEof.into())
}
