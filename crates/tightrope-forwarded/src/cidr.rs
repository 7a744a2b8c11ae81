//! A network in CIDR notation.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;

use crate::CidrError;

/// A range of IP addresses, written as `10.0.0.0/8` or `2001:db8::/32`.
///
/// - A bare address is a network of one: `192.0.2.1` is `192.0.2.1/32`, `::1` is `::1/128`.
/// - Bits behind the prefix are ignored: `10.1.2.3/8` is `10.0.0.0/8`.
/// - IPv4-mapped IPv6 addresses are IPv4 addresses here, on both sides of the comparison:
///   `::ffff:10.0.0.0/104` is `10.0.0.0/8`, and it contains `::ffff:10.9.9.9` as well as `10.9.9.9`.
///   So `::/0` holds every IPv6 client and no IPv4 one, on a dual-stack listener too.
///
/// ```
/// use tightrope_forwarded::Cidr;
///
/// let private: Cidr = "10.0.0.0/8".parse()?;
/// assert!(private.contains("10.1.2.3".parse()?));
/// assert!(private.contains("::ffff:10.1.2.3".parse()?));
/// assert!(!private.contains("11.0.0.1".parse()?));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Cidr(IpNet);

impl Cidr {
    /// Whether the address lies in this network.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.contains(&address.to_canonical())
    }

    fn new(address: IpAddr, prefix: u8) -> Option<Self> {
        let network = match (address.to_canonical(), prefix) {
            (IpAddr::V4(v4), 96..=128) if address.is_ipv6() => IpNet::new(v4.into(), prefix - 96),
            _ => IpNet::new(address, prefix),
        };
        network.ok().map(|network| Self(network.trunc()))
    }
}

impl FromStr for Cidr {
    type Err = CidrError;

    /// Reads `address` or `address/prefix`, without spaces around it.
    ///
    /// # Errors
    ///
    /// When it is neither; the error names the text.
    fn from_str(text: &str) -> Result<Self, CidrError> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let Ok(address) = address.parse::<IpAddr>() else {
            return Err(CidrError::Address {
                value: text.to_owned(),
            });
        };
        let max = if address.is_ipv4() { 32 } else { 128 };
        prefix
            .map_or(Some(max), prefix_length)
            .and_then(|prefix| Self::new(address, prefix))
            .ok_or_else(|| CidrError::PrefixLength {
                value: text.to_owned(),
                max,
            })
    }
}

impl From<IpAddr> for Cidr {
    fn from(address: IpAddr) -> Self {
        Self(address.to_canonical().into())
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cidr({})", self.0)
    }
}

/// One to three digits; `u8::from_str` alone would take `+8`.
fn prefix_length(text: &str) -> Option<u8> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit()) && text.len() <= 3;
    plain.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cidr(text: &str) -> Cidr {
        text.parse().unwrap()
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_bare_address_is_a_network_of_one() {
        assert_eq!(cidr("192.0.2.1").to_string(), "192.0.2.1/32");
        assert_eq!(cidr("2001:db8::1").to_string(), "2001:db8::1/128");
        assert_eq!(cidr("192.0.2.1"), Cidr::from(ip("192.0.2.1")));
        assert!(!cidr("192.0.2.1").contains(ip("192.0.2.2")));
    }

    #[test]
    fn host_bits_are_ignored() {
        assert_eq!(cidr("10.1.2.3/8"), cidr("10.0.0.0/8"));
        assert_eq!(cidr("2001:db8::7/32").to_string(), "2001:db8::/32");
    }

    #[test]
    fn mapped_addresses_are_compared_as_ipv4() {
        assert!(cidr("10.0.0.0/8").contains(ip("::ffff:10.1.2.3")));
        assert_eq!(cidr("::ffff:10.0.0.0/104"), cidr("10.0.0.0/8"));
        assert_eq!(cidr("::ffff:10.0.0.1"), cidr("10.0.0.1"));
        assert_eq!(Cidr::from(ip("::ffff:10.0.0.1")), cidr("10.0.0.1"));
        assert_eq!(cidr("::ffff:0.0.0.0/96"), cidr("0.0.0.0/0"));
    }

    #[test]
    fn the_families_stay_apart() {
        assert!(cidr("::/0").contains(ip("2001:db8::1")));
        assert!(!cidr("::/0").contains(ip("192.0.2.1")));
        assert!(!cidr("::/0").contains(ip("::ffff:192.0.2.1")));
        assert!(!cidr("::ffff:0:0/95").contains(ip("::ffff:192.0.2.1")));
        assert!(cidr("0.0.0.0/0").contains(ip("255.255.255.255")));
        assert!(!cidr("0.0.0.0/0").contains(ip("::1")));
    }

    #[test]
    fn the_edges_of_a_network_belong_to_it() {
        let network = cidr("198.51.100.64/26");
        assert!(network.contains(ip("198.51.100.64")));
        assert!(network.contains(ip("198.51.100.127")));
        assert!(!network.contains(ip("198.51.100.63")));
        assert!(!network.contains(ip("198.51.100.128")));
    }

    #[test]
    fn what_is_no_network_is_refused_by_name() {
        for text in [
            "",
            "localhost",
            "10.0.0.0.0/8",
            "10.0.0/8",
            " 10.0.0.0/8",
            "[::1]",
            "fe80::1%eth0",
            "/8",
        ] {
            let error = text.parse::<Cidr>().unwrap_err();
            assert_eq!(
                error,
                CidrError::Address {
                    value: text.to_owned()
                }
            );
            assert!(error.to_string().contains(&format!("`{text}`")), "{error}");
        }
        for (text, max) in [
            ("10.0.0.0/33", 32),
            ("10.0.0.0/", 32),
            ("10.0.0.0/+8", 32),
            ("10.0.0.0/-1", 32),
            ("10.0.0.0/8/8", 32),
            ("10.0.0.0/255.0.0.0", 32),
            ("10.0.0.0/256", 32),
            ("::/129", 128),
            ("::ffff:10.0.0.0/129", 128),
            ("::1/0008", 128),
        ] {
            let error = text.parse::<Cidr>().unwrap_err();
            assert_eq!(
                error,
                CidrError::PrefixLength {
                    value: text.to_owned(),
                    max
                }
            );
            assert!(error.to_string().contains(&format!("`{text}`")), "{error}");
        }
    }

    #[test]
    fn print_and_parse_agree() {
        for text in [
            "0.0.0.0/0",
            "10.0.0.0/8",
            "192.0.2.1/32",
            "::/0",
            "2001:db8::/32",
            "::1/128",
        ] {
            assert_eq!(cidr(text).to_string(), text);
        }
        assert_eq!(format!("{:?}", cidr("10.0.0.0/8")), "Cidr(10.0.0.0/8)");
    }
}
