//! `tokio-udp PORT` echoes datagrams; `tokio-udp PORT TARGET_PORT` relays them, with a socket and a
//! task for each source.
#![forbid(unsafe_code)]

use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use oneloop_peers::{port, run};
use tokio::net::UdpSocket;

const DATAGRAM_BYTES: usize = 64 * 1024;

fn main() -> io::Result<()> {
    run(async {
        let socket = UdpSocket::bind(port(1)?).await?;
        match port(2) {
            Ok(target) => relay(Arc::new(socket), target).await,
            Err(_) => echo(socket).await,
        }
    })
}

async fn echo(socket: UdpSocket) -> io::Result<()> {
    let mut buffer = vec![0; DATAGRAM_BYTES];
    loop {
        let Ok((bytes, from)) = socket.recv_from(&mut buffer).await else { continue };
        let _ = socket.send_to(&buffer[..bytes], from).await;
    }
}

async fn relay(listener: Arc<UdpSocket>, target: SocketAddr) -> io::Result<()> {
    let mut flows: HashMap<SocketAddr, Arc<UdpSocket>> = HashMap::new();
    let mut buffer = vec![0; DATAGRAM_BYTES];
    loop {
        let Ok((bytes, from)) = listener.recv_from(&mut buffer).await else { continue };
        let flow = match flows.get(&from) {
            Some(flow) => flow,
            None => {
                let flow = Arc::new(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?);
                flow.connect(target).await?;
                tokio::spawn(answer(flow.clone(), listener.clone(), from));
                flows.entry(from).or_insert(flow)
            }
        };
        let _ = flow.send(&buffer[..bytes]).await;
    }
}

/// Brings back what the target says to one source.
async fn answer(flow: Arc<UdpSocket>, listener: Arc<UdpSocket>, source: SocketAddr) {
    let mut buffer = vec![0; DATAGRAM_BYTES];
    loop {
        let Ok(bytes) = flow.recv(&mut buffer).await else { continue };
        let _ = listener.send_to(&buffer[..bytes], source).await;
    }
}
