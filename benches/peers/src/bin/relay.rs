//! `tokio-relay PORT TARGET_PORT`: copies both ways with 16 KiB a direction.
#![forbid(unsafe_code)]

use std::io;
use std::net::SocketAddr;

use oneloop_peers::{listen, port, run, serve};
use tokio::io::copy_bidirectional_with_sizes;
use tokio::net::TcpStream;

const BUFFER_BYTES: usize = 16 * 1024;

fn main() -> io::Result<()> {
    run(async {
        let target = port(2)?;
        serve(listen(port(1)?)?, move |stream| relay(stream, target)).await
    })
}

async fn relay(mut client: TcpStream, target: SocketAddr) -> io::Result<()> {
    let mut upstream = TcpStream::connect(target).await?;
    upstream.set_nodelay(true)?;
    copy_bidirectional_with_sizes(&mut client, &mut upstream, BUFFER_BYTES, BUFFER_BYTES).await?;
    Ok(())
}
