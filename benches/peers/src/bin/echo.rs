//! `tokio-echo PORT`: a task and a buffer of 16 KiB a connection.
#![forbid(unsafe_code)]

use std::io;

use oneloop_peers::{listen, port, run, serve};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const BUFFER_BYTES: usize = 16 * 1024;

fn main() -> io::Result<()> {
    run(async { serve(listen(port(1)?)?, echo).await })
}

async fn echo(mut stream: TcpStream) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        match stream.read(&mut buffer).await? {
            0 => return Ok(()),
            bytes => stream.write_all(&buffer[..bytes]).await?,
        }
    }
}
