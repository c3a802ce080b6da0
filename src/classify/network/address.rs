use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The address as a database should be asked for it; `None` if it says nothing about a place.
///
/// An IPv4 address in IPv6 clothes (`::ffff:0:0/96`) is unwrapped. No evidence are all blocks of
/// the IANA special-purpose registries (RFC 6890: private, loopback, link-local, shared address
/// space, documentation, benchmarking, reserved), multicast, everything outside `2000::/3`, and
/// the translation ranges 6to4, Teredo and NAT64, whose addresses stand for a relay.
pub fn locates(address: IpAddr) -> Option<IpAddr> {
    match address {
        IpAddr::V4(v4) => (!is_special_v4(v4)).then_some(address),
        IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
            Some(v4) => (!is_special_v4(v4)).then_some(IpAddr::V4(v4)),
            None => (!is_special_v6(v6)).then_some(address),
        },
    }
}

fn is_special_v4(address: Ipv4Addr) -> bool {
    let bits = address.to_bits();
    SPECIAL_V4.iter().any(|([a, b, c, d], length)| {
        let network = u32::from_be_bytes([*a, *b, *c, *d]);
        (bits ^ network) >> (32 - length) == 0
    })
}

fn is_special_v6(address: Ipv6Addr) -> bool {
    let bits = address.to_bits();
    let global_unicast = bits >> 125 == 0b001;
    !global_unicast
        || SPECIAL_V6
            .iter()
            .any(|(network, length)| (bits ^ network) >> (128 - length) == 0)
}

/// IANA IPv4 Special-Purpose Address Registry, and multicast (RFC 5771).
const SPECIAL_V4: [([u8; 4], u32); 18] = [
    ([0, 0, 0, 0], 8),       // 'this network', RFC 791
    ([10, 0, 0, 0], 8),      // private use, RFC 1918
    ([100, 64, 0, 0], 10),   // shared address space (CGNAT), RFC 6598
    ([127, 0, 0, 0], 8),     // loopback, RFC 1122
    ([169, 254, 0, 0], 16),  // link-local, RFC 3927
    ([172, 16, 0, 0], 12),   // private use, RFC 1918
    ([192, 0, 0, 0], 24),    // protocol assignments, RFC 6890
    ([192, 0, 2, 0], 24),    // documentation, RFC 5737
    ([192, 31, 196, 0], 24), // AS112, RFC 7535
    ([192, 52, 193, 0], 24), // AMT relays, RFC 7450
    ([192, 88, 99, 0], 24),  // 6to4 relays, RFC 7526
    ([192, 168, 0, 0], 16),  // private use, RFC 1918
    ([192, 175, 48, 0], 24), // AS112, RFC 7534
    ([198, 18, 0, 0], 15),   // benchmarking, RFC 2544
    ([198, 51, 100, 0], 24), // documentation, RFC 5737
    ([203, 0, 113, 0], 24),  // documentation, RFC 5737
    ([224, 0, 0, 0], 4),     // multicast, RFC 5771
    ([240, 0, 0, 0], 4),     // reserved and broadcast, RFC 1112
];

/// IANA IPv6 Special-Purpose Address Registry, within `2000::/3`.
const SPECIAL_V6: [(u128, u32); 5] = [
    (0x2001_0000 << 96, 23), // protocol assignments, Teredo, ORCHID: RFC 2928
    (0x2001_0db8 << 96, 32), // documentation, RFC 3849
    (0x2002_0000 << 96, 16), // 6to4, RFC 3056
    (0x2620_004f_8000 << 80, 48), // AS112, RFC 7534
    (0x3fff_0000 << 96, 20), // documentation, RFC 9637
];
