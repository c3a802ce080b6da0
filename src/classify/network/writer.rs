//! A tiny writer of MaxMind DB files (format 2.0), so that tests bring their own networks.

use std::net::IpAddr;

use ipnet::IpNet;

#[derive(Clone, Debug)]
pub enum Data {
    Text(&'static str),
    Bool(bool),
    Map(Vec<(&'static str, Data)>),
}

/// A file of these networks, in a tree of 24-bit records; IPv4 lies in `::/96`.
pub fn database(built: u64, networks: &[(&str, Data)]) -> Vec<u8> {
    // Children: a node's index, nothing, or for a leaf the offset in the data section.
    #[derive(Clone, Copy)]
    enum Child {
        Node(usize),
        Leaf(usize),
        Nothing,
    }
    let mut nodes = vec![[Child::Nothing; 2]];
    let mut data = Vec::new();
    for (network, record) in networks {
        let network: IpNet = network.parse().expect("a network");
        let (bits, length) = match network.network() {
            IpAddr::V4(v4) => (u128::from(v4.to_bits()), 96 + network.prefix_len()),
            IpAddr::V6(v6) => (v6.to_bits(), network.prefix_len()),
        };
        let offset = data.len();
        encode(record, &mut data);
        let mut node = 0;
        for depth in 0..length {
            let side = usize::from(bits >> (127 - depth) & 1 == 1);
            if depth + 1 == length {
                nodes[node][side] = Child::Leaf(offset);
            } else if let Child::Node(next) = nodes[node][side] {
                node = next;
            } else {
                nodes.push([Child::Nothing; 2]);
                let next = nodes.len() - 1;
                nodes[node][side] = Child::Node(next);
                node = next;
            }
        }
    }
    let count = nodes.len();
    let mut file = Vec::new();
    for node in &nodes {
        for child in node {
            let value = match child {
                Child::Node(i) => *i,
                Child::Nothing => count,
                Child::Leaf(offset) => count + 16 + offset,
            };
            file.extend_from_slice(&(value as u32).to_be_bytes()[1..]);
        }
    }
    file.extend_from_slice(&[0; 16]);
    file.extend_from_slice(&data);
    file.extend_from_slice(b"\xab\xcd\xefMaxMind.com");
    metadata(built, count, &mut file);
    file
}

fn metadata(built: u64, nodes: usize, out: &mut Vec<u8>) {
    out.push(7 << 5 | 9);
    let mut number = |key, extended: Option<u8>, kind: u8, value: u64| {
        text(key, out);
        let bytes = value.to_be_bytes();
        let used = bytes.iter().skip_while(|b| **b == 0).count();
        out.push(kind << 5 | used as u8);
        out.extend(extended);
        out.extend_from_slice(&bytes[8 - used..]);
    };
    number("binary_format_major_version", None, 5, 2);
    number("binary_format_minor_version", None, 5, 0);
    number("build_epoch", Some(2), 0, built);
    number("ip_version", None, 5, 6);
    number("node_count", None, 6, nodes as u64);
    number("record_size", None, 5, 24);
    text("database_type", out);
    text("Test-Country", out);
    text("description", out);
    out.push(7 << 5);
    text("languages", out);
    out.extend_from_slice(&[0, 11 - 7]);
}

fn encode(data: &Data, out: &mut Vec<u8>) {
    match data {
        Data::Text(t) => text(t, out),
        // An extended type, 14, whose size is its value.
        Data::Bool(value) => out.extend_from_slice(&[u8::from(*value), 14 - 7]),
        Data::Map(members) => {
            out.push(7 << 5 | members.len() as u8);
            for (key, value) in members {
                text(key, out);
                encode(value, out);
            }
        }
    }
}

fn text(text: &str, out: &mut Vec<u8>) {
    assert!(text.len() < 29, "longer texts need another size byte");
    out.push(2 << 5 | text.len() as u8);
    out.extend_from_slice(text.as_bytes());
}
