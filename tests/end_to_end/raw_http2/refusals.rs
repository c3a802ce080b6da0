//! Content that comes, or is on its way, when its request is already refused: it costs nobody else
//! anything (RFC 9113 §5.1).

use super::*;

const CANCEL: u32 = 8;
/// Of SETTINGS.
const ACK: u8 = 1;

/// A connection that reads along, so as to know its window.
struct Caller {
    connection: TcpStream,
    window: i64,
    /// Streams that ended, and with which error.
    over: Vec<(u32, Option<u32>)>,
}

impl Caller {
    fn connect(router: &Router) -> Self {
        let mut connection = connect(router, &[]);
        // Answers may be as long as they like, all together.
        connection
            .write_all(&frame(WINDOW, 0, 0, &[0x40, 0, 0, 0]))
            .unwrap();
        Self {
            connection,
            window: 65_535,
            over: Vec::new(),
        }
    }

    fn send(&mut self, bytes: &[u8]) {
        self.connection.write_all(bytes).unwrap();
    }

    /// DATA, once the connection has room for it. `false`: nothing more is wanted of the stream.
    fn content(&mut self, stream: u32, flags: u8, content: &[u8]) {
        let length = i64::try_from(content.len()).unwrap();
        while self.window < length {
            self.read();
        }
        self.window -= length;
        self.send(&frame(DATA, flags, stream, content));
    }

    /// One frame of the router's.
    fn read(&mut self) {
        let mut head = [0; 9];
        self.connection.read_exact(&mut head).unwrap();
        let [a, b, c, kind, flags, id @ ..] = head;
        let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
        self.connection.read_exact(&mut payload).unwrap();
        let number = || u32::from_be_bytes(payload[..4].try_into().unwrap());
        let stream = u32::from_be_bytes(id);
        match kind {
            GO_AWAY => panic!("{}", String::from_utf8_lossy(&payload)),
            // Until then streams have the window that they begin with.
            SETTINGS if flags & ACK == 0 => self.send(&frame(SETTINGS, ACK, 0, &[])),
            WINDOW if stream == 0 => self.window += i64::from(number()),
            RESET => self.over.push((stream, Some(number()))),
            HEADERS | DATA if flags & END_STREAM != 0 => self.over.push((stream, None)),
            _ => {}
        }
    }

    fn until_over(&mut self, stream: u32) {
        while !self.over.iter().any(|(s, _)| *s == stream) {
            self.read();
        }
    }

    /// The connection serves the next one.
    fn goes_on(&mut self, stream: u32) {
        self.send(&request(stream, &put(&[])));
        self.until_over(stream);
        assert_eq!(self.over.last(), Some(&(stream, None)));
    }
}

fn open(stream: u32) -> Vec<u8> {
    let fields = put(&[(":path", "/nowhere")]);
    frame(HEADERS, END_HEADERS, stream, &block(&fields))
}

/// In rounds: heads, their refusals, and then what was on its way.
fn late(router: &Router, rounds: u32, contents: &[&[u8]], ends: bool) -> Caller {
    const AT_ONCE: u32 = 50;
    let mut caller = Caller::connect(router);
    for round in 0..rounds {
        let streams = (0..AT_ONCE).map(|n| 2 * (round * AT_ONCE + n) + 1);
        for stream in streams.clone() {
            caller.send(&open(stream));
        }
        streams.clone().for_each(|stream| caller.until_over(stream));
        for (at, content) in contents.iter().enumerate() {
            let last = ends && at + 1 == contents.len();
            for stream in streams.clone() {
                caller.content(stream, u8::from(last), content);
            }
        }
    }
    caller.goes_on(2 * rounds * AT_ONCE + 1);
    caller
}

#[test]
fn content_of_refused_requests_is_read_away() {
    let (setup, _backends) = Setup::recording();
    let router = setup.start();
    let caller = late(&router, 30, &[&[b'x'; 16_000][..]; 3], true);
    // They were not even told to stop.
    assert!(caller.over.iter().all(|(_, reset)| reset.is_none()));
}

#[test]
fn more_content_than_is_read_away_is_passed_over() {
    let (setup, _backends) = Setup::recording();
    let router = setup.start();
    let caller = late(&router, 10, &[&[b'x'; 16_000][..]; 8], true);
    let reset = |(_, reset): &&(u32, Option<u32>)| reset.is_some();
    assert_eq!(caller.over.iter().filter(reset).count(), 500);
    // RFC 9113 §8.1: the answer counts all the same.
    assert!(
        caller
            .over
            .iter()
            .all(|(_, reset)| reset.is_none_or(|r| r == 0))
    );
}

#[test]
fn short_frames_of_refused_requests_are_no_flood() {
    let (setup, _backends) = Setup::recording();
    let router = setup.start();
    late(&router, 4, &[&b"0123456789"[..]; 60], true);
}

#[test]
fn empty_frames_of_requests_are_no_flood_unless_there_are_many() {
    let (setup, _backends) = Setup::recording();
    let router = setup.start();
    let mut caller = Caller::connect(&router);
    let void = |stream| frame(DATA, 0, stream, &[]);
    for stream in (1..400).step_by(2) {
        let head = frame(HEADERS, END_HEADERS, stream, &block(&put(&[])));
        match stream {
            // The frame comes by itself.
            1 => {
                caller.send(&head);
                std::thread::sleep(std::time::Duration::from_millis(50));
                caller.send(&void(stream));
                std::thread::sleep(std::time::Duration::from_millis(50));
            }
            _ => caller.send(&[head, void(stream)].concat()),
        }
        caller.content(stream, END_STREAM, GERMAN.as_bytes());
        caller.until_over(stream);
    }
    caller.goes_on(401);
    let flood = [open(1), void(1).repeat(1000)].concat();
    assert_eq!(say(&router, &flood).error, Some(11));
}

/// RFC 9113 §5.4.2: nobody else is to suffer for who reads nothing.
#[test]
fn answers_that_nobody_takes_end_alone() {
    let (mut setup, _backends) = Setup::recording();
    let long = Backend::scripted(|_| Reply::Answer {
        status: 200,
        media: "text/plain",
        body: vec![b'z'; 1 << 20],
    });
    setup.region("eu", long.address);
    setup.set(&["limits", "body_stall"], "1s");
    let router = setup.start();
    let mut caller = Caller::connect(&router);
    for stream in [1, 3] {
        caller.send(&request(stream, &put(&[])));
        caller.until_over(stream);
        assert_eq!(caller.over.last(), Some(&(stream, Some(CANCEL))));
    }
    caller.send(&open(5));
    caller.content(5, END_STREAM, GERMAN.as_bytes());
    caller.until_over(5);
    assert_eq!(caller.over.last(), Some(&(5, None)));
}
