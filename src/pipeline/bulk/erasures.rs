//! The erasures of a bulk request, until every holder has confirmed: as those of single requests
//! (`pipeline::erase`), but noted, settled and made durable together.
//!
//! What is erased is known by the document's place (`/people/_doc/7`), whatever path and default
//! index a request has. Nothing is kept for another try until one is needed: the item is then
//! looked at once more.

use std::{
    cell::OnceCell,
    collections::{HashMap, HashSet},
    sync::Arc,
};

use bytes::Bytes;
use http::StatusCode;
use smallvec::SmallVec;

use super::{
    Fate, ItemState, SendState, Verdict,
    decide::{Decided, Homes},
    lanes::Lanes,
    look::look,
    main_of,
    send::{self, Load},
};
use crate::{
    attest::Profile,
    classify::bulk::{Action, split_bulk},
    domain::{EvidenceSet, Operation, RegionId, Regions, SubjectKey},
    forward::{AnswerBody, BulkAnswer, BulkVerdict, Expected},
    message::Response,
    pipeline::{
        Exchange, Flow, Kept,
        erase::{self, Account, Ends, Said},
        overtake,
        person::Traces,
    },
    respond::Refused,
    state::{Address, NewErasure, RowId, Settled},
};

/// One `delete` at one holder.
pub struct Erasing {
    /// Its place in the list of sends.
    pub send: usize,
    pub subject: SubjectKey,
    /// The account ends with it: what the entry that removes the pin says.
    pub ends: Option<(Arc<Profile>, EvidenceSet)>,
}

/// Where an item's erasure is not done.
pub struct Left {
    /// Of the first that failed.
    status: StatusCode,
    regions: SmallVec<[RegionId; 2]>,
    /// All of them are tried again.
    retried: bool,
}

impl Left {
    /// As a single request is told of it.
    pub fn told(&self, regions: &Regions) -> Refused {
        let names = self.regions.iter().map(|r| regions.name(*r).to_owned());
        Refused::ErasureOpen {
            status: self.status,
            unreached: names.collect(),
            retried: self.retried,
        }
    }
}

/// # Errors
/// There are too many open erasures to note those of this request, too, or their log cannot be written
/// at this moment: nothing was sent.
pub fn has_room(x: &Exchange<'_>, decided: &Decided) -> Result<(), Refused> {
    let erasures = &x.worker.shared.erasures;
    let room = match decided.erasing.len() {
        0 => Ok(()),
        erasing => erasures.can_note(erasing),
    };
    room.map_err(|e| erase::state_refused(&e))
}

/// Subjects whose account would end, and of whom the same request brings a record: they stay known.
pub fn brought_again(decided: &Decided) -> HashSet<SubjectKey> {
    if decided.erasing.iter().all(|e| e.ends.is_none()) {
        return HashSet::new();
    }
    let drafts = decided.permits.iter().map(|(_, draft)| draft);
    let written = drafts.filter(|d| d.profile.operation != Operation::Erase);
    written.filter_map(|d| d.subject).collect()
}

/// Where an item's document lies.
pub fn place(x: &Exchange<'_>, lanes: &Lanes<'_>, load: &Load<'_>, item: usize) -> Option<Address> {
    let path = lanes.place(load.items.get(item)?, load.body)?;
    Some(overtake::address_at(x, &path, None))
}

impl SendState {
    /// What the holder says of an erasure. Nothing known is nothing confirmed.
    fn said(&self) -> Said {
        let Ok(status) = StatusCode::from_u16(self.status.get()) else {
            return Said::NotNow;
        };
        match self.is_own.get() {
            true => Said::of(status),
            false => Said::of_part(status),
        }
    }
}

/// Whether a send erases a copy of what its home has refused to erase: then the copy is not asked.
/// The home has answered by then.
pub fn is_refused_at_home(sends: &[SendState], send: &SendState) -> bool {
    let home = (!send.is_main).then(|| main_of(sends, send.item)).flatten();
    home.is_some_and(|home| home.said() == Said::Never)
}

/// What a holder's answer to one line means.
pub async fn said_of(mut answer: Response<AnswerBody>, line: &[u8]) -> Said {
    let items = split_bulk(line, 1).unwrap_or_default();
    let expected = |position: usize| {
        Some(Expected {
            action: Action::Delete,
            id: items.get(position)?.id(line),
        })
    };
    answer.body_mut().keep_pace();
    // One item is never too much, and a `delete` has nothing that an error could quote at length.
    match BulkAnswer::read(answer, (1, 0), expected, |_| true).await {
        Ok(BulkVerdict::Items(answer)) => {
            let told = answer.items().first();
            told.map_or(Said::NotNow, |told| match told.is_error {
                true => Said::of_part(told.status),
                false => Said::of(told.status),
            })
        }
        Ok(BulkVerdict::All(status)) => Said::of_part(status),
        Err(_) => Said::NotNow,
    }
}

/// Erasures that are noted. Dropped before they were settled, those of which nothing is known stay
/// open, and accounts that every holder has erased end: the caller has gone.
pub struct Open<'o, 'x, 'w> {
    x: &'o Exchange<'w>,
    lanes: &'o Lanes<'x>,
    load: &'o Load<'o>,
    states: &'o [ItemState],
    sends: &'o [SendState],
    leaves_home: &'o [RegionId],
    all: Vec<(Erasing, RowId)>,
    is_settled: bool,
}

/// What is behind a request: itself, its routes, its body.
type Asked<'o, 'x, 'w> = (&'o Exchange<'w>, &'o Lanes<'x>, &'o Load<'o>);
/// What was decided: items, sends, regions to which something goes that leaves home.
type Sent<'o> = (&'o [ItemState], &'o [SendState], &'o [RegionId]);

impl<'o, 'x, 'w> Open<'o, 'x, 'w> {
    /// The log may have taken long.
    ///
    /// # Errors
    /// What is in force changed meanwhile: nothing was sent, and nothing of this is open.
    pub fn still_holds(&mut self) -> Result<(), Refused> {
        if self.all.is_empty() {
            return Ok(());
        }
        self.x.still_holds().inspect_err(|_| {
            self.is_settled = true;
            let rows = self.all.iter().map(|(_, row)| (row, Settled::Forgotten));
            self.x.worker.shared.erasures.settle_all(rows);
        })
    }

    /// Writes the erasures into the log, with one write. `again`: subjects whose pins stay.
    ///
    /// # Errors
    /// The log cannot be written: nothing may be sent.
    pub async fn note(
        (x, lanes, load): Asked<'o, 'x, 'w>,
        (states, sends, leaves_home): Sent<'o>,
        erasing: Vec<Erasing>,
        again: &HashSet<SubjectKey>,
    ) -> Result<Self, Refused> {
        let rows = erasing.into_iter().filter_map(|mut erasing| {
            erasing.ends = erasing.ends.filter(|_| !again.contains(&erasing.subject));
            let send = sends.get(erasing.send)?;
            let address = Arc::new(place(x, lanes, load, send.item)?);
            let row = RowId {
                subject: erasing.subject,
                region: x.snapshot.regions.name(send.region).into(),
                record: address.record,
                decision: states.get(send.item)?.decision,
            };
            let lane = lanes.of(load.items.get(send.item)?, load.body).ok()?;
            let route = &lane.erase.route.settings.name;
            Some((erasing, row, address, Arc::clone(route)))
        });
        let rows: Vec<_> = rows.collect();
        let new = rows.iter().map(|(erasing, row, address, route)| {
            let new = NewErasure {
                subject: row.subject,
                address,
                decision: row.decision,
                route: Arc::clone(route),
                since: x.at(),
                ends_pin: erasing.ends.is_some(),
            };
            (new, Arc::clone(&row.region))
        });
        if !rows.is_empty() {
            let noted = x.worker.shared.erasures.note_all(new).await;
            noted.map_err(|e| erase::state_refused(&e))?;
        }
        let all = rows.into_iter().map(|(erasing, row, ..)| (erasing, row));
        Ok(Self {
            x,
            lanes,
            load,
            states,
            sends,
            leaves_home,
            all: all.collect(),
            is_settled: false,
        })
    }

    /// What every holder said is in the sends. What stays open is durable when this returns, and
    /// the pins of accounts that ended are gone.
    ///
    /// # Errors
    /// The log or the ledger cannot be written.
    pub async fn settle(&mut self) -> Result<HashMap<usize, Left>, Refused> {
        let (left, any) = self.settle_now();
        if self.all.is_empty() {
            return Ok(left);
        }
        // Begun before anything is waited for: the caller may go, and the log may not be written.
        let ends = self.end_pins();
        if any {
            erase::sync(self.x).await?;
        }
        // What is to be repeated is listed; the items say what their regions said.
        ends.stand().await?;
        Ok(left)
    }

    /// Begins to remove the pins of accounts that ended.
    fn end_pins(&self) -> Ends {
        let accounts = self.all.iter().filter_map(|(erasing, row)| {
            let (profile, evidence) = erasing.ends.as_ref()?;
            Some(Account {
                key: erasing.subject,
                decision: row.decision,
                profile: Arc::clone(profile),
                evidence: *evidence,
            })
        });
        erase::end_pins(self.x, accounts)
    }

    /// By item what callers are told of; and whether anything stays open.
    fn settle_now(&mut self) -> (HashMap<usize, Left>, bool) {
        self.is_settled = true;
        // Most requests erase nothing, and take no lock here.
        if self.all.is_empty() {
            return (HashMap::new(), false);
        }
        let erasures = &self.x.worker.shared.erasures;
        let rewritten = OnceCell::new();
        let (mut settled, mut open) = (Vec::with_capacity(self.all.len()), Vec::new());
        let mut left: HashMap<usize, Left> = HashMap::new();
        for (erasing, row) in &self.all {
            let Some(send) = self.sends.get(erasing.send) else {
                continue;
            };
            let said = send.said();
            if said == Said::Gone {
                settled.push((row, Settled::Confirmed));
                continue;
            }
            let rewritten = rewritten.get_or_init(|| self.rewritten());
            let place = self.place(send);
            let is_rewritten = place
                .and_then(|place| rewritten.get(&(send.region, place)))
                .is_some_and(|last| *last > erasing.send);
            let is_refused = match send.is_main {
                true => said == Said::Never,
                false => is_refused_at_home(self.sends, send),
            };
            if is_rewritten || is_refused {
                // A later item has put something else there, or it is the home's own word, which
                // the caller gets: nothing that stays open, but for what was open before.
                erasures.keep_pin(erasing.subject);
                settled.push(match is_rewritten {
                    true => (row, Settled::Confirmed),
                    false => (row, Settled::Forgotten),
                });
            } else {
                if said == Said::Never {
                    settled.push((row, Settled::Repeat { refused: None }));
                } else {
                    open.push((erasing, row, send));
                }
                // What would confirm it, said in the item, is not to be told of it.
                let status = StatusCode::from_u16(send.status.get()).ok();
                let status = status.filter(|s| s.as_u16() >= 400 && Said::of(*s) != Said::Gone);
                let status = status.unwrap_or(StatusCode::BAD_GATEWAY);
                self.leave(&mut left, send, status, said != Said::Never);
            }
        }
        let any = !open.is_empty() || !left.is_empty();
        erasures.settle_all(settled);
        let mut has_room = true;
        for (_, row, send) in open {
            let kept = if has_room { self.kept(send, row) } else { None };
            let retried = match kept {
                Some(kept) => {
                    has_room = kept.leave_to(self.x.worker);
                    has_room
                }
                None => {
                    erasures.settle(row, Settled::Repeat { refused: None });
                    false
                }
            };
            if let Some(left) = left.get_mut(&send.item).filter(|_| !retried) {
                left.retried = false;
            }
        }
        (left, any)
    }

    /// Marks what the caller is told: of a copy always, of the home where it said nothing itself.
    fn leave(
        &self,
        left: &mut HashMap<usize, Left>,
        send: &SendState,
        status: StatusCode,
        retried: bool,
    ) {
        let fate = self.states.get(send.item).map(|s| &s.fate);
        let Some(Fate::Sent { verdict, .. }) = fate else {
            return;
        };
        let is_told = matches!(
            verdict.get(),
            Verdict::BulkItemAnswer { .. } | Verdict::All(_)
        );
        if send.is_main && is_told {
            return;
        }
        verdict.set(Verdict::ErasureLeft);
        let left = left.entry(send.item).or_insert_with(|| {
            // What the home has said of itself is not told any more.
            let home = main_of(self.sends, send.item);
            let home = home.filter(|h| is_told && h.said() == Said::NotNow);
            Left {
                status,
                regions: home.map(|h| h.region).into_iter().collect(),
                retried: true,
            }
        });
        left.regions.push(send.region);
        left.retried &= retried;
    }

    fn place(&self, send: &SendState) -> Option<String> {
        self.lanes
            .place(self.load.items.get(send.item)?, self.load.body)
    }

    /// The last send that put a document somewhere, by region and place; one that failed has not.
    fn rewritten(&self) -> HashMap<(RegionId, String), usize> {
        let stores = self.sends.iter().enumerate().filter(|(_, send)| {
            let item = self.load.items.get(send.item);
            let status = send.status.get();
            item.is_some_and(|i| i.action != Action::Delete)
                && (status == 0 || (200..300).contains(&status))
        });
        stores
            .filter_map(|(at, send)| Some(((send.region, self.place(send)?), at)))
            .collect()
    }

    /// The request for one holder alone. `None`: the item cannot be found out about any more.
    fn kept(&self, send: &SendState, row: &RowId) -> Option<Kept> {
        let Load { body, items, .. } = self.load;
        let item = items.get(send.item)?;
        let lane = self.lanes.of(item, body).ok()?;
        let (x, mut traces) = (self.x, Traces::default());
        let found = look(x, lane, item, body, &Homes::default(), &mut traces);
        let (routed, person) = found.ok()?;
        let flow = Flow::new(routed, &person, send.region);
        let leaves_home = self.leaves_home.contains(&send.region);
        let headers = send::headers(x, self.load.parts, row.decision, leaves_home);
        let line: Bytes = [body.get(item.range())?, b"\n"].concat().into();
        let path = self.load.path.clone();
        Some(Kept::new(x, row.clone(), &person, &flow, path, headers).with_line(line))
    }
}

impl Drop for Open<'_, '_, '_> {
    fn drop(&mut self) {
        if !self.is_settled {
            self.settle_now();
            drop(self.end_pins());
        }
    }
}
