use proptest::prelude::*;

use super::*;

/// Keeps what it is told.
#[derive(Default)]
struct Notes<const CLIENT: bool>(Vec<String>);

impl<const CLIENT: bool> Judge for Notes<CLIENT> {
    const OF: Side = match CLIENT {
        true => Side::Client,
        false => Side::Server,
    };

    fn begin(&mut self, stream: u32) -> Result<(), Reason> {
        self.0.push(format!("begin {stream}"));
        Ok(())
    }

    fn field(&mut self, name: &[u8], value: &[u8]) -> bool {
        self.0.push(format!("{name:?} {value:?}"));
        true
    }

    fn end(&mut self, stream: u32, _size: usize, is_last: bool) -> Result<(), Reason> {
        self.0.push(format!("end {stream} {is_last}"));
        Ok(())
    }

    fn content(&mut self, stream: u32, length: usize) -> Result<(), Reason> {
        self.0.push(format!("content {stream} {length}"));
        Ok(())
    }

    fn over(&mut self, stream: u32) {
        self.0.push(format!("over {stream}"));
    }

    fn may_have_content(&self, stream: u32) -> bool {
        stream == 1
    }
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let [_, length @ ..] = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let stream = stream.to_be_bytes();
    [&length[..], &[kind, flags], &stream, payload].concat()
}

fn settings() -> Vec<u8> {
    frame(SETTINGS, 0, 0, &[])
}

/// What is read of bytes that come in pieces of this size, and where the fault is, from the beginning.
fn read<const CLIENT: bool>(bytes: &[u8], size: usize) -> (Vec<String>, Result<(), Reason>) {
    let mut frames = Frames::new(Notes::<CLIENT>::default(), 1000);
    for piece in bytes.chunks(size) {
        if let Err(fault) = frames.read(piece) {
            assert!(fault.at < piece.len());
            return (frames.judge.0, Err(fault.reason));
        }
    }
    (frames.judge.0, Ok(()))
}

/// What comes of a frame after a server's SETTINGS.
fn after_settings(bytes: &[u8]) -> Result<(), Reason> {
    let bytes = [settings(), bytes.to_vec()].concat();
    let whole = read::<false>(&bytes, usize::MAX);
    for size in [1, 2, 5, 9, 10] {
        assert_eq!(read::<false>(&bytes, size), whole, "{size}");
    }
    whole.1
}

#[test]
fn sections_are_put_together_from_their_frames() {
    let padded = [&[3, 0x80, 0, 0, 9, 0, 0x82, 0x86][..], &[0; 3]].concat();
    let bytes = [
        vec![0; PREFACE],
        settings(),
        frame(SETTINGS, ACK, 0, &[]),
        frame(0xbb, 0xff, 7, b"unknown"),
        frame(
            HEADERS,
            PADDED | WITH_PRIORITY | END_HEADERS | END_STREAM,
            1,
            &padded,
        ),
        frame(HEADERS, 0, 0x8000_0003, &[0x82, 0x00, 0x01]),
        frame(CONTINUATION, 0, 3, &[]),
        frame(CONTINUATION, END_HEADERS, 3, b"x\x01y"),
        frame(DATA, PADDED | END_STREAM, 3, &[1, b'd', 0]),
        frame(RST_STREAM, 0, 3, &[0; 4]),
    ]
    .concat();
    let get = format!("{:?} {:?}", b":method", b"GET");
    let http = format!("{:?} {:?}", b":scheme", b"http");
    let x = format!("{:?} {:?}", b"x", b"y");
    let wanted = [
        "begin 1",
        &get,
        &http,
        "end 1 true",
        "begin 3",
        &get,
        &x,
        "end 3 false",
        "content 3 1",
        "over 3",
        "over 3",
    ];
    for size in [1, 2, 7, 100, usize::MAX] {
        let (notes, outcome) = read::<true>(&bytes, size);
        assert_eq!(outcome, Ok(()));
        assert_eq!(notes, wanted, "{size}");
    }
}

#[test]
fn the_first_frame_is_of_settings() {
    for first in [
        frame(SETTINGS, ACK, 0, &[]),
        frame(PING, 0, 0, &[0; 8]),
        frame(HEADERS, END_HEADERS, 1, &[0x82]),
        frame(0xbb, 0, 0, &[]),
    ] {
        assert_eq!(read::<false>(&first, 100).1, Err(Reason::PROTOCOL_ERROR));
    }
}

#[test]
fn frames_that_are_not_sound_are_refused() {
    use Reason as R;
    let open = frame(HEADERS, 0, 1, &[0x82]);
    for (bytes, wanted) in [
        // Sizes (RFC 9113 §4.2 and §6).
        (frame(0xbb, 0, 0, &[0; LARGEST + 1]), R::FRAME_SIZE_ERROR),
        (frame(DATA, PADDED, 1, &[]), R::FRAME_SIZE_ERROR),
        (
            frame(HEADERS, PADDED | END_HEADERS, 1, &[]),
            R::FRAME_SIZE_ERROR,
        ),
        (
            frame(HEADERS, WITH_PRIORITY, 1, &[0; 4]),
            R::FRAME_SIZE_ERROR,
        ),
        (frame(PRIORITY, 0, 1, &[0; 4]), R::FRAME_SIZE_ERROR),
        (frame(RST_STREAM, 0, 1, &[0; 5]), R::FRAME_SIZE_ERROR),
        (frame(SETTINGS, 0, 0, &[0; 5]), R::FRAME_SIZE_ERROR),
        (frame(SETTINGS, ACK, 0, &[0; 6]), R::FRAME_SIZE_ERROR),
        (frame(PING, 0, 0, &[0; 7]), R::FRAME_SIZE_ERROR),
        (frame(GOAWAY, 0, 0, &[0; 7]), R::FRAME_SIZE_ERROR),
        (frame(WINDOW_UPDATE, 0, 0, &[0; 3]), R::FRAME_SIZE_ERROR),
        // Streams.
        (frame(DATA, 0, 0, b"x"), R::PROTOCOL_ERROR),
        (frame(HEADERS, END_HEADERS, 0, &[0x82]), R::PROTOCOL_ERROR),
        (frame(HEADERS, END_HEADERS, 2, &[0x82]), R::PROTOCOL_ERROR),
        (frame(PRIORITY, 0, 0, &[0; 5]), R::PROTOCOL_ERROR),
        (frame(RST_STREAM, 0, 0, &[0; 4]), R::PROTOCOL_ERROR),
        (frame(SETTINGS, 0, 1, &[]), R::PROTOCOL_ERROR),
        (frame(PING, 0, 1, &[0; 8]), R::PROTOCOL_ERROR),
        (frame(GOAWAY, 0, 1, &[0; 8]), R::PROTOCOL_ERROR),
        (
            frame(PUSH_PROMISE, END_HEADERS, 1, &[0, 0, 0, 2, 0x82]),
            R::PROTOCOL_ERROR,
        ),
        // Padding, and a stream that depends on itself.
        (
            frame(HEADERS, PADDED | END_HEADERS, 1, &[2, 0x82]),
            R::PROTOCOL_ERROR,
        ),
        (
            frame(
                HEADERS,
                WITH_PRIORITY | END_HEADERS,
                1,
                &[0x80, 0, 0, 1, 0, 0x82],
            ),
            R::PROTOCOL_ERROR,
        ),
        // Settings.
        (
            frame(SETTINGS, 0, 0, &[0, 4, 0x80, 0, 0, 0]),
            R::FLOW_CONTROL_ERROR,
        ),
        (
            frame(SETTINGS, 0, 0, &[0, 2, 0, 0, 0, 1]),
            R::PROTOCOL_ERROR,
        ),
        // Field sections and what stands between their frames.
        (
            frame(CONTINUATION, END_HEADERS, 1, &[0x82]),
            R::PROTOCOL_ERROR,
        ),
        (
            [&open[..], &frame(CONTINUATION, 0, 3, &[])].concat(),
            R::PROTOCOL_ERROR,
        ),
        (
            [&open[..], &frame(DATA, 0, 1, b"x")].concat(),
            R::PROTOCOL_ERROR,
        ),
        (
            [&open[..], &frame(0xbb, 0, 1, b"x")].concat(),
            R::PROTOCOL_ERROR,
        ),
        (
            [&open[..], &frame(HEADERS, END_HEADERS, 1, &[])].concat(),
            R::PROTOCOL_ERROR,
        ),
        (
            frame(HEADERS, END_HEADERS, 1, &[0x80]),
            R::COMPRESSION_ERROR,
        ),
        (
            frame(HEADERS, END_HEADERS, 1, &[0x00, 0x01]),
            R::COMPRESSION_ERROR,
        ),
        // The table's size changes within the section, at the beginning of a frame.
        (
            [&open[..], &frame(CONTINUATION, END_HEADERS, 1, &[0x20])].concat(),
            R::COMPRESSION_ERROR,
        ),
        // A field without a name: at once, and where h2 would pass over it.
        (
            frame(HEADERS, END_HEADERS, 1, &[0x40, 0x00, 0x01, b'a']),
            R::PROTOCOL_ERROR,
        ),
        (frame(HEADERS, 0, 1, &[0x00, 0x00, 0x00]), R::PROTOCOL_ERROR),
        // One entry of 3000 octets, twice: more than four times the limit.
        (
            frame(
                HEADERS,
                END_HEADERS,
                1,
                &[
                    &[0x40, 0x01, b'x', 0x7f, 0xb9, 0x16][..],
                    &[b'y'; 3000],
                    &[0xbe],
                ]
                .concat(),
            ),
            R::ENHANCE_YOUR_CALM,
        ),
    ] {
        assert_eq!(after_settings(&bytes), Err(wanted), "{bytes:?}");
    }
}

#[test]
fn what_is_sound_passes() {
    for bytes in [
        frame(0xbb, 0xff, 0x8000_0001, &[0; LARGEST]),
        frame(HEADERS, PADDED | END_HEADERS, 1, &[1, 0x82, 0]),
        frame(HEADERS, PADDED | END_HEADERS, 1, &[0, 0x82]),
        frame(PRIORITY, 0, 2, &[0, 0, 0, 1, 0]),
        frame(SETTINGS, 0xfe, 0, &[0, 4, 0x7f, 0xff, 0xff, 0xff]),
        frame(SETTINGS, 0, 0, &[0xff, 0xff, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0]),
        frame(GOAWAY, 0, 0, &[0; 30]),
        frame(WINDOW_UPDATE, 0, 5, &[0, 0, 0, 1]),
    ] {
        assert_eq!(after_settings(&bytes), Ok(()), "{bytes:?}");
    }
}

#[test]
fn a_fault_tells_where_its_frame_begins() {
    let mut frames = Frames::new(Notes::<false>::default(), 1000);
    let bytes = [settings(), settings(), frame(PING, 0, 1, &[0; 8])].concat();
    let (first, second) = bytes.split_at(4);
    assert_eq!(frames.read(first), Ok(()));
    let at = 2 * HEAD - first.len();
    let reason = Reason::PROTOCOL_ERROR;
    assert_eq!(frames.read(second), Err(Fault { reason, at }));
}

fn any_frame() -> impl Strategy<Value = Vec<u8>> {
    let payload = prop::collection::vec(any::<u8>(), 0..12);
    let kind = prop_oneof![3 => Just(HEADERS), 3 => Just(CONTINUATION), 4 => 0u8..11];
    (kind, any::<u8>(), 0u32..6, payload)
        .prop_map(|(kind, flags, stream, payload)| frame(kind, flags, stream, &payload))
}

proptest! {
    #[test]
    fn cuts_change_nothing(
        frames in prop::collection::vec(any_frame(), 0..8),
        size in 1usize..40,
    ) {
        let bytes = [settings(), frames.concat()].concat();
        prop_assert_eq!(read::<false>(&bytes, size), read::<false>(&bytes, usize::MAX));
    }
}

#[test]
fn what_is_amid_is_told_until_its_end() {
    let settings = [0, 0, 0, SETTINGS, 0, 0, 0, 0, 0];
    let mut frames = Frames::new(Notes::<true>::default(), 1000);
    assert!(frames.read(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").is_ok());
    assert!(frames.is_amid(), "no SETTINGS came");
    assert!(frames.read(&settings).is_ok());
    assert!(!frames.is_amid());
    // GET by the static table, as RFC 7541 appendix A has it.
    for (piece, amid, ends) in [
        (&[0, 0, 1][..], true, 1),
        (&[HEADERS, 0, 0, 0, 0, 1], true, 1),
        (&[0x82], true, 1),
        (&[0, 0, 0, CONTINUATION, 0, 0, 0, 0, 1], true, 1),
        (&[0, 0, 0, CONTINUATION, END_HEADERS, 0, 0, 0, 1], false, 2),
        (&[0, 0, 2, DATA, 0, 0, 0, 0, 1, b'a'], false, 2),
        (&[b'b', 0], true, 3),
    ] {
        assert!(frames.read(piece).is_ok());
        assert_eq!((frames.is_amid(), frames.ends()), (amid, ends), "{piece:?}");
    }
}

/// h2 would end the connection for one more, and what is at work on it.
#[test]
fn a_field_section_comes_in_so_many_frames() {
    let section = |continued: usize| {
        [
            vec![0; PREFACE],
            settings(),
            frame(HEADERS, 0, 1, &[0x82]),
            frame(CONTINUATION, 0, 1, &[]).repeat(continued),
            frame(CONTINUATION, END_HEADERS, 1, &[]),
        ]
        .concat()
    };
    let twice = [section(5), section(5).split_off(PREFACE)].concat();
    for size in [1, 9, usize::MAX] {
        assert_eq!(read::<true>(&twice, size).1, Ok(()));
        let more = read::<true>(&section(6), size).1;
        assert_eq!(more, Err(Reason::ENHANCE_YOUR_CALM));
    }
    for (limit, most) in [(0, 5), (64 << 10, 5), (128 << 10, 10), (1 << 20, 80)] {
        assert_eq!(continuations(limit), most, "{limit}");
    }
}

/// What is to be read of frames that come after a server's SETTINGS in one piece.
fn kept(frames: &[Vec<u8>]) -> Vec<u8> {
    let mut reader = Frames::new(Notes::<false>::default(), 1000);
    reader.read(&settings()).unwrap();
    let mut piece = frames.concat();
    reader.read(&piece).unwrap();
    let kept = reader.keep(&mut piece);
    piece.truncate(kept);
    piece
}

#[test]
fn data_that_holds_and_ends_nothing_is_left_out() {
    let void = frame(DATA, 0, 1, &[]);
    for others in [
        &[frame(DATA, 0, 1, b"x")][..],
        &[frame(DATA, END_STREAM, 1, &[])],
        &[frame(DATA, PADDED, 1, &[0])],
        &[frame(DATA, 0, 3, &[]), frame(0xbb, 0, 0, b"unknown")],
        &[frame(PING, 0, 0, &[0; 8]), frame(DATA, 0, 1, b"xyz")],
        &[],
    ] {
        let mixed = |with: &[Vec<u8>]| {
            let each = others
                .iter()
                .flat_map(|other| [with, std::slice::from_ref(other)].concat());
            each.chain(with.to_vec()).collect::<Vec<_>>()
        };
        let voids = [void.clone(), void.clone()];
        assert_eq!(kept(&mixed(&voids)), others.concat(), "{others:?}");
    }
    // A flood of them is h2's to end.
    assert_eq!(kept(&vec![void.clone(); VOID]), b"");
    assert_eq!(kept(&vec![void.clone(); VOID + 3]), void.repeat(3));
    // Of one whose beginning was read, the rest is.
    let mut reader = Frames::new(Notes::<false>::default(), 1000);
    reader
        .read(&[settings(), void[..5].to_vec()].concat())
        .unwrap();
    let mut rest = void[5..].to_vec();
    reader.read(&rest).unwrap();
    assert_eq!(reader.keep(&mut rest), 4);
}
