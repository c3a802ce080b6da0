//! Bodies that come compressed (RFC 1952), for formats that read them.

use std::io::Read;

use bytes::Bytes;
use flate2::read::MultiGzDecoder;

use super::{body::BodyFault, memory::Reservation};

/// Bytes that are made before other requests of the worker have their turn.
const TURN: usize = 256 << 10;

/// How many times its length deflate can make of a body at most (RFC 1951).
const RATIO: usize = 1032;

/// Not one or more whole gzip members, or too long.
#[derive(Clone, Copy, Debug)]
pub enum GunzipFault {
    Body(BodyFault),
    Malformed,
}

/// Unpacks a body. Never makes more than `limit` bytes, whatever the body promises.
///
/// # Errors
/// [`BodyFault::TooLong`] beyond `limit`, [`BodyFault::NoRoom`] beyond the memory for bodies.
pub async fn gunzip(body: Bytes, limit: usize, held: &Reservation) -> Result<Bytes, GunzipFault> {
    let room = announced(&body)
        .min(limit)
        .min(body.len().saturating_mul(RATIO));
    held.grow(room).map_err(GunzipFault::Body)?;
    let mut counted = room;
    let mut out = Vec::with_capacity(room);
    let mut decoder = MultiGzDecoder::new(&body[..]);
    loop {
        let before = out.len();
        // One byte beyond the limit is read, so that a body of just the limit ends.
        let most = TURN.min(limit - before + 1);
        let read = (&mut decoder)
            .take(u64::try_from(most).unwrap_or(u64::MAX))
            .read_to_end(&mut out);
        read.map_err(|_| GunzipFault::Malformed)?;
        if out.len() > limit {
            return Err(GunzipFault::Body(BodyFault::TooLong { limit }));
        }
        if out.len() > counted {
            held.grow(out.len() - counted).map_err(GunzipFault::Body)?;
            counted = out.len();
        }
        if out.len() == before {
            return Ok(out.into());
        }
        tokio::task::yield_now().await;
    }
}

/// What the trailer says the length is, modulo 4 GiB: a hint for room, nothing more.
fn announced(body: &[u8]) -> usize {
    let last = body.last_chunk::<4>().copied().unwrap_or_default();
    usize::try_from(u32::from_le_bytes(last)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::{Compression, write::GzEncoder};

    use super::*;

    fn gzip(data: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(data).unwrap();
        encoder.finish().unwrap()
    }

    #[tokio::test]
    async fn whole_members_come_back_and_nothing_else_does() {
        let data: Vec<u8> = (0..=255_u8).cycle().take(1_000_000).collect();
        let packed = gzip(&data);
        let unpacked = gunzip(packed.clone().into(), data.len(), &Reservation::uncounted())
            .await
            .unwrap();
        assert!(unpacked == data);
        let two = [gzip(b"one\n"), gzip(b"two\n")].concat();
        assert_eq!(
            gunzip(two.into(), 100, &Reservation::uncounted())
                .await
                .unwrap(),
            "one\ntwo\n"
        );
        let cut = packed[..packed.len() - 1].to_vec();
        let trailing = [packed.clone(), b"x".to_vec()].concat();
        let mut flipped = packed.clone();
        let at = flipped.len() - 6;
        flipped[at] ^= 1;
        for bad in [cut, trailing, flipped, b"plain".to_vec(), Vec::new()] {
            let read = gunzip(bad.into(), 2_000_000, &Reservation::uncounted()).await;
            assert!(matches!(read, Err(GunzipFault::Malformed)), "{read:?}");
        }
    }

    #[tokio::test]
    async fn a_bomb_stops_at_the_limit() {
        let packed = gzip(&vec![0; 10_000_000]);
        assert!(packed.len() < 20_000);
        let read = gunzip(packed.into(), 1_000_000, &Reservation::uncounted()).await;
        assert!(
            matches!(
                read,
                Err(GunzipFault::Body(BodyFault::TooLong { limit: 1_000_000 }))
            ),
            "{read:?}"
        );
    }
}
