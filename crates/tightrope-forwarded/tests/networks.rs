//! Networks in CIDR notation once more, bit by bit. An input is a network and an address, each on a line.

use std::net::IpAddr;

use tightrope_forwarded::Cidr;

/// Runs an input and panics where the network does not do what the reference does.
pub(crate) fn check(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let mut lines = text.split('\n');
    let network = lines.next().unwrap_or_default();
    let address = lines.next().unwrap_or_default().parse::<IpAddr>().ok();

    let parsed = network.parse::<Cidr>();
    let reference = bits_of(network);
    assert_eq!(parsed.is_ok(), reference.is_some(), "{network:?}");
    let (Ok(parsed), Some((is_v4, bits))) = (parsed, reference) else {
        return;
    };
    let printed = parsed.to_string();
    assert_eq!(
        printed.parse(),
        Ok(parsed),
        "{network:?} printed as {printed:?}"
    );
    if let Some(address) = address {
        let (address_is_v4, all) = all_bits(address.to_canonical());
        let expected = is_v4 == address_is_v4 && all.starts_with(&bits);
        assert_eq!(
            parsed.contains(address),
            expected,
            "{network:?} and {address}"
        );
    }
}

/// The bits that count, and whether they are those of IPv4.
fn bits_of(text: &str) -> Option<(bool, Vec<bool>)> {
    let (address, prefix) = match text.split_once('/') {
        Some((address, prefix)) => (address, Some(prefix)),
        None => (text, None),
    };
    let address: IpAddr = address.parse().ok()?;
    let (is_v4, mut bits) = all_bits(address);
    let mut length = bits.len();
    if let Some(prefix) = prefix {
        let is_number =
            (1..=3).contains(&prefix.len()) && prefix.chars().all(|c| c.is_ascii_digit());
        length = prefix
            .parse()
            .ok()
            .filter(|length| is_number && *length <= bits.len())?;
    }
    bits.truncate(length);
    // Those that are IPv4 by another name, where the name is in the prefix.
    let mapped = all_bits(IpAddr::from([0, 0, 0, 0, 0, 0xffff, 0, 0])).1;
    if !is_v4 && length >= 96 && bits.starts_with(&mapped[..96]) {
        return Some((true, bits.split_off(96)));
    }
    Some((is_v4, bits))
}

fn all_bits(address: IpAddr) -> (bool, Vec<bool>) {
    let bytes = match address {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    };
    let bits = bytes
        .iter()
        .flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1 == 1));
    (address.is_ipv4(), bits.collect())
}
