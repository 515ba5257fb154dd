//! The blocks of a pcapng file (draft-ietf-opsawg-pcapng), little-endian, and the IP, TCP and UDP
//! headers of its packets. A packet has its true length. Its payload is written if it is known;
//! otherwise only its headers are there.

use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr};

const SECTION_HEADER: u32 = 0x0a0d_0d0a;
const INTERFACE: u32 = 1;
const NAME_RESOLUTION: u32 = 4;
const STATISTICS: u32 = 5;
const ENHANCED_PACKET: u32 = 6;

const BYTE_ORDER_MAGIC: u32 = 0x1a2b_3c4d;
/// Packets begin with an IP header.
const LINKTYPE_RAW: u16 = 101;

const OPT_COMMENT: u16 = 1;
const OPT_END: [u8; 4] = [0; 4];
const SHB_USERAPPL: u16 = 4;
const IF_NAME: u16 = 2;
const IF_DESCRIPTION: u16 = 3;
const EPB_FLAGS: u16 = 2;
const EPB_DROP_COUNT: u16 = 4;
const ISB_DROPPED: u16 = 5;
const RECORD_IPV4: u16 = 1;
const RECORD_IPV6: u16 = 2;

const PROTOCOL_TCP: u8 = 6;
const PROTOCOL_UDP: u8 = 17;
const HOPS: u8 = 64;
const UDP_HEADER: usize = 8;
const IPV6_HEADER: usize = 40;

pub(super) const FIN: u8 = 1;
pub(super) const SYN: u8 = 2;
pub(super) const RST: u8 = 4;
pub(super) const PSH: u8 = 8;
pub(super) const ACK: u8 = 16;

/// Offers the largest window scale in a SYN: windows were not recorded, and a viewer must not see
/// one exceeded.
const WINDOW_SCALE: [u8; 4] = [3, 3, 14, 1];
const WINDOW: u16 = u16::MAX;

/// One packet, as it is written.
pub(super) struct Packet<'a> {
    pub interface: u32,
    /// Microseconds since 1970.
    pub micros: u64,
    pub is_inbound: bool,
    pub headers: Vec<u8>,
    /// Length of what follows the headers.
    pub payload: usize,
    /// These bytes, or none of them.
    pub bytes: &'a [u8],
    /// Packets that are missing before this one.
    pub lost: u64,
    pub comments: &'a [String],
}

/// The header of a TCP segment.
pub(super) struct Segment {
    pub sequence: u32,
    pub acknowledged: u32,
    pub flags: u8,
}

/// Writes the start of the file.
pub(super) fn section_header(out: &mut dyn Write) -> io::Result<()> {
    let mut body = Vec::new();
    body.extend(BYTE_ORDER_MAGIC.to_le_bytes());
    body.extend([1, 0, 0, 0]);
    // The length of the section is not known.
    body.extend(u64::MAX.to_le_bytes());
    option(&mut body, SHB_USERAPPL, b"oneloop");
    body.extend(OPT_END);
    block(out, SECTION_HEADER, &body)
}

pub(super) fn interface(out: &mut dyn Write, name: &str, description: &str) -> io::Result<()> {
    let mut body = Vec::new();
    body.extend(u32::from(LINKTYPE_RAW).to_le_bytes());
    // No limit for the length of packets.
    body.extend(0_u32.to_le_bytes());
    option(&mut body, IF_NAME, name.as_bytes());
    option(&mut body, IF_DESCRIPTION, description.as_bytes());
    body.extend(OPT_END);
    block(out, INTERFACE, &body)
}

/// Writes the name of an address.
pub(super) fn name(out: &mut dyn Write, address: IpAddr, name: &str) -> io::Result<()> {
    let mut value = match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    };
    value.extend(name.bytes().filter(|byte| *byte != 0));
    value.push(0);
    let kind = if address.is_ipv4() { RECORD_IPV4 } else { RECORD_IPV6 };
    let mut body = Vec::new();
    option(&mut body, kind, &value);
    // The end of the records, and that of the options.
    body.extend([OPT_END, OPT_END].concat());
    block(out, NAME_RESOLUTION, &body)
}

pub(super) fn packet(out: &mut dyn Write, packet: &Packet<'_>) -> io::Result<()> {
    let Packet { interface, micros, is_inbound, ref headers, payload, bytes, .. } = *packet;
    let mut body = Vec::new();
    body.extend(interface.to_le_bytes());
    body.extend(((micros >> 32) as u32).to_le_bytes());
    body.extend((micros as u32).to_le_bytes());
    body.extend(((headers.len() + bytes.len()) as u32).to_le_bytes());
    body.extend(((headers.len() + payload) as u32).to_le_bytes());
    body.extend(headers);
    padded(&mut body, bytes);
    let direction: u32 = if is_inbound { 1 } else { 2 };
    option(&mut body, EPB_FLAGS, &direction.to_le_bytes());
    if packet.lost > 0 {
        option(&mut body, EPB_DROP_COUNT, &packet.lost.to_le_bytes());
    }
    for comment in packet.comments {
        option(&mut body, OPT_COMMENT, comment.as_bytes());
    }
    body.extend(OPT_END);
    block(out, ENHANCED_PACKET, &body)
}

/// Writes the statistics of an interface: how many packets are missing. Without that number, the
/// block says nothing new.
pub(super) fn statistics(out: &mut dyn Write, micros: u64, missing: Option<u64>) -> io::Result<()> {
    let mut body = Vec::new();
    body.extend(0_u32.to_le_bytes());
    body.extend(((micros >> 32) as u32).to_le_bytes());
    body.extend((micros as u32).to_le_bytes());
    if let Some(missing) = missing {
        option(&mut body, ISB_DROPPED, &missing.to_le_bytes());
        body.extend(OPT_END);
    }
    block(out, STATISTICS, &body)
}

fn block(out: &mut dyn Write, kind: u32, body: &[u8]) -> io::Result<()> {
    let length = (body.len() as u32 + 12).to_le_bytes();
    out.write_all(&kind.to_le_bytes())?;
    out.write_all(&length)?;
    out.write_all(body)?;
    out.write_all(&length)
}

fn option(body: &mut Vec<u8>, code: u16, value: &[u8]) {
    let value = &value[..value.len().min(usize::from(u16::MAX))];
    body.extend(code.to_le_bytes());
    body.extend((value.len() as u16).to_le_bytes());
    padded(body, value);
}

fn padded(body: &mut Vec<u8>, bytes: &[u8]) {
    body.extend(bytes);
    body.resize(body.len().next_multiple_of(4), 0);
}

/// Returns the IP and TCP headers of a segment with this many bytes of payload.
pub(super) fn tcp(from: SocketAddr, to: SocketAddr, segment: &Segment, payload: usize) -> Vec<u8> {
    let options: &[u8] = if segment.flags & SYN == 0 { &[] } else { &WINDOW_SCALE };
    let mut header = Vec::new();
    header.extend(from.port().to_be_bytes());
    header.extend(to.port().to_be_bytes());
    header.extend(segment.sequence.to_be_bytes());
    header.extend(segment.acknowledged.to_be_bytes());
    let words = (20 + options.len() as u8) / 4;
    header.extend([words << 4, segment.flags]);
    header.extend(WINDOW.to_be_bytes());
    // The checksum, which needs the payload, and the urgent pointer.
    header.extend([0; 4]);
    header.extend(options);
    ip(from.ip(), to.ip(), PROTOCOL_TCP, &header, payload)
}

/// Returns the IP and UDP headers of a datagram with this many bytes of payload.
pub(super) fn udp(from: SocketAddr, to: SocketAddr, payload: usize) -> Vec<u8> {
    // Zero is the absence of a checksum, which IPv6 does not allow.
    let checksum: u16 = if from.is_ipv4() { 0 } else { u16::MAX };
    let mut header = Vec::new();
    header.extend(from.port().to_be_bytes());
    header.extend(to.port().to_be_bytes());
    header.extend(((UDP_HEADER + payload) as u16).to_be_bytes());
    header.extend(checksum.to_be_bytes());
    ip(from.ip(), to.ip(), PROTOCOL_UDP, &header, payload)
}

/// Returns an IP header and what follows it. Both addresses are of the same family.
fn ip(from: IpAddr, to: IpAddr, protocol: u8, header: &[u8], payload: usize) -> Vec<u8> {
    let length = header.len() + payload;
    let mut packet = Vec::new();
    match (from, to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            packet.extend([0x45, 0]);
            packet.extend(((20 + length) as u16).to_be_bytes());
            // No identification, do not fragment.
            packet.extend([0, 0, 0x40, 0, HOPS, protocol, 0, 0]);
            packet.extend(from.octets());
            packet.extend(to.octets());
            let checksum = checksum(&packet);
            packet[10..12].copy_from_slice(&checksum.to_be_bytes());
        }
        (from, to) => {
            packet.extend([0x60, 0, 0, 0]);
            packet.extend((length as u16).to_be_bytes());
            packet.extend([protocol, HOPS]);
            for address in [from, to] {
                packet.extend(match address {
                    IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
                    IpAddr::V6(address) => address.octets(),
                });
            }
            debug_assert_eq!(packet.len(), IPV6_HEADER);
        }
    }
    packet.extend(header);
    packet
}

/// The checksum of an IPv4 header (RFC 1071).
fn checksum(header: &[u8]) -> u16 {
    let words =
        header.chunks_exact(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]])));
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}
