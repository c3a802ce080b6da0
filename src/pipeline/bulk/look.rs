//! Whose document an item of a bulk request is: classify and locate.

use super::{decide::Homes, lanes::Lane};
use crate::{
    classify::{
        ValueSource,
        bulk::{Action, BulkFault, BulkItem, update},
        schema::Classified,
    },
    domain::SubjectKey,
    pipeline::{
        Exchange, Routed, judge,
        person::{self, Person, Traces},
    },
    respond::Refused,
};

/// Finds the person. `homes` are those that earlier items of the request claim.
pub fn look<'l, 'a>(
    x: &Exchange<'_>,
    lane: &'l Lane<'a>,
    item: &BulkItem,
    body: &[u8],
    homes: &Homes,
    traces: &mut Traces,
) -> Result<(&'l Routed<'a>, Person), Refused> {
    let routed = match item.action {
        Action::Delete => &lane.erase,
        Action::Index | Action::Create | Action::Update => &lane.store,
    };
    {
        let mut story = x.story.borrow_mut();
        story.operation = Some(routed.operation);
        if story.route.as_ref() != Some(&routed.route.settings.name) {
            story.route = Some(std::sync::Arc::clone(&routed.route.settings.name));
        }
    }
    let id = item.id(body).filter(|id| !id.is_empty());
    let changes = matches!(item.action, Action::Update | Action::Delete);
    if changes && id.is_none() {
        return Err(Refused::Bulk(BulkFault::NoId));
    }
    let (key, classified) = match item.source(body) {
        None => (subject(x, routed, id.as_deref(), &[])?, None),
        Some(source) => {
            judge::has_length(x, source)?;
            if source.contains(&b'\r') {
                return Err(Refused::Bulk(BulkFault::CarriageReturn));
            }
            let documents = documents(lane, item.action, source)?;
            let key = subject(x, routed, id.as_deref(), &documents)?;
            (key, documents.into_iter().reduce(joined))
        }
    };
    let operation = routed.operation;
    let meanwhile = homes.of(x, &key);
    let meanwhile = meanwhile.as_ref();
    let body = classified.as_ref();
    let person = person::find_of(x, routed, key, body, operation, meanwhile, traces)?;
    Ok((routed, person))
}

/// Both as one record.
fn joined<'b>(mut one: Classified<'b>, other: Classified<'b>) -> Classified<'b> {
    one.join(other);
    one
}

type Documents<'b> = smallvec::SmallVec<[Classified<'b>; 1]>;

/// The documents that the item brings: two in an update that also says what to store anew.
fn documents<'b>(
    lane: &Lane<'_>,
    action: Action,
    source: &'b [u8],
) -> Result<Documents<'b>, Refused> {
    let mut documents = Documents::new();
    if action != Action::Update {
        let mut found = Classified::default();
        let mut alike = lane.alike.borrow_mut();
        judge::classify_alike(&lane.store, source, &mut alike, &mut found)?;
        documents.push(found);
        return Ok(documents);
    }
    let found = update(source).map_err(|f| Refused::Bulk(f.into()))?;
    documents.push(judge::classify(&lane.store, found.doc)?);
    if let Some(upsert) = found.upsert {
        documents.push(judge::classify(&lane.store, upsert)?);
    }
    Ok(documents)
}

fn subject(
    x: &Exchange<'_>,
    routed: &Routed<'_>,
    id: Option<&str>,
    documents: &[Classified<'_>],
) -> Result<SubjectKey, Refused> {
    let route = &routed.route.settings;
    if route.subject == Some(ValueSource::BulkId) {
        let id = id.ok_or(Refused::NoSubject)?;
        let id = person::usable(id.as_bytes())?;
        return Ok(x.worker.shared.hasher.key(&route.namespace, id));
    }
    let mut found = Err(Refused::Bulk(BulkFault::DeleteWithoutSubject));
    for document in documents {
        let own = person::subject(x, routed, Some(document));
        match (&found, own) {
            (Ok(one), Ok(other)) if *one != other => {
                return Err(Refused::Bulk(BulkFault::TwoSubjects));
            }
            (Err(_), own) => found = own,
            (Ok(_), _) => {}
        }
    }
    found
}
