//! Forward: the one door to the regions.
//!
//! Goals: a region is called only with a [`Cleared`](crate::attest::Cleared) permit, and only the
//! region that the permit names; a fault of a backend becomes a fact ([`ForwardError`]) within
//! the limits; a broken answer never looks like a whole one; the caller's bytes go out as they
//! came; the domestic path shares nothing with other workers that it writes to.
//!
//! * [`Upstreams`] holds, for one worker, each region's endpoints, idle connections and seats.
//! * [`Split`] cuts a decided batch into one sub-batch per region, [`Verdicts`] reads what a
//!   region answered to its part, [`BatchBody`] writes the merged answer in the caller's order.
//!
//! Trade-offs, decided here:
//! * **Retries** stay inside the region: another region would be another decision. At most two
//!   extra tries (`tries`), only when no byte was written, or when the method is idempotent, the body can be
//!   replayed, and no byte of an answer came. An answer that took too long is never retried.
//!   A budget for each region (`budget`) keeps a region that fails from being asked three times as much.
//!   What only reads is asked once more, of another endpoint that serves, when it is answered 502, 503
//!   or 504 (`trouble`); if that answers no better, the first answer is passed on.
//! * **Ejection** is passive: three failures in a row put an endpoint aside for a growing time,
//!   after which one request tries it. An answer forgives them once it has come whole, or for long:
//!   heads alone come of servers that break, too. An answer of 500, 502, 503 or 504 is such a failure while another
//!   endpoint serves, and puts at most half of a region's endpoints aside, rounded up. When all
//!   endpoints of a region are aside, the one that is due soonest is tried all the same: a region with one endpoint must work again with the first
//!   request after its repair, and what hangs is bounded by the seats.
//!   Where the settings ask for active checks, an endpoint must also pass those (`check`). If none
//!   does, the checks are what is wrong, perhaps: then those that serve come first.
//! * **Slow answers** that are read whole before anybody is told (batches, bulk, short ones) must
//!   come at 500 bytes a second, as callers' bodies must; those that are streamed need not.
//! * **Seats**: one region may take half of a worker's requests; the rest queue for a short while
//!   and are then refused, so a region that hangs leaves the others room. An answer holds its seat
//!   until its body is read or dropped.
//! * **HTTP/1.1** is spoken by a client of our own (`http1`), whose answers are read from the
//!   connection by whoever reads the body; a connection at rest is watched by its pool's one task.
//! * **HTTP/2** is spoken to a region only where its settings say so. Its requests share few
//!   connections; a stream that the region did not process (refused, or above a `GOAWAY`'s last)
//!   counts as not sent. The beginning of a streamed body is kept for that case (`replay`).
//! * **TLS files that were exchanged** end the use of older connections: what is under way ends
//!   well, and the next request shows the new certificate and believes the new authorities.
//! * **Host** is the endpoint's authority, not the caller's: a storage server may select its
//!   tenant or its signature by it. The caller's stands in `Forwarded`, which admit emits.
//! * **An answer without a length that ends with the connection** (HTTP/1.0 style) cannot be told
//!   from a truncated one; it is passed on as it is (RFC 9112 §6.3, rule 8).
//!
//! Everything here runs where `spawn_local` does (`LocalRuntime`, `LocalSet`) and is `!Send`; only [`SharedHealth`] and
//! [`RegionTally`] are seen by other threads.

mod answer;
mod batch;
mod body;
mod budget;
mod bulk;
mod calm;
mod check;
mod dial;
mod each;
mod elements;
mod endpoint;
mod error;
mod gate;
pub mod harness;
mod health;
pub mod http1;
mod lanes;
mod link;
mod merge;
mod multiplex;
mod pool;
mod region;
mod replay;
mod resolve;
mod slices;
mod sound;
mod tally;
#[cfg(test)]
mod tests;
mod tries;
mod trouble;
mod upstreams;
mod verdicts;
mod wire;

pub use answer::{AnswerBody, AnswerError, AnswerFault};
pub use batch::{Part, Split, SplitError};
pub use body::{BoxError, BoxedStream, Outgoing, OutgoingBody};
pub use bulk::{BulkAnswer, BulkItemAnswer, BulkVerdict, Expected};
pub use check::check;
#[cfg(feature = "otlp")]
pub(crate) use dial::dial;
pub use each::{EachItem, FillError, fill};
pub use endpoint::{Endpoint, EndpointError};
pub use error::{ForwardError, Sent, Unreachable};
pub use gate::Shares;
pub use health::{EndpointReport, EndpointState, SharedHealth};
pub use lanes::join_all;
pub use merge::{BatchBody, ItemAnswer, ItemProblem, ItemWriter, Written, batch_status};
pub use slices::{Framing, Slices};
pub use tally::{RegionTally, Tally};
pub use upstreams::{Secured, SetupError, Upstreams};
pub use verdicts::{NoVerdict, Verdicts, read_off, throw_away};
