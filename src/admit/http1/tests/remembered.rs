//! What a connection remembers of its last head changes nothing of what the next one says.

use bytes::BytesMut;

use crate::admit::http1::{
    HeadFault,
    head::{self, Framing, Last},
    scan::Scan,
};

type Said = (Framing, bool, bool, bool);

fn take(last: &mut Last, line: &str, value: &str) -> Result<Said, HeadFault> {
    let host = if line == "Host" { "" } else { "Host: a\r\n" };
    let text = format!("POST /p HTTP/1.1\r\n{host}{line}: {value}\r\nX-A: 1\r\n\r\n");
    let mut bytes = BytesMut::from(text.as_str());
    let head = head::take(&mut Scan::default(), last, &mut bytes, 1 << 10)?.unwrap();
    let (keeps, expects, trailers) = (head.keeps_alive, head.expects_continue, head.takes_trailers);
    Ok((head.framing, keeps, expects, trailers))
}

#[test]
fn a_value_that_decides_is_read_each_time() {
    let lines: [(&str, &[&str]); 6] = [
        ("Host", &["a", "b", "a b", "", "a"]),
        (
            "Connection",
            &["keep-alive", "close", "host", "x-a", "keep-alive"],
        ),
        (
            "Transfer-Encoding",
            &["chunked", "gzip", "gzip, chunked", "chunked"],
        ),
        ("Expect", &["100-continue", "x", "100-Continue", ""]),
        ("TE", &["trailers", "gzip", "trailers", ""]),
        ("Content-Length", &["1", "0", "22", "+1", "", "1"]),
    ];
    for (line, values) in lines {
        let mut last = Last::default();
        let mut said = Vec::new();
        // Twice each, so that one of the same value was remembered.
        for value in values.iter().flat_map(|value| [value, value]) {
            let afresh = take(&mut Last::default(), line, value);
            assert_eq!(take(&mut last, line, value), afresh, "{line}: {value}");
            said.push(afresh);
        }
        assert!(said.iter().any(|s| *s != said[0]), "{line} decides nothing");
    }
}
