//! The characters of RFC 864 as a function of the stream position, so that a generator needs no
//! state.

/// Length of a line in bytes: 72 characters, CR, LF.
const LINE: u64 = 74;
/// Number of printing characters, space to tilde. Each line begins one character further on.
const RING: u64 = 95;

/// Fills `into` with the stream's bytes from position `at`.
pub fn fill(at: u64, into: &mut [u8]) {
    for (byte, position) in into.iter_mut().zip(at..) {
        *byte = byte_at(position);
    }
}

fn byte_at(position: u64) -> u8 {
    match position % LINE {
        72 => b'\r',
        73 => b'\n',
        column => b' ' + ((position / LINE + column) % RING) as u8,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_those_of_the_rfc_and_each_begins_one_further_on() {
        let mut text = [0; 148];
        fill(0, &mut text);
        assert!(text.starts_with(b" !\"#$%&'()*+,-./0123456789:;<=>?@ABC"));
        assert_eq!(&text[70..76], b"fg\r\n!\"");
        assert_eq!(&text[146..], b"\r\n");
    }

    #[test]
    fn the_stream_is_the_same_however_it_is_cut() {
        let (mut whole, mut parts) = ([0; 9000], [0; 9000]);
        fill(0, &mut whole);
        fill(0, &mut parts[..123]);
        fill(123, &mut parts[123..]);
        assert_eq!(whole, parts);
    }
}
