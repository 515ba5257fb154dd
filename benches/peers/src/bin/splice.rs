//! `tokio-splice PORT TARGET_PORT`: splices both ways, through two pipes of 64 KiB that each pair
//! keeps as long as it lives. Relays built on tokio and splice work like this.
#![forbid(unsafe_code)]

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};

use oneloop_peers::{listen, port, run, serve};
use rustix::net::{Shutdown, shutdown};
use rustix::pipe::{PipeFlags, SpliceFlags, pipe_with};
use tokio::io::Interest;
use tokio::net::TcpStream;

const PIPE_BYTES: usize = 64 * 1024;

fn main() -> io::Result<()> {
    run(async {
        let target = port(2)?;
        serve(listen(port(1)?)?, move |stream| relay(stream, target)).await
    })
}

async fn relay(client: TcpStream, target: SocketAddr) -> io::Result<()> {
    let upstream = TcpStream::connect(target).await?;
    upstream.set_nodelay(true)?;
    let both = (pipe_with(PipeFlags::NONBLOCK)?, pipe_with(PipeFlags::NONBLOCK)?);
    tokio::try_join!(pass(&client, &upstream, &both.0), pass(&upstream, &client, &both.1))?;
    Ok(())
}

/// Splices until the end of file, and passes that on.
async fn pass(from: &TcpStream, to: &TcpStream, pipe: &(OwnedFd, OwnedFd)) -> io::Result<()> {
    let flags = SpliceFlags::MOVE | SpliceFlags::NONBLOCK;
    let (out, into) = (&pipe.0, &pipe.1);
    loop {
        let take = || splice(from, into, PIPE_BYTES, flags);
        let mut held = from.async_io(Interest::READABLE, take).await?;
        if held == 0 {
            return Ok(shutdown(to, Shutdown::Write)?);
        }
        while held > 0 {
            let give = || splice(out, to, held, flags);
            held -= to.async_io(Interest::WRITABLE, give).await?;
        }
    }
}

fn splice(from: impl AsFd, to: impl AsFd, bytes: usize, flags: SpliceFlags) -> io::Result<usize> {
    Ok(rustix::pipe::splice(from, None, to, None, bytes, flags)?)
}
