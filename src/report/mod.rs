//! Reports from the ledger: what a data protection officer shows to an authority, a person or a
//! lawyer.
//!
//! One pass over the entries folds them into rows ([`flows`]), in memory that does not grow with
//! the ledger, and verifies the ledger as it goes ([`Reading`]): a report of one that is not what
//! was written says so before anything else. What is found then becomes JSON, or a [`sheet`] for
//! the renderers of text, CSV and HTML, which know nothing of ledgers.
//!
//! Nothing here writes, holds a lock or waits for a router.

mod citations;
mod deadlines;
mod flows;
mod incident;
mod instruments;
mod json;
mod people;
mod reading;
mod recent;
mod region;
mod register;
pub mod render;
mod scope;
mod sheet;
mod span;
mod subject;
mod transfers;
mod words;

pub use citations::Citations;
pub use flows::{ReportError, Row, Sort};
pub use incident::{Hit, Incident};
pub use instruments::{Instruments, Used};
pub use people::People;
pub use reading::Reading;
pub use region::Region;
pub use register::Register;
pub use scope::Scope;
pub use sheet::{Sheet, Table};
pub use span::{Span, SpanError};
pub use subject::{Held, Subject, Who};
pub use transfers::{Asked, Transfers};
