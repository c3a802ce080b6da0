//! The fields that HPACK knows by number (RFC 7541 §2.3 and appendix A).

use std::collections::VecDeque;

/// What an entry counts for beyond its octets (RFC 7541 §4.1).
const OVERHEAD: usize = 32;

/// The dynamic table: what the other side told to remember, the newest first, and never more than
/// its size allows.
#[derive(Debug)]
pub struct Table {
    entries: VecDeque<Entry>,
    size: usize,
    most: usize,
}

/// A field line in one piece.
#[derive(Debug)]
struct Entry {
    text: Box<[u8]>,
    name: usize,
}

impl Entry {
    fn size(&self) -> usize {
        self.text.len() + OVERHEAD
    }
}

impl Table {
    pub fn new(most: usize) -> Self {
        Self {
            entries: VecDeque::new(),
            size: 0,
            most,
        }
    }

    /// Name and value of an index (RFC 7541 §2.3.3). There is none of 0, nor beyond the last entry.
    pub fn get(&self, index: usize) -> Option<(&[u8], &[u8])> {
        let index = index.checked_sub(1)?;
        if let Some((name, value)) = STATIC.get(index) {
            return Some((name.as_bytes(), value.as_bytes()));
        }
        let entry = self.entries.get(index - STATIC.len())?;
        entry.text.split_at_checked(entry.name)
    }

    /// Adds an entry after removing as many of the oldest as it needs room for. One that is larger
    /// than the table empties it (RFC 7541 §4.4).
    pub fn insert(&mut self, name: &[u8], value: &[u8]) {
        let size = name.len() + value.len() + OVERHEAD;
        self.shrink_to(self.most.saturating_sub(size));
        if size <= self.most {
            self.size += size;
            let text = [name, value].concat().into_boxed_slice();
            let name = name.len();
            self.entries.push_front(Entry { text, name });
        }
    }

    /// RFC 7541 §4.3.
    pub fn resize(&mut self, most: usize) {
        self.most = most;
        self.shrink_to(most);
    }

    fn shrink_to(&mut self, size: usize) {
        while self.size > size {
            let Some(oldest) = self.entries.pop_back() else {
                return;
            };
            self.size -= oldest.size();
        }
    }
}

/// RFC 7541 appendix A.
#[rustfmt::skip]
const STATIC: [(&str, &str); 61] = [
    (":authority", ""),
    (":method", "GET"),
    (":method", "POST"),
    (":path", "/"),
    (":path", "/index.html"),
    (":scheme", "http"),
    (":scheme", "https"),
    (":status", "200"),
    (":status", "204"),
    (":status", "206"),
    (":status", "304"),
    (":status", "400"),
    (":status", "404"),
    (":status", "500"),
    ("accept-charset", ""),
    ("accept-encoding", "gzip, deflate"),
    ("accept-language", ""),
    ("accept-ranges", ""),
    ("accept", ""),
    ("access-control-allow-origin", ""),
    ("age", ""),
    ("allow", ""),
    ("authorization", ""),
    ("cache-control", ""),
    ("content-disposition", ""),
    ("content-encoding", ""),
    ("content-language", ""),
    ("content-length", ""),
    ("content-location", ""),
    ("content-range", ""),
    ("content-type", ""),
    ("cookie", ""),
    ("date", ""),
    ("etag", ""),
    ("expect", ""),
    ("expires", ""),
    ("from", ""),
    ("host", ""),
    ("if-match", ""),
    ("if-modified-since", ""),
    ("if-none-match", ""),
    ("if-range", ""),
    ("if-unmodified-since", ""),
    ("last-modified", ""),
    ("link", ""),
    ("location", ""),
    ("max-forwards", ""),
    ("proxy-authenticate", ""),
    ("proxy-authorization", ""),
    ("range", ""),
    ("referer", ""),
    ("refresh", ""),
    ("retry-after", ""),
    ("server", ""),
    ("set-cookie", ""),
    ("strict-transport-security", ""),
    ("transfer-encoding", ""),
    ("user-agent", ""),
    ("vary", ""),
    ("via", ""),
    ("www-authenticate", ""),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_make_room_and_the_newest_is_62() {
        let mut table = Table::new(3 * (OVERHEAD + 2));
        for name in [b"a", b"b", b"c", b"d"] {
            table.insert(name, b"1");
        }
        let newest = |table: &Table| {
            let names = (62..).map_while(|i| table.get(i).map(|(name, _)| name.to_vec()));
            names.collect::<Vec<_>>().concat()
        };
        assert_eq!(newest(&table), b"dcb");
        table.resize(2 * (OVERHEAD + 2));
        assert_eq!(newest(&table), b"dc");
        table.insert(b"long", &[b'x'; 100]);
        assert_eq!(newest(&table), b"");
        assert_eq!(table.get(0), None);
        assert_eq!(table.get(2), Some((&b":method"[..], &b"GET"[..])));
        assert_eq!(table.get(61), Some((&b"www-authenticate"[..], &b""[..])));
    }

    #[test]
    fn a_table_of_no_size_holds_nothing() {
        let mut table = Table::new(0);
        table.insert(b"", b"");
        assert_eq!(table.get(62), None);
        assert_eq!(table.size, 0);
    }
}
