//! Converts LF to CR LF, as most internet text protocols require, in what a terminal sends to the
//! network.

/// Remembers between reads whether the last byte was a CR: an existing CR LF stays unchanged, even
/// if it is split over two reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LineEnds {
    after_cr: bool,
}

impl LineEnds {
    /// The part of `into` to read into: the second half, because `convert` may double each byte.
    pub fn input_half(into: &mut [u8]) -> &mut [u8] {
        let half = into.len() / 2;
        &mut into[half..2 * half]
    }

    /// Converts `read` bytes of the input half, and writes them to the start of `into`. Returns
    /// their new number.
    pub fn convert(&mut self, into: &mut [u8], read: usize) -> usize {
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

    /// Converts `text` through a buffer of `size` bytes.
    fn converted(text: &[u8], size: usize) -> Vec<u8> {
        let (mut ends, mut out, mut left) = (LineEnds::default(), Vec::new(), text);
        let mut into = vec![0; size];
        while !left.is_empty() {
            let half = LineEnds::input_half(&mut into);
            let read = left.len().min(half.len());
            half[..read].copy_from_slice(&left[..read]);
            left = &left[read..];
            let written = ends.convert(&mut into, read);
            out.extend_from_slice(&into[..written]);
        }
        out
    }

    #[test]
    fn each_line_end_becomes_cr_lf_once_wherever_reads_are_split() {
        let text = b"one\ntwo\r\n\n\nthree\r\r\nfour\rfive\n";
        let expected = b"one\r\ntwo\r\n\r\n\r\nthree\r\r\nfour\rfive\r\n";
        for size in 2..80 {
            assert_eq!(converted(text, size), expected, "a buffer of {size} bytes");
        }
    }

    #[test]
    fn an_input_half_full_of_line_ends_fits() {
        assert_eq!(converted(&[b'\n'; 32], 64), b"\r\n".repeat(32));
        assert_eq!(converted(&[b'\n'; 32], 65), b"\r\n".repeat(32));
    }
}
