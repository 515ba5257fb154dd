//! Encodes protobuf messages: varints, fixed numbers, texts and nested messages. Knows no message
//! of any program.

/// The wire types of a field (https://protobuf.dev/programming-guides/encoding/).
const VARINT: u64 = 0;
const FIXED64: u64 = 1;
const LENGTH_DELIMITED: u64 = 2;

/// Bits of a number in each byte of a varint. The highest bit says that more follow.
const VARINT_BITS: u32 = 7;
const MORE: u8 = 0x80;

/// A message that is being encoded. Fields may be added in any order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ProtoMessage(Vec<u8>);

impl ProtoMessage {
    /// Adds a number, a truth value or the number of an enum.
    pub fn number(&mut self, field: u64, value: u64) -> &mut ProtoMessage {
        self.tag(field, VARINT);
        self.varint(value);
        self
    }

    /// Adds a number of a `fixed64` field.
    pub fn fixed(&mut self, field: u64, value: u64) -> &mut ProtoMessage {
        self.tag(field, FIXED64);
        self.0.extend(value.to_le_bytes());
        self
    }

    pub fn text(&mut self, field: u64, text: &str) -> &mut ProtoMessage {
        self.delimited(field, text.as_bytes());
        self
    }

    pub fn message(&mut self, field: u64, message: &ProtoMessage) -> &mut ProtoMessage {
        self.delimited(field, &message.0);
        self
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    fn delimited(&mut self, field: u64, bytes: &[u8]) {
        self.tag(field, LENGTH_DELIMITED);
        self.varint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    fn tag(&mut self, field: u64, wire_type: u64) {
        self.varint(field << 3 | wire_type);
    }

    fn varint(&mut self, mut value: u64) {
        while value >> VARINT_BITS != 0 {
            self.0.push(value as u8 | MORE);
            value >>= VARINT_BITS;
        }
        self.0.push(value as u8);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The examples of the specification, and the limits of a varint.
    #[test]
    fn fields_are_encoded_as_the_specification_has_them() {
        let encoded = |build: fn(&mut ProtoMessage) -> &mut ProtoMessage| {
            build(&mut ProtoMessage::default()).as_bytes().to_vec()
        };
        assert_eq!(encoded(|m| m.number(1, 150)), [0x08, 0x96, 0x01]);
        assert_eq!(encoded(|m| m.text(2, "testing")), *b"\x12\x07testing");
        assert_eq!(encoded(|m| m.number(1, 0)), [0x08, 0]);
        assert_eq!(encoded(|m| m.number(1, 127)), [0x08, 0x7f]);
        assert_eq!(encoded(|m| m.number(1, 128)), [0x08, 0x80, 0x01]);
        let most = encoded(|m| m.number(1, u64::MAX));
        assert_eq!(most, [&[0x08], &[0xff; 9][..], &[0x01]].concat());
        // From field 16 on, the tag has two bytes.
        assert_eq!(encoded(|m| m.number(16, 1)), [0x80, 0x01, 0x01]);
        assert_eq!(encoded(|m| m.fixed(47, 5)), [0xf9, 0x02, 5, 0, 0, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn a_nested_message_has_its_length_in_front() {
        let mut inner = ProtoMessage::default();
        inner.number(1, 150);
        let mut outer = ProtoMessage::default();
        outer.message(3, &inner);
        assert_eq!(outer.as_bytes(), [0x1a, 0x03, 0x08, 0x96, 0x01]);
        let long = "x".repeat(300);
        let mut message = ProtoMessage::default();
        message.text(1, &long);
        assert_eq!(message.as_bytes()[..3], [0x0a, 0xac, 0x02]);
        assert_eq!(message.as_bytes().len(), 303);
    }
}
