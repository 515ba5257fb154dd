//! Splits received bytes into messages. It stores nothing: whoever holds the bytes asks for the
//! message at their front.

use std::io::BufRead;

/// How a stream of bytes is divided into messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Frame {
    /// A line, with the `\n` that ends it.
    #[default]
    Line,
    /// A length of four bytes, big-endian, and that many bytes.
    Len32,
    /// Whatever was received at once.
    Raw,
}

/// What is at the front of received bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Split {
    /// A message of this many bytes, with its header or its line end.
    Complete(usize),
    /// The beginning of a message, or nothing.
    Partial,
    /// A message longer than allowed, complete or not.
    TooLong,
}

/// What an end of file leaves of received bytes that hold no complete message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LastMessage {
    None,
    /// A line without its end, which was added.
    Complete(Vec<u8>),
    /// This many bytes of a message whose rest never came.
    CutOff(usize),
}

impl Frame {
    /// The names of all frames.
    pub const NAMES: [(&'static str, Frame); 3] =
        [("line", Frame::Line), ("len32", Frame::Len32), ("raw", Frame::Raw)];

    /// Returns how many bytes frame a message: its header, or its line end.
    pub fn overhead(self) -> usize {
        match self {
            Frame::Line => 1,
            Frame::Len32 => size_of::<u32>(),
            Frame::Raw => 0,
        }
    }

    /// Finds the message at the front of `bytes`. `max_message` limits its bytes without what
    /// frames it. With `max_message` and the overhead in `bytes`, the answer is not `Partial`.
    pub fn split(self, bytes: &[u8], max_message: usize) -> Split {
        match self {
            Frame::Line => split_line(bytes, max_message),
            Frame::Len32 => split_len32(bytes, max_message),
            Frame::Raw if bytes.is_empty() => Split::Partial,
            Frame::Raw => Split::Complete(bytes.len().min(max_message)),
        }
    }

    /// Returns the last message at an end of file. `rest` holds no complete one.
    pub fn finish(self, rest: &[u8]) -> LastMessage {
        match self {
            _ if rest.is_empty() => LastMessage::None,
            Frame::Line => LastMessage::Complete([rest, b"\n"].concat()),
            Frame::Len32 | Frame::Raw => LastMessage::CutOff(rest.len()),
        }
    }
}

fn split_line(bytes: &[u8], max_message: usize) -> Split {
    let within = &bytes[..bytes.len().min(max_message.saturating_add(1))];
    match line_length(within) {
        Some(length) => Split::Complete(length),
        None if bytes.len() > max_message => Split::TooLong,
        None => Split::Partial,
    }
}

/// Returns the length of the first line with its end.
fn line_length(mut bytes: &[u8]) -> Option<usize> {
    let whole = bytes;
    // The search of the standard library is that of memchr(3), many bytes at a time. A slice is
    // read without error.
    let length = bytes.skip_until(b'\n').ok()?;
    whole[..length].ends_with(b"\n").then_some(length)
}

fn split_len32(bytes: &[u8], max_message: usize) -> Split {
    let Some(header) = bytes.first_chunk() else { return Split::Partial };
    let length = u32::from_be_bytes(*header) as usize;
    match (length > max_message, header.len() + length) {
        (true, _) => Split::TooLong,
        (false, complete) if complete <= bytes.len() => Split::Complete(complete),
        (false, _) => Split::Partial,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::Random;
    use Split::{Complete, Partial, TooLong};

    #[test]
    fn the_first_message_is_found_with_what_frames_it() {
        let len32 = |length: u32, payload: &[u8]| [&length.to_be_bytes(), payload].concat();
        let table: [(Frame, &[u8], Split); 20] = [
            (Frame::Line, b"", Partial),
            (Frame::Line, b"abc", Partial),
            (Frame::Line, b"abcd", Partial),
            (Frame::Line, b"abcde", TooLong),
            (Frame::Line, b"abcde\n", TooLong),
            (Frame::Line, b"abcd\n", Complete(5)),
            (Frame::Line, b"\n", Complete(1)),
            (Frame::Line, b"a\nbcdefgh", Complete(2)),
            (Frame::Line, b"a\r\n\n", Complete(3)),
            (Frame::Len32, b"", Partial),
            (Frame::Len32, &[0, 0, 0], Partial),
            (Frame::Len32, &len32(0, b""), Complete(4)),
            (Frame::Len32, &len32(4, b"abc"), Partial),
            (Frame::Len32, &len32(4, b"abcd"), Complete(8)),
            (Frame::Len32, &len32(4, b"abcde"), Complete(8)),
            (Frame::Len32, &len32(5, b""), TooLong),
            (Frame::Len32, &len32(u32::MAX, b"abc"), TooLong),
            (Frame::Raw, b"", Partial),
            (Frame::Raw, b"a\n", Complete(2)),
            (Frame::Raw, b"abcdef", Complete(4)),
        ];
        for (frame, bytes, expected) in table {
            assert_eq!(frame.split(bytes, 4), expected, "{frame:?} {bytes:?}");
        }
    }

    #[test]
    fn an_end_of_file_ends_a_line_and_nothing_else() {
        assert_eq!(Frame::Line.finish(b"abc"), LastMessage::Complete(b"abc\n".to_vec()));
        assert_eq!(Frame::Len32.finish(b"\0\0\0"), LastMessage::CutOff(3));
        for (_, frame) in Frame::NAMES {
            assert_eq!(frame.finish(b""), LastMessage::None);
        }
    }

    /// The runtime holds at most the longest message and its overhead: so much must decide.
    #[test]
    fn the_longest_message_with_its_overhead_is_never_partial() {
        let mut random = Random::new(1);
        for (_, frame) in Frame::NAMES {
            for max_message in [1, 2, 5, 300] {
                let bytes: Vec<u8> = (0..max_message + frame.overhead())
                    .map(|_| if random.once_in(9) { b'\n' } else { random.below(3) as u8 })
                    .collect();
                assert_ne!(frame.split(&bytes, max_message), Partial, "{frame:?} {bytes:?}");
            }
        }
    }

    #[test]
    fn messages_are_whole_however_they_arrive() {
        for seed in 0..300 {
            let mut random = Random::new(seed);
            let frame = Frame::NAMES[random.below(2) as usize].1;
            let max_message = 1 + random.below(40) as usize;
            let mut messages = Vec::new();
            for _ in 0..50 {
                let payload: Vec<u8> = (0..random.below(max_message as u64 + 1))
                    .map(|_| b'a' + random.below(26) as u8)
                    .collect();
                let length = (payload.len() as u32).to_be_bytes();
                messages.push(match frame {
                    Frame::Line => [&payload[..], b"\n"].concat(),
                    Frame::Len32 | Frame::Raw => [&length, &payload[..]].concat(),
                });
            }
            let stream = messages.concat();
            let (mut held, mut found, mut at) = (Vec::new(), Vec::new(), 0);
            while at < stream.len() {
                let space = max_message + frame.overhead() - held.len();
                let piece = stream.len().min(at + 1 + random.below(space as u64) as usize);
                held.extend_from_slice(&stream[at..piece]);
                at = piece;
                while let Complete(length) = frame.split(&held, max_message) {
                    found.push(held.drain(..length).collect::<Vec<u8>>());
                }
                assert_ne!(frame.split(&held, max_message), TooLong, "seed {seed}");
            }
            assert_eq!(found, messages, "seed {seed}");
        }
    }
}
