//! Connections that were used once and are kept.

use std::{io, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::sleep,
};

use crate::{PROXY, memory::Each, program::Program};

const REQUEST: &[u8] =
    b"GET /small HTTP/1.1\r\nhost: a.test\r\nuser-agent: endurance\r\naccept: */*\r\n\r\n";
const BODY: &[u8] = b"hello world\n";

/// How many use the proxy before anything is measured, one after the other.
const WARM: usize = 200;

/// Until whatever is given back after a while is.
const SETTLE: Duration = Duration::from_secs(3);

/// Prints what `count` of them take, and returns the last figure.
pub(crate) async fn measure(program: &Program, count: usize) -> io::Result<Each> {
    for _ in 0..WARM {
        ask(&mut TcpStream::connect(PROXY).await?).await?;
    }
    sleep(SETTLE).await;
    let before = program.resident()?;
    let mut connections = Vec::new();
    for _ in 0..count {
        let mut stream = TcpStream::connect(PROXY).await?;
        ask(&mut stream).await?;
        connections.push(stream);
    }
    let (mut after, files) = (Vec::new(), program.files()?);
    for _ in 0..3 {
        sleep(SETTLE).await;
        after.push(program.resident()?);
    }
    eprintln!("{count} idle connections: {before} KiB before, {after:?} KiB after 3, 6 and 9 s");
    let each = Each::new(after.last().copied().unwrap_or_default(), before, count);
    eprintln!("  each: {each} KiB; {files} files open");
    Ok(each)
}

/// Gets a small answer.
pub(crate) async fn ask(stream: &mut TcpStream) -> io::Result<()> {
    stream.write_all(REQUEST).await?;
    let mut answer = Vec::with_capacity(1024);
    while !answer.ends_with(BODY) {
        if stream.read_buf(&mut answer).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(())
}
