//! Where a request comes from, and the networks it may come from.

use std::net::{IpAddr, SocketAddr};

/// A text that is neither a network nor an address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CidrError {
    /// The part before the slash.
    #[error("`{0}` is not a network; write it as 10.0.0.0/8, 2001:db8::/32 or a single address")]
    Address(String),
    /// The part after the slash.
    #[error("`{text}` has a prefix that is not a number from 0 to {most}")]
    Prefix {
        /// The whole text.
        text: String,
        /// The longest prefix of the address's family.
        most: u8,
    },
}

/// A network, or a single address. 18 bytes.
///
/// An IPv4 network holds IPv4 addresses only and an IPv6 network IPv6 addresses only, `::/0` included; an IPv4 address that is written
/// as IPv6 (`::ffff:192.0.2.1`) is the IPv4 address on either side. Bits below the prefix are ignored: `10.1.2.3/8` is `10.0.0.0/8`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Cidr {
    network: IpAddr,
    prefix: u8,
}

impl Cidr {
    /// Reads `ADDRESS/PREFIX` or `ADDRESS`.
    pub fn parse(text: &str) -> Result<Self, CidrError> {
        let (address, prefix) = text.split_once('/').map_or((text, None), |(address, prefix)| (address, Some(prefix)));
        let written: IpAddr = address.parse().map_err(|_| CidrError::Address(text.to_owned()))?;
        let most = bits(written);
        let prefix = match prefix {
            None => most,
            Some(digits) => {
                read_prefix(digits, most).ok_or_else(|| CidrError::Prefix { text: text.to_owned(), most })?
            }
        };
        Ok(Self::new(written, prefix))
    }

    fn new(written: IpAddr, prefix: u8) -> Self {
        let canonical = written.to_canonical();
        // `::ffff:10.0.0.0/104` is 10.0.0.0/8; a shorter prefix reaches beyond the IPv4 addresses and stays IPv6.
        match (bits(written) - bits(canonical), prefix) {
            (shift, prefix) if prefix >= shift => Self { network: canonical, prefix: prefix - shift },
            _ => Self { network: written, prefix },
        }
    }

    /// Whether the address lies in the network. Cost: a mask and a comparison.
    pub fn contains(self, address: IpAddr) -> bool {
        match (self.network, address.to_canonical()) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                same_prefix(u32::from(network).into(), u32::from(address).into(), 32 - u32::from(self.prefix))
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                same_prefix(network.into(), address.into(), 128 - u32::from(self.prefix))
            }
            _ => false,
        }
    }
}

/// Digits only: no sign, no spaces, no leading zero that some would read as octal.
fn read_prefix(digits: &str, most: u8) -> Option<u8> {
    let plain = digits.bytes().all(|b| b.is_ascii_digit()) && (digits.len() == 1 || !digits.starts_with('0'));
    digits.parse().ok().filter(|prefix| plain && *prefix <= most)
}

const fn bits(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

/// Whether two addresses agree but for the lowest `ignored` bits.
fn same_prefix(a: u128, b: u128, ignored: u32) -> bool {
    (a ^ b).checked_shr(ignored).unwrap_or(0) == 0
}

/// The networks that a keyspace allows. Empty: every address, and none at all, is allowed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct AllowList(Box<[Cidr]>);

impl AllowList {
    /// Reads every network; the first that can't be read is the error.
    pub fn parse<'a>(networks: impl IntoIterator<Item = &'a str>) -> Result<Self, CidrError> {
        networks.into_iter().map(Cidr::parse).collect::<Result<_, _>>().map(Self)
    }

    /// Whether a request from this address may use the key. With a list, an unknown address may not. Cost: a walk over the list.
    pub fn allows(&self, address: Option<IpAddr>) -> bool {
        self.0.is_empty() || address.is_some_and(|address| self.0.iter().any(|network| network.contains(address)))
    }
}

/// A first element of `X-Forwarded-For` that is not an address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("X-Forwarded-For starts with `{0}`, which is not an IP address")]
pub struct ForwardedError(String);

/// The client's address by `X-Forwarded-For`: its first element that is not empty, without the port, in its canonical form.
///
/// `None`: there is no element, so the socket's peer is the client. An element that is no address is an error rather than nothing:
/// whoever writes the header must not be able to fall back to the peer's, usually trusted, address.
pub fn forwarded_for(header: &str) -> Result<Option<IpAddr>, ForwardedError> {
    let Some(first) = header.split(',').map(str::trim).find(|element| !element.is_empty()) else { return Ok(None) };
    read_host(first).map(|address| Some(address.to_canonical())).ok_or_else(|| ForwardedError(first.to_owned()))
}

/// `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]`, `[2001:db8::1]:80`.
fn read_host(text: &str) -> Option<IpAddr> {
    let bracketed = || text.strip_prefix('[')?.strip_suffix(']')?.parse().ok().map(IpAddr::V6);
    text.parse().ok().or_else(|| text.parse().ok().map(|socket: SocketAddr| socket.ip())).or_else(bracketed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::net::{Ipv4Addr, Ipv6Addr};

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn networks_hold_their_addresses() {
        for (network, inside, outside) in [
            ("10.0.0.0/8", "10.255.255.255", "11.0.0.0"),
            ("10.1.2.3/8", "10.9.9.9", "9.255.255.255"),
            ("192.0.2.1", "192.0.2.1", "192.0.2.2"),
            ("192.0.2.1/32", "::ffff:192.0.2.1", "192.0.2.0"),
            ("0.0.0.0/0", "255.255.255.255", "::"),
            ("::/0", "2001:db8::1", "10.0.0.1"),
            ("::/0", "::1", "::ffff:10.0.0.1"),
            ("2001:db8::/32", "2001:db8:ffff::", "2001:db9::"),
            ("2001:db8::1", "2001:db8::1", "2001:db8::2"),
            ("::ffff:10.0.0.0/104", "10.1.1.1", "11.0.0.0"),
            ("::ffff:10.0.0.1", "10.0.0.1", "10.0.0.2"),
            ("::ffff:10.0.0.0/96", "192.0.2.1", "::fffe:0:1"),
            ("::ffff:10.0.0.0/95", "::fffe:0:1", "10.0.0.1"),
        ] {
            let network = Cidr::parse(network).unwrap();
            assert!(network.contains(ip(inside)), "{network:?} {inside}");
            assert!(!network.contains(ip(outside)), "{network:?} {outside}");
        }
    }

    #[test]
    fn refuses_the_rest_by_value() {
        for text in [
            "",
            "/8",
            "10.0.0/8",
            "010.0.0.0/8",
            "example.org",
            "10.0.0.1:80",
            "[::1]",
            "fe80::1%eth0/64",
            " 10.0.0.0/8",
        ] {
            assert_eq!(Cidr::parse(text), Err(CidrError::Address(text.to_owned())));
        }
        for (text, most) in [
            ("10.0.0.0/33", 32),
            ("10.0.0.0/", 32),
            ("10.0.0.0/+8", 32),
            ("::/129", 128),
            ("::/08", 128),
            ("::/8/8", 128),
        ] {
            assert_eq!(Cidr::parse(text), Err(CidrError::Prefix { text: text.to_owned(), most }));
        }
        assert_eq!(
            AllowList::parse(["10.0.0.0/8", "10.0.0.0/99"]).unwrap_err().to_string(),
            "`10.0.0.0/99` has a prefix that is not a number from 0 to 32"
        );
    }

    #[test]
    fn an_empty_list_allows_and_an_unknown_address_is_not_on_any() {
        assert!(AllowList::default().allows(None));
        let list = AllowList::parse(["10.0.0.0/8", "2001:db8::/32"]).unwrap();
        assert!(list.allows(Some(ip("2001:db8::7"))) && list.allows(Some(ip("10.0.0.7"))));
        assert!(!list.allows(Some(ip("192.0.2.1"))) && !list.allows(None));
    }

    #[test]
    fn the_first_forwarded_element_counts() {
        for (header, first) in [
            ("203.0.113.7", Some("203.0.113.7")),
            (" , ,203.0.113.7 , 10.0.0.1", Some("203.0.113.7")),
            ("203.0.113.7:4711, 10.0.0.1", Some("203.0.113.7")),
            ("2001:db8::1", Some("2001:db8::1")),
            ("[2001:db8::1]", Some("2001:db8::1")),
            ("[2001:db8::1]:443", Some("2001:db8::1")),
            ("::ffff:203.0.113.7", Some("203.0.113.7")),
            ("", None),
            (" , ", None),
        ] {
            assert_eq!(forwarded_for(header), Ok(first.map(ip)), "{header}");
        }
        for element in ["unknown", "203.0.113", "[203.0.113.7]", "[::1", "1.2.3.4:99999", "_hidden"] {
            assert_eq!(forwarded_for(&format!("{element}, 10.0.0.1")), Err(ForwardedError(element.to_owned())));
        }
    }

    proptest! {
        #[test]
        fn a_network_compares_bit_by_bit(network: u128, flip in 0..128_u32, prefix in 0..=128_u32, v4: bool) {
            let (width, prefix, flip) = if v4 { (32, prefix % 33, flip % 32) } else { (128, prefix, flip) };
            let build = |bits: u128| if v4 { IpAddr::V4(Ipv4Addr::from(u32::try_from(bits & 0xffff_ffff).unwrap())) } else { IpAddr::V6(Ipv6Addr::from(bits)) };
            prop_assume!(v4 || (network >> 32 != 0xffff && (network ^ 1 << flip) >> 32 != 0xffff));
            let cidr = Cidr::parse(&format!("{}/{prefix}", build(network))).unwrap();
            // Bit 0 is the lowest; the prefix covers the highest.
            prop_assert_eq!(cidr.contains(build(network ^ (1 << flip))), flip < width - prefix);
        }

        #[test]
        fn no_text_makes_the_parsers_panic(text in "[0-9a-f:./,\\[\\] ]{0,40}|.{0,20}") {
            let _ = (Cidr::parse(&text), forwarded_for(&text));
        }
    }
}
