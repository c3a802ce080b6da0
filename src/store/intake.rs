//! Takes in a request's body within bounds of size, time and memory.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body::Body;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::answer::Problem;
use super::files::{Files, Finished};

/// What a body may hold in memory without waiting for its turn.
const SMALL: usize = 1 << 20;
/// What is read and thrown away of a refused body, so that its sender gets to the answer.
const DRAINED: usize = 4 << 20;

/// A body as it arrives.
pub(super) struct Intake<'a> {
    body: &'a mut Incoming,
    stall: Duration,
}

/// A body in memory, and its turn to be there if it is large.
pub(super) struct Gathered {
    pub(super) bytes: Bytes,
    _turn: Option<OwnedSemaphorePermit>,
}

/// A body that is kept, small or large.
pub(super) enum Taken {
    Inline(Bytes),
    File(Finished),
}

impl<'a> Intake<'a> {
    pub(super) fn new(body: &'a mut Incoming, stall: Duration) -> Self {
        Self { body, stall }
    }

    /// The next bytes; trailers are passed over.
    async fn next(&mut self) -> Result<Option<Bytes>, Problem> {
        loop {
            match timeout(self.stall, self.body.frame()).await {
                Err(_) => return Err(Problem::Stalled),
                Ok(None) => return Ok(None),
                Ok(Some(Err(_))) => return Err(Problem::Body("ended before its end")),
                Ok(Some(Ok(frame))) => {
                    if let Ok(data) = frame.into_data() {
                        return Ok(Some(data));
                    }
                }
            }
        }
    }

    /// The whole body, in one piece.
    ///
    /// # Errors
    /// `TooLarge` beyond `max` bytes, before they are read where the length is declared.
    pub(super) async fn gather(
        mut self,
        max: usize,
        turns: &Arc<Semaphore>,
    ) -> Result<Gathered, Problem> {
        let declared = usize::try_from(self.body.size_hint().lower()).unwrap_or(usize::MAX);
        if declared > max {
            return Err(Problem::TooLarge);
        }
        let mut turn = None;
        let mut bytes = Vec::new();
        if declared <= SMALL {
            bytes.reserve_exact(declared);
        }
        while let Some(data) = self.next().await? {
            let length = bytes.len() + data.len();
            if length > max {
                return Err(Problem::TooLarge);
            }
            if length > SMALL && turn.is_none() {
                turn = Arc::clone(turns).acquire_owned().await.ok();
                // A length that was declared and is within bounds spares the growing.
                bytes.reserve_exact(declared.saturating_sub(bytes.len()));
            }
            bytes.extend_from_slice(&data);
        }
        Ok(Gathered {
            bytes: bytes.into(),
            _turn: turn,
        })
    }

    /// The whole body: in memory up to `inline` bytes, beyond that in a file.
    pub(super) async fn take(
        mut self,
        inline: usize,
        max: u64,
        files: &Files,
    ) -> Result<Taken, Problem> {
        if self.body.size_hint().lower() > max {
            return Err(Problem::TooLarge);
        }
        let mut start = Vec::new();
        let over = loop {
            match self.next().await? {
                None => return Ok(Taken::Inline(start.into())),
                Some(data) if start.len() + data.len() > inline => break data,
                Some(data) => start.extend_from_slice(&data),
            }
        };
        let mut file = files.create().await.map_err(cannot_write)?;
        file.append(&start).await.map_err(cannot_write)?;
        drop(start);
        let mut next = Some(over);
        while let Some(data) = next {
            if file.length() + data.len() as u64 > max {
                return Err(Problem::TooLarge);
            }
            file.append(&data).await.map_err(cannot_write)?;
            next = self.next().await?;
        }
        file.finish().await.map(Taken::File).map_err(cannot_write)
    }

    /// Reads on for a little while after a refusal: closing a connection with bytes unread makes
    /// the kernel reset it, and the sender may lose the answer.
    pub(super) async fn drain(mut self) {
        let _ = timeout(Duration::from_secs(1), async {
            let mut drained = 0;
            while drained < DRAINED {
                match self.next().await {
                    Ok(Some(data)) => drained += data.len(),
                    Ok(None) | Err(_) => break,
                }
            }
        })
        .await;
    }
}

fn cannot_write(error: std::io::Error) -> Problem {
    tracing::error!(%error, "the store cannot write a file");
    Problem::CannotWrite
}
