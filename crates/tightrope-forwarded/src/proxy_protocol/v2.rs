//! Version 2, binary.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::proxy_protocol::header::Content;
use crate::proxy_protocol::{Header, HeaderError, Parsed, Version, begins};

/// §2.2: the signature.
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";

/// The signature, version and command, family and transport, length.
pub(super) const SHORTEST: usize = 16;

/// Of what kind the addresses are.
#[derive(Clone, Copy)]
enum Family {
    /// Not said, or to be ignored.
    Unspecified,
    Inet,
    Inet6,
    Unix,
}

pub(super) fn parse(input: &[u8]) -> Result<Parsed, HeaderError> {
    if !begins(input, SIGNATURE) {
        return Err(HeaderError::Missing);
    }
    let mut is_local = false;
    if let Some(&byte) = input.get(12) {
        let (version, command) = (byte >> 4, byte & 0x0f);
        // §2.2: "the receiver must only accept this value".
        if version != 2 {
            return Err(HeaderError::Version { version });
        }
        // §2.2: "Receivers must drop connections presenting unexpected values here."
        is_local = match command {
            0 => true,
            1 => false,
            _ => return Err(HeaderError::Command { command }),
        };
    }
    let mut family = Family::Unspecified;
    // §2.2, LOCAL: "must [...] discard the protocol block including the family which is ignored".
    if let Some(&value) = input.get(13).filter(|_| !is_local) {
        family = Family::new(value).ok_or(HeaderError::Family { value })?;
    }
    let Some(&[high, low]) = input.get(14..SHORTEST) else {
        let missing = SHORTEST - input.len();
        return Ok(Parsed::Incomplete { missing });
    };
    let length = u16::from_be_bytes([high, low]);
    let addresses = family.length();
    if length < addresses {
        return Err(HeaderError::Length { length, addresses });
    }
    // §2.2: "the length of the protocol header in bytes is always exactly 16 + this value".
    let total = SHORTEST + usize::from(length);
    let Some(block) = input.get(SHORTEST..total) else {
        let missing = total - input.len();
        return Ok(Parsed::Incomplete { missing });
    };
    let content = if is_local {
        Content::Local
    } else {
        family.read(block).unwrap_or(Content::Unknown)
    };
    if !matches!(family, Family::Unspecified) {
        check_tlvs(block, addresses.into())?;
    }
    Ok(Parsed::Complete {
        header: Header::with(Version::V2, content),
        length: total,
    })
}

/// §2.2: a type, two bytes of length, and that many bytes, as often as there are any.
fn check_tlvs(block: &[u8], mut at: usize) -> Result<(), HeaderError> {
    while at < block.len() {
        let end = match block[at..] {
            [_type, high, low, ..] => at + 3 + usize::from(u16::from_be_bytes([high, low])),
            _ => usize::MAX,
        };
        if end > block.len() {
            return Err(HeaderError::Tlv { at: SHORTEST + at });
        }
        at = end;
    }
    Ok(())
}

pub(super) fn write(content: Content) -> Vec<u8> {
    let mut bytes = SIGNATURE.to_vec();
    match content {
        Content::Local => bytes.extend([0x20, 0x00, 0, 0]),
        Content::Unknown => bytes.extend([0x21, 0x00, 0, 0]),
        Content::Addresses {
            source,
            destination,
        } => {
            let (family, length) = if source.is_ipv4() {
                (0x11, Family::Inet.length())
            } else {
                (0x21, Family::Inet6.length())
            };
            bytes.extend([0x21, family]);
            bytes.extend(length.to_be_bytes());
            for socket in [source, destination] {
                match socket.ip() {
                    IpAddr::V4(address) => bytes.extend(address.octets()),
                    IpAddr::V6(address) => bytes.extend(address.octets()),
                }
            }
            bytes.extend(source.port().to_be_bytes());
            bytes.extend(destination.port().to_be_bytes());
        }
    }
    bytes
}

// === impl Family ===

impl Family {
    /// The family of byte 14; `None` if that is not defined.
    fn new(value: u8) -> Option<Self> {
        match (value >> 4, value & 0x0f) {
            // §2.2: "must be rejected as invalid by receivers".
            (4.., _) | (_, 3..) => None,
            // §2.2: "The receiver should ignore address information."
            (0, _) | (_, 0) => Some(Self::Unspecified),
            (1, _) => Some(Self::Inet),
            (2, _) => Some(Self::Inet6),
            (3, _) => Some(Self::Unix),
        }
    }

    /// §2.2: how many bytes both addresses take.
    const fn length(self) -> u16 {
        match self {
            Self::Unspecified => 0,
            Self::Inet => 12,
            Self::Inet6 => 36,
            Self::Unix => 216,
        }
    }

    /// The addresses that `block` begins with, if there are any that are of use.
    fn read(self, block: &[u8]) -> Option<Content> {
        let (source, destination, ports): (IpAddr, IpAddr, &[u8]) = match self {
            // §2.2: of families that are not supported one "automatically falls back to the UNSPEC mode".
            Self::Unspecified | Self::Unix => return None,
            Self::Inet => {
                let (source, rest) = block.split_first_chunk::<4>()?;
                let (destination, rest) = rest.split_first_chunk::<4>()?;
                let both = (Ipv4Addr::from(*source), Ipv4Addr::from(*destination));
                (both.0.into(), both.1.into(), rest)
            }
            Self::Inet6 => {
                let (source, rest) = block.split_first_chunk::<16>()?;
                let (destination, rest) = rest.split_first_chunk::<16>()?;
                let both = (Ipv6Addr::from(*source), Ipv6Addr::from(*destination));
                (both.0.into(), both.1.into(), rest)
            }
        };
        let (source_port, rest) = ports.split_first_chunk::<2>()?;
        let (destination_port, _tlvs) = rest.split_first_chunk::<2>()?;
        Some(Content::Addresses {
            source: SocketAddr::new(source, u16::from_be_bytes(*source_port)),
            destination: SocketAddr::new(destination, u16::from_be_bytes(*destination_port)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::SIGNATURE;
    use crate::proxy_protocol::{Header, HeaderError, Parsed, Version, parse};

    /// A header that announces as much as follows.
    fn bytes(command: u8, family: u8, block: &[u8]) -> Vec<u8> {
        let length = u16::try_from(block.len()).unwrap().to_be_bytes();
        [SIGNATURE, &[command, family][..], &length, block].concat()
    }

    fn header(input: &[u8]) -> Result<Header, HeaderError> {
        match parse(input)? {
            Parsed::Complete { header, length } => {
                assert_eq!(length, input.len());
                Ok(header)
            }
            Parsed::Incomplete { missing } => panic!("{missing} bytes are missing"),
        }
    }

    /// From 203.0.113.7:56324 to 192.0.2.1:443.
    const INET: [u8; 12] = [203, 0, 113, 7, 192, 0, 2, 1, 0xdc, 0x04, 0x01, 0xbb];

    #[test]
    fn addresses_are_read_and_written_byte_for_byte() {
        let expected = Header::new(
            Version::V2,
            "203.0.113.7:56324".parse().unwrap(),
            "192.0.2.1:443".parse().unwrap(),
        );
        assert_eq!(header(&bytes(0x21, 0x11, &INET)), Ok(expected));
        assert_eq!(header(&bytes(0x21, 0x12, &INET)), Ok(expected), "over UDP");
        assert_eq!(expected.to_bytes(), bytes(0x21, 0x11, &INET));

        let mut block = [0; 36];
        block[..4].copy_from_slice(&[0x20, 0x01, 0x0d, 0xb8]);
        (block[15], block[31], block[33], block[35]) = (7, 1, 80, 90);
        let expected = Header::new(
            Version::V2,
            "[2001:db8::7]:80".parse().unwrap(),
            "[::1]:90".parse().unwrap(),
        );
        assert_eq!(header(&bytes(0x21, 0x21, &block)), Ok(expected));
        assert_eq!(expected.to_bytes(), bytes(0x21, 0x21, &block));
    }

    #[test]
    fn who_says_nothing_of_use_is_unknown_and_the_sender_itself_is_local() {
        let unknown = Header::unknown(Version::V2);
        for (family, length) in [
            (0x00, 0),
            (0x00, 50),
            (0x10, 3),
            (0x01, 0),
            (0x31, 216),
            (0x32, 219),
        ] {
            let block = vec![0; length];
            assert_eq!(
                header(&bytes(0x21, family, &block)),
                Ok(unknown),
                "{family:#x}"
            );
        }
        for (family, block) in [(0x00, vec![]), (0x11, INET.to_vec()), (0xff, vec![0xff; 5])] {
            assert_eq!(header(&bytes(0x20, family, &block)), Ok(Header::local()));
        }
        assert_eq!(unknown.to_bytes(), bytes(0x21, 0x00, &[]));
        assert_eq!(Header::local().to_bytes(), bytes(0x20, 0x00, &[]));
    }

    #[test]
    fn what_is_not_defined_is_refused() {
        let refused =
            |command, family, block: &[u8]| header(&bytes(command, family, block)).unwrap_err();
        assert_eq!(
            refused(0x11, 0x11, &INET),
            HeaderError::Version { version: 1 }
        );
        assert_eq!(
            refused(0x31, 0x11, &INET),
            HeaderError::Version { version: 3 }
        );
        assert_eq!(
            refused(0x22, 0x11, &INET),
            HeaderError::Command { command: 2 }
        );
        for family in [0x13, 0x41, 0xf0, 0x0f] {
            let expected = HeaderError::Family { value: family };
            assert_eq!(refused(0x21, family, &[0; 216]), expected);
        }
        for (family, addresses) in [(0x11, 12), (0x22, 36), (0x31, 216)] {
            let length = addresses - 1;
            let expected = HeaderError::Length { length, addresses };
            assert_eq!(refused(0x21, family, &vec![0; length.into()]), expected);
        }
        assert_eq!(parse(b"\r\n\r\nGET"), Err(HeaderError::Missing));
    }

    #[test]
    fn tlvs_are_skipped_and_stay_within_the_header() {
        let with = |tlvs: &[u8]| header(&bytes(0x21, 0x11, &[&INET, tlvs].concat()));
        for tlvs in [
            &[4, 0, 0][..],
            &[4, 0, 1, 9],
            &[1, 0, 2, b'h', b'2', 0x20, 0, 0],
        ] {
            assert_eq!(
                with(tlvs).unwrap().source(),
                Some("203.0.113.7:56324".parse().unwrap())
            );
        }
        for (tlvs, at) in [
            (&[4][..], 28),
            (&[4, 0], 28),
            (&[4, 0, 1], 28),
            (&[4, 0, 0, 4], 31),
            (&[4, 0xff, 0xff, 0], 28),
        ] {
            assert_eq!(with(tlvs), Err(HeaderError::Tlv { at }));
        }
    }
}
