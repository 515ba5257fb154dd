//! Line ends on their way from a terminal to the network: LF becomes CR LF, as most text protocols
//! of the internet want it.

/// Remembers between two reads whether the last byte was a CR: a line end that is CR LF already
/// stays as it is, even if a read cuts it in two.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LineEnds {
    after_cr: bool,
}

impl LineEnds {
    /// Where to read to, so that `widen` has room: the second half, since each byte may become two.
    pub fn room(into: &mut [u8]) -> &mut [u8] {
        let half = into.len() / 2;
        &mut into[half..2 * half]
    }

    /// So many bytes were read into `room`. They come out at the start of `into`; how many they are
    /// now.
    pub fn widen(&mut self, into: &mut [u8], read: usize) -> usize {
        let half = into.len() / 2;
        let mut written = 0;
        for at in half..half + read {
            let byte = into[at];
            if byte == b'\n' && !self.after_cr {
                into[written] = b'\r';
                written += 1;
            }
            into[written] = byte;
            written += 1;
            self.after_cr = byte == b'\r';
        }
        written
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What becomes of `text`, read into so much room at a time.
    fn widened(text: &[u8], room: usize) -> Vec<u8> {
        let (mut ends, mut out, mut left) = (LineEnds::default(), Vec::new(), text);
        let mut into = vec![0; room];
        while !left.is_empty() {
            let place = LineEnds::room(&mut into);
            let read = left.len().min(place.len());
            place[..read].copy_from_slice(&left[..read]);
            left = &left[read..];
            let written = ends.widen(&mut into, read);
            out.extend_from_slice(&into[..written]);
        }
        out
    }

    #[test]
    fn each_line_end_becomes_cr_lf_and_is_not_doubled_wherever_reads_are_cut() {
        let text = b"one\ntwo\r\n\n\nthree\r\r\nfour\rfive\n";
        let expected = b"one\r\ntwo\r\n\r\n\r\nthree\r\r\nfour\rfive\r\n";
        for room in 2..80 {
            assert_eq!(widened(text, room), expected, "with room for {room}");
        }
    }

    #[test]
    fn a_full_room_of_line_ends_fits() {
        assert_eq!(widened(&[b'\n'; 32], 64), b"\r\n".repeat(32));
        assert_eq!(widened(&[b'\n'; 32], 65), b"\r\n".repeat(32));
    }
}
