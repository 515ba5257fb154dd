//! What the peers share: one thread that runs everything, and a listener with a long queue.
#![forbid(unsafe_code)]

use std::future::Future;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use tokio::net::{TcpListener, TcpSocket, TcpStream};

const BACKLOG: u32 = 4096;

/// Runs on this thread alone, as oneloop does.
pub fn run(work: impl Future<Output = io::Result<()>>) -> io::Result<()> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(work)
}

/// The n-th argument as a port of the loopback address.
pub fn port(n: usize) -> io::Result<SocketAddr> {
    let argument = std::env::args().nth(n).and_then(|text| text.parse().ok());
    let port: u16 = argument.ok_or_else(|| io::Error::other("a port is missing"))?;
    Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
}

pub fn listen(at: SocketAddr) -> io::Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(at)?;
    socket.listen(BACKLOG)
}

/// Gives each connection to a task. What goes wrong in one is no news to the others.
pub async fn serve<F>(listener: TcpListener, task: impl Fn(TcpStream) -> F) -> io::Result<()>
where
    F: Future<Output = io::Result<()>> + Send + 'static,
{
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let _ = stream.set_nodelay(true);
        tokio::spawn(task(stream));
    }
}
