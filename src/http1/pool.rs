//! Buffers that the connections of one worker take in turns, so that one which waits holds none.

use std::cell::RefCell;

use bytes::{Buf, Bytes, BytesMut};

/// A read of this size takes most requests at once: a record of 16 KiB with its head, too. What is
/// not written to is no memory.
pub const SIZE: usize = 20 << 10;

/// Larger ones, grown by a large head or body, are not kept.
const LARGEST: usize = 32 << 10;

/// Kept for the next: as many as a busy worker uses at one moment, more would only be memory.
const KEPT: usize = 256;

thread_local! {
    static POOL: RefCell<Vec<BytesMut>> = const { RefCell::new(Vec::new()) };
}

/// An empty buffer with room for [`SIZE`] bytes.
pub fn take() -> BytesMut {
    POOL.with_borrow_mut(Vec::pop)
        .unwrap_or_else(|| BytesMut::with_capacity(SIZE))
}

/// Takes back a buffer whose bytes are not needed any more. One of which somebody still holds a
/// part is let go, and ends with that part, unless what is left of it is long enough.
pub fn give(mut buffer: BytesMut) {
    buffer.clear();
    if buffer.try_reclaim(SIZE) && buffer.capacity() <= LARGEST {
        POOL.with_borrow_mut(|pool| {
            if pool.len() < KEPT {
                pool.push(buffer);
            }
        });
    }
}

/// Takes bytes off the front. A buffer that becomes empty so has all of its room again.
pub fn advance(buffer: &mut BytesMut, count: usize) {
    if count >= buffer.len() {
        buffer.clear();
    } else {
        buffer.advance(count);
    }
}

/// Takes bytes off the front of what is shared. Once there are none, it is let go: an empty piece
/// of a body would hold all of it, for as long as a connection rests.
pub fn pass(data: &mut Bytes, count: usize) {
    if count >= data.len() {
        *data = Bytes::new();
    } else {
        data.advance(count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_comes_round_and_one_that_is_still_read_does_not() {
        let mut buffer = take();
        buffer.extend_from_slice(b"head and body");
        let head = buffer.split_to(4).freeze();
        let place = buffer.as_ptr().wrapping_sub(4);
        drop(head);
        give(buffer);
        let mut again = take();
        assert_eq!((again.as_ptr(), again.len()), (place, 0));
        again.extend_from_slice(b"body");
        let held = again.split_to(4).freeze();
        give(again);
        assert_ne!(take().as_ptr(), place);
        assert_eq!(held, "body");
    }

    #[test]
    fn what_was_taken_off_gives_its_room_back_at_the_end() {
        let mut buffer = take();
        let room = buffer.capacity();
        buffer.extend_from_slice(b"head");
        advance(&mut buffer, 1);
        assert_eq!(buffer.as_ref(), b"ead");
        let mut buffer = take();
        buffer.extend_from_slice(b"head");
        advance(&mut buffer, 4);
        assert_eq!((buffer.len(), buffer.capacity()), (0, room));
    }

    #[test]
    fn what_grew_is_not_kept() {
        give(BytesMut::with_capacity(LARGEST * 2));
        assert!(take().capacity() <= LARGEST);
    }
}
