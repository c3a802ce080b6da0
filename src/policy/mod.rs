//! What is allowed, as files say it: text → checked → compiled, each its own type.
//!
//! Law is data. This module knows parties, instruments, assessments, consents, grounds, counts,
//! localisation and the order of copies, and no country's name; the files under `law/` say which
//! law uses what. Only [`Compiled`], the form for one instant, is asked for decisions.

mod breach;
mod certainty;
mod checked;
mod child;
mod compile;
mod condition;
mod counter;
mod days;
mod demo;
mod digest;
mod facts;
mod ids;
mod instrument;
mod keep;
mod law;
mod observation;
mod organisation;
mod parties;
mod places;
mod read;
mod review;
mod sets;
pub mod shipped;
mod signed;
mod vocabulary;

pub use breach::{Breach, Starts, Told};
pub(crate) use checked::law_files;
pub use checked::{Checked, NO_LAW, NO_LAW_FILE, RuleInfo, check, load};
pub use compile::Compiled;
pub(crate) use compile::{ActiveRule, LawTable, RuleMask, Usable};
pub(crate) use condition::{CountTest, FilingNeed, GROUNDS, Need, Unless, When};
pub use counter::{Counted, Counter, Thresholds, Window};
pub(crate) use days::filing_edges;
pub(crate) use days::{day_in, filing_holds, start_of};
pub use demo::freshen;
pub(crate) use digest::meaning;
pub(crate) use facts::{Facts, Flag, Left, Test};
pub use instrument::{Assessment, AssessmentKind, AssessmentOutcome, Document, Filing, Instrument};
pub use keep::{Hold, Retention, retain_until};
pub(crate) use law::Shape;
pub use law::{Copies, Effect, Law, Rule};
pub use organisation::{ConsentAsked, Entity, Organisation, Promise, Recipient, Unlisted};
pub(crate) use review::samples;
pub use sets::{
    AttributeId, AttributeSet, CounterId, CountrySet, EntityId, InstrumentId, Interval, LawId,
    LawSet, MechanismId, PlaceSet, PromiseId, PurposeId, RecipientId, RuleId,
};
pub(crate) use signed::suits;
pub use vocabulary::Mechanism;
