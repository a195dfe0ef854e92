//! `X-Forwarded-For`, and networks of an allow list.

use std::net::{IpAddr, Ipv6Addr};

use keyplane_core::address::{AllowList, Cidr, forwarded_for};

/// An address that is read is read again from its own text, one that is not is named; a network holds what the bits say.
pub fn address(bytes: &[u8]) {
    let Some(text) = crate::text(bytes) else { return };
    match forwarded_for(text) {
        Ok(None) => assert!(text.split(',').all(|element| element.trim().is_empty()), "{text:?}"),
        Ok(Some(address)) => {
            assert_eq!(address, address.to_canonical());
            assert_eq!(forwarded_for(&address.to_string()), Ok(Some(address)));
        }
        Err(error) => {
            let first = text.split(',').map(str::trim).find(|element| !element.is_empty()).unwrap();
            assert!(error.to_string().contains(first), "{error}");
        }
    }
    match Cidr::parse(text) {
        Ok(network) => holds_by_bits(text, network),
        Err(error) => assert!(error.to_string().contains(text), "{error}"),
    }
    let list = AllowList::parse(text.split('\n'));
    assert_eq!(list.is_ok(), text.split('\n').all(|network| Cidr::parse(network).is_ok()));
}

/// Each address that differs from the network's in one bit is in it exactly if that bit lies behind the prefix.
fn holds_by_bits(text: &str, network: Cidr) {
    let (address, prefix) = text.split_once('/').map_or((text, None), |(address, prefix)| (address, Some(prefix)));
    let address: IpAddr = address.parse().expect("it was read as a network");
    let width = if address.is_ipv4() { 32 } else { 128 };
    let prefix: u32 = prefix.map_or(width, |prefix| prefix.parse().expect("it was read as a prefix"));
    assert!(prefix <= width, "{text}");
    // An IPv4 address that is written as IPv6 is one, and a network that holds nothing else is an IPv4 network. Neither family holds the other.
    let is_v4 = address.is_ipv4() || (address.to_canonical().is_ipv4() && prefix >= 96);
    let holds = |other: IpAddr, same_prefix: bool| {
        assert_eq!(network.contains(other), same_prefix && other.to_canonical().is_ipv4() == is_v4, "{text} {other}");
    };
    holds(address, true);
    for bit in 0..width {
        holds(flip(address, width - 1 - bit), bit >= prefix);
    }
}

fn flip(address: IpAddr, bit: u32) -> IpAddr {
    match address {
        IpAddr::V4(address) => IpAddr::V4((u32::from(address) ^ 1 << bit).into()),
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from(u128::from(address) ^ 1 << bit)),
    }
}
