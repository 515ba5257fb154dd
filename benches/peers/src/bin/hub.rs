//! `tokio-hub PORT`: a task a connection, and one broadcast channel for all. What waits in the
//! channel for a member is written to it at once.
#![forbid(unsafe_code)]

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use oneloop_peers::{listen, port, run, serve};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::broadcast::{Receiver, Sender, channel, error::RecvError};

const BUFFER_BYTES: usize = 16 * 1024;

/// Messages in the channel. A member that is further behind skips the oldest.
const CHANNEL_MESSAGES: usize = 16 * 1024;

/// A line, and which connection sent it.
#[derive(Clone)]
struct Message {
    sender: u64,
    line: Arc<[u8]>,
}

fn main() -> io::Result<()> {
    run(async {
        let (sender, _) = channel(CHANNEL_MESSAGES);
        let ids = AtomicU64::new(0);
        serve(listen(port(1)?)?, |stream| {
            let id = ids.fetch_add(1, Ordering::Relaxed);
            // Subscribed here, a member misses nothing that is sent after it was accepted.
            member(stream, id, sender.clone(), sender.subscribe())
        })
        .await
    })
}

async fn member(
    mut stream: TcpStream,
    id: u64,
    sender: Sender<Message>,
    mut receiver: Receiver<Message>,
) -> io::Result<()> {
    let (mut reader, mut writer) = stream.split();
    let (mut buffer, mut input, mut output) = (vec![0; BUFFER_BYTES], Vec::new(), Vec::new());
    loop {
        tokio::select! {
            read = reader.read(&mut buffer) => match read? {
                0 => return Ok(()),
                bytes => {
                    input.extend_from_slice(&buffer[..bytes]);
                    send_lines(&mut input, id, &sender);
                }
            },
            received = receiver.recv() => {
                match received {
                    Ok(message) => add(&mut output, &message, id),
                    Err(RecvError::Lagged(_)) => continue,
                    Err(RecvError::Closed) => return Ok(()),
                }
                while output.len() < BUFFER_BYTES && let Ok(message) = receiver.try_recv() {
                    add(&mut output, &message, id);
                }
                if !output.is_empty() {
                    writer.write_all(&output).await?;
                    output.clear();
                }
            }
        }
    }
}

/// Sends each complete line to all. The beginning of another one stays.
fn send_lines(input: &mut Vec<u8>, id: u64, sender: &Sender<Message>) {
    let complete = input.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    for line in input[..complete].split_inclusive(|byte| *byte == b'\n') {
        let _ = sender.send(Message { sender: id, line: line.into() });
    }
    input.drain(..complete);
}

fn add(output: &mut Vec<u8>, message: &Message, id: u64) {
    if message.sender != id {
        output.extend_from_slice(&message.line);
    }
}
