//! The checked policy: all files read, all names resolved, all times kept.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use jiff::civil::Date;

use crate::{
    document::{Faults, Node, Value, Where, suggest},
    domain::{CategoryId, CategorySet, Country, Digest, Place, Regions},
};

use super::{
    breach,
    digest::digest,
    ids,
    instrument::Instrument,
    keep::{Hold, Retention, retain_until},
    law::{Effect, Law},
    observation,
    organisation::{Entity, Organisation, Recipient, twice},
    review,
    sets::{
        EntityId, InstrumentId, LawId, LawSet, MechanismId, OTHER_PURPOSE, PlaceSet, PurposeId,
        RecipientId, RuleId,
    },
    vocabulary::{Mechanism, Names, Vocabulary, Words},
};

/// What is known of a rule wherever it stands: in a law, in a promise, or in this program.
#[derive(Clone, Debug)]
pub struct RuleInfo {
    pub id: Arc<str>,
    pub citation: Arc<str>,
    /// `None` for promises and for the rules of the program.
    pub law: Option<LawId>,
    /// `permit`, `forbid`, `localise`, `promise`.
    pub effect: &'static str,
    pub mechanism: Option<MechanismId>,
    pub review: bool,
    /// Blocks nothing and permits nothing yet; see [`Compiled::shadow`](super::Compiled::shadow).
    pub observed: bool,
}

/// A person of a country without a law file goes to a default home, and nowhere else.
pub const NO_LAW_FILE: RuleId = RuleId(0);
/// No law attaches: refused, since deny is the default.
pub const NO_LAW: RuleId = RuleId(1);
pub const NO_LAW_FILE_NAME: &str = "no-law-file";

/// One policy, checked. Immutable; share it in an `Arc`.
#[derive(Debug)]
pub struct Checked {
    digest: Digest,
    pub(crate) vocabulary: Vocabulary,
    pub(crate) purposes: Names,
    pub(crate) laws: Vec<Law>,
    pub(crate) organisation: Organisation,
    pub(super) rules: Vec<RuleInfo>,
    pub(crate) no_law_file: MechanismId,
    /// Where the settings' regions lie and who runs them; empty until [`Checked::bind`].
    regions: BTreeMap<Arc<str>, (Place, Option<EntityId>)>,
    /// Who reads them.
    reader: Option<EntityId>,
}

/// Reads `dir/vocabulary.toml`, every `dir/law/*.toml` and the organisation file.
///
/// All mistakes go into `faults`; `None` when any is an error. Warnings need a day: see
/// [`Checked::warnings`].
pub fn load(dir: &Path, organisation: &Path, faults: &Faults) -> Option<Checked> {
    let vocabulary = Node::load(&dir.join("vocabulary.toml"), faults);
    let paths = law_files(dir, faults);
    let laws: Vec<Node> = paths.iter().filter_map(|p| Node::load(p, faults)).collect();
    let organisation = Node::load(organisation, faults);
    let vocabulary = vocabulary?;
    let complete = laws.len() == paths.len() && !paths.is_empty();
    match organisation {
        Some(organisation) => check_parts(&vocabulary, &laws, &organisation, complete, faults),
        None => {
            // What the other files say is told all the same, with nobody to apply it to.
            let at = vocabulary.at.clone();
            let nobody = Node {
                at: at.clone(),
                value: Value::Table(Vec::new()),
            };
            let entries = vec![("entities".to_owned(), at.clone(), nobody)];
            let empty = Node {
                at,
                value: Value::Table(entries),
            };
            check_parts(&vocabulary, &laws, &empty, complete, faults).filter(|_| false)
        }
    }
}

/// The `*.toml` under `dir/law` in the order of their names; a folder that cannot be read or
/// holds none is a fault, since no law would refuse anything for the right reason.
pub(crate) fn law_files(dir: &Path, faults: &Faults) -> Vec<PathBuf> {
    let folder = dir.join("law");
    let at = Where::Path(folder.display().to_string());
    let entries = match std::fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(error) => {
            let hint = "a folder of policies holds `vocabulary.toml` and `law/*.toml`";
            let message = format!("cannot read the folder of laws: {error}");
            faults.error_hint(&at, message, hint);
            return Vec::new();
        }
    };
    let mut paths = Vec::new();
    for entry in entries {
        match entry {
            Ok(entry) => paths.push(entry.path()),
            Err(error) => faults.error(&at, format!("cannot read the folder of laws: {error}")),
        }
    }
    paths.sort();
    let (paths, others): (Vec<_>, Vec<_>) = paths
        .into_iter()
        .partition(|p| p.extension().is_some_and(|e| e == "toml"));
    others.iter().for_each(|path| not_read(path, faults));
    if paths.is_empty() {
        let hint = "copy `policies/law` of this program, or the laws of it that concern you";
        faults.error_hint(&at, "no law stands in this folder", hint);
    }
    paths
}

/// A law under another name than `*.toml` forbids nothing: whoever moved it aside shall know. Notes
/// for people, and what is hidden (Kubernetes' `..data`, say), are expected to lie there.
fn not_read(path: &Path, faults: &Faults) {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    if name.starts_with('.') || name.starts_with("README") || name.ends_with(".md") {
        return;
    }
    faults.warning(
        &Where::Path(path.display().to_string()),
        "this is not read: laws are the files `*.toml` of this folder itself",
        Some("give it that ending, or move it elsewhere".to_owned()),
    );
}

/// Checks parsed files: what [`load`] does after reading them.
pub fn check(
    vocabulary: &Node,
    laws: &[Node],
    organisation: &Node,
    faults: &Faults,
) -> Option<Checked> {
    check_parts(vocabulary, laws, organisation, true, faults)
}

/// `complete`: no law file was left out because it cannot be parsed. Names of laws and rules that
/// are then not found are no faults of their own.
fn check_parts(
    vocabulary: &Node,
    laws: &[Node],
    organisation: &Node,
    complete: bool,
    faults: &Faults,
) -> Option<Checked> {
    let words = Vocabulary::read(vocabulary, faults)?;
    let (laws_read, org, purposes) = {
        let names = Words::new(&words);
        let mut read: Vec<(Law, &Node)> = laws
            .iter()
            .filter_map(|n| Some((Law::read(n, &names, faults)?, n)))
            .collect();
        read.sort_by(|a, b| a.0.id.cmp(&b.0.id));
        let org = Organisation::read(organisation, &names, faults);
        (read, org, names.into_purposes())
    };
    let org = org?;
    let files = std::iter::once(("vocabulary", vocabulary))
        .chain(laws_read.iter().map(|(law, node)| (law.id.as_ref(), *node)))
        .chain(std::iter::once(("organisation", organisation)));
    let digest = digest(files);
    let no_law_file = words.mechanism(NO_LAW_FILE_NAME);
    if no_law_file.is_none() {
        faults.error(
            &vocabulary.at,
            format!("the vocabulary lacks the mechanism `{NO_LAW_FILE_NAME}`"),
        );
    }
    let mut checked = Checked {
        digest,
        vocabulary: words,
        purposes,
        laws: laws_read.into_iter().map(|(law, _)| law).collect(),
        organisation: org,
        rules: Vec::new(),
        no_law_file: no_law_file.unwrap_or(MechanismId(u8::MAX)),
        regions: BTreeMap::new(),
        reader: None,
    };
    checked.number_rules(faults);
    checked.accept(complete, faults);
    observation::settle(&mut checked, faults);
    review::errors(&checked, complete, faults);
    (!faults.has_errors()).then_some(checked)
}

impl Checked {
    fn number_rules(&mut self, faults: &Faults) {
        let program = |id: &str, citation: &str, effect, mechanism| RuleInfo {
            id: id.into(),
            citation: citation.into(),
            law: None,
            effect,
            mechanism,
            review: false,
            observed: false,
        };
        let mut rules = vec![
            program(
                NO_LAW_FILE_NAME,
                "organisation.toml [homes] default",
                "permit",
                Some(self.no_law_file),
            ),
            program("no-law-attaches", "deny by default", "forbid", None),
        ];
        if self.laws.len() > LawSet::CAPACITY {
            faults.error(&self.laws_place(), "more than 64 laws");
        }
        let mut next = |info: RuleInfo| {
            rules.push(info);
            u16::try_from(rules.len() - 1).map_or(RuleId(u16::MAX), RuleId)
        };
        for (i, law) in self.laws.iter_mut().enumerate() {
            let id = LawId(u8::try_from(i).unwrap_or(u8::MAX));
            for rule in &mut law.rules {
                rule.number = next(RuleInfo {
                    id: rule.id.clone(),
                    citation: rule.citation.clone(),
                    law: Some(id),
                    effect: rule.effect.as_str(),
                    mechanism: rule.mechanism,
                    review: rule.review,
                    observed: rule.observe,
                });
            }
            law.transfer.rule = next(RuleInfo {
                id: law.transfer.id.clone(),
                citation: law.transfer.citation.clone(),
                law: Some(id),
                effect: "missing",
                mechanism: None,
                review: false,
                observed: false,
            });
            for child in &mut law.children {
                child.rule = next(RuleInfo {
                    id: child.id.clone(),
                    citation: child.citation.clone(),
                    law: Some(id),
                    effect: Effect::Forbid.as_str(),
                    mechanism: None,
                    review: child.review,
                    observed: false,
                });
            }
        }
        for promise in &mut self.organisation.promises {
            promise.rule = next(RuleInfo {
                id: promise.id.clone(),
                citation: promise.source.clone(),
                law: None,
                effect: "promise",
                mechanism: None,
                review: false,
                observed: promise.observe,
            });
        }
        for recipient in &mut self.organisation.recipients {
            recipient.rule = next(RuleInfo {
                id: recipient.id.clone(),
                citation: "organisation.toml [[recipients]]".into(),
                law: None,
                effect: "promise",
                mechanism: None,
                review: false,
                observed: false,
            });
        }
        if rules.len() > usize::from(u16::MAX) {
            faults.error(&self.laws_place(), "more than 65,535 rules");
        }
        self.rules = rules;
        twice(self.laws.iter().map(|l| (&*l.id, &l.at)), "law", faults);
        twice(
            self.laws.iter().flat_map(|l| {
                let rules = l.rules.iter().map(|r| (&*r.id, r.source.place("id")));
                rules.chain(l.children.iter().map(|c| (&*c.id, &c.at)))
            }),
            "rule",
            faults,
        );
        breach::unique(&self.laws, faults);
        ids::one_namespace(&self.laws, &self.organisation, faults);
    }

    fn laws_place(&self) -> Where {
        let first = self.laws.first().map(|l| l.at.clone());
        first.unwrap_or(Where::Path("law".to_owned()))
    }

    /// Marks the unsure rules that the organisation takes as they stand.
    fn accept(&mut self, complete: bool, faults: &Faults) {
        for (name, at) in &self.organisation.accept {
            let mut ages = self.laws.iter_mut().flat_map(|l| l.children.iter_mut());
            if let Some(age) = ages.find(|c| *c.id == **name) {
                age.accepted = age.review;
                continue;
            }
            let mut rules = self.laws.iter_mut().flat_map(|l| l.rules.iter_mut());
            match rules.find(|r| *r.id == **name) {
                // That one needs none is told as a warning: a law pack in which a doubtful rule
                // has become sure must not stop a router.
                Some(rule) => rule.accepted = rule.review,
                None if !complete => {}
                None => {
                    let unsure = self.laws.iter().flat_map(|l| {
                        let rules = l.rules.iter().map(|r| (r.review, r.id.as_ref()));
                        rules.chain(l.children.iter().map(|c| (c.review, c.id.as_ref())))
                    });
                    let unsure = unsure.filter(|(review, _)| *review).map(|(_, id)| id);
                    let hint = suggest(name, unsure)
                        .unwrap_or_else(|| "rules stand in law/*.toml".to_owned());
                    faults.error_hint(at, format!("unknown rule `{name}`"), hint);
                }
            }
        }
    }

    /// Tells the policy where the settings' regions lie; the homes of the organisation must name
    /// these regions only.
    pub fn bind(mut self, regions: &Regions, faults: &Faults) -> Self {
        self.regions = regions
            .iter()
            .map(|(_, r)| (r.name.clone(), (r.place, self.entity(&r.entity))))
            .collect();
        self.reader = regions.location().and_then(|e| self.entity(e));
        for (name, at) in &self.organisation.homes.places {
            if !self.regions.contains_key(name) {
                let hint = suggest(name, self.regions.keys().map(AsRef::as_ref))
                    .unwrap_or_else(|| "regions stand in the settings file".to_owned());
                faults.error_hint(at, format!("unknown region `{name}`"), hint);
            }
        }
        for (_, region) in regions.iter() {
            if self.entity(&region.entity).is_none() {
                let message = format!(
                    "region `{}` is run by `{}`, which is no entity of the organisation",
                    region.name, region.entity
                );
                faults.error(&self.organisation_place(), message);
            }
        }
        self
    }

    fn organisation_place(&self) -> Where {
        let first = self.organisation.entities.iter().next();
        first.map_or(Where::Path("organisation.toml".to_owned()), |(_, e)| {
            e.at.clone()
        })
    }

    /// What an operator should look at on `day`: nothing that stops a load.
    pub fn warnings(&self, day: Date, faults: &Faults) {
        review::warnings(self, day, faults);
    }

    /// The settings' regions and where they lie; none before [`Checked::bind`].
    pub(super) fn regions(&self) -> impl Iterator<Item = (&str, Place)> {
        self.regions
            .iter()
            .map(|(name, (place, _))| (&**name, *place))
    }

    /// Where a region lies that `[homes]` names. Without settings the standard names speak for
    /// themselves: `sg` is Singapore, `eu` all of the EU's territory.
    pub(crate) fn region_places(&self, name: &str, day: Date) -> PlaceSet {
        let mut set = PlaceSet::default();
        if let Some((place, _)) = self.regions.get(name) {
            set.insert(*place);
            return set;
        }
        let upper = name.to_ascii_uppercase();
        if let Some(law) = self.laws.iter().find(|l| *l.id == *upper) {
            return law.territory.on(day, &self.vocabulary.groups);
        }
        if let Ok(country) = Country::new(&upper) {
            set.insert(Place::of(country));
        }
        set
    }

    /// Who runs the default homes; `None`: without settings nobody can tell.
    pub(crate) fn default_entities(&self) -> Option<Vec<EntityId>> {
        let runs = |name: &Arc<str>| self.regions.get(name).and_then(|(_, entity)| *entity);
        let known = !self.regions.is_empty();
        known.then(|| self.homes(None).iter().filter_map(runs).collect())
    }

    /// The entity at the router's location, where there are settings.
    pub(crate) fn reader(&self) -> Option<EntityId> {
        self.reader
    }

    /// SHA-256 over what the files mean; the same for a pure reformat.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    pub fn category(&self, key: &str) -> Option<CategoryId> {
        self.vocabulary.category(key)
    }

    /// The canonical key; `None` for an id of another policy.
    pub fn category_key(&self, id: CategoryId) -> Option<&Arc<str>> {
        self.vocabulary.category_name(id)
    }

    /// Every category with its key, in the order of the vocabulary.
    pub fn categories_all(&self) -> impl Iterator<Item = (CategoryId, &str)> {
        self.vocabulary
            .ids()
            .map(|id| (id, self.vocabulary.category_key(id)))
    }

    /// Categories that make a record one about a person.
    pub fn personal(&self) -> CategorySet {
        self.vocabulary.personal()
    }

    /// The category and all below it.
    pub fn below(&self, id: CategoryId) -> CategorySet {
        self.vocabulary.below(id)
    }

    pub fn entity(&self, id: &str) -> Option<EntityId> {
        self.organisation.entities.find(id)
    }

    pub fn entity_info(&self, id: EntityId) -> Option<&Entity> {
        self.organisation.entities.get(id)
    }

    /// The entity's id as the organisation writes it; empty for an id of another policy.
    pub fn entity_id(&self, id: EntityId) -> &str {
        self.organisation.entities.get(id).map_or("", |e| &e.id)
    }

    pub fn entities(&self) -> impl Iterator<Item = (EntityId, &Entity)> {
        self.organisation.entities.iter()
    }

    pub fn instrument(&self, id: InstrumentId) -> Option<&Instrument> {
        self.organisation.instruments.get(id.index())
    }

    pub fn instruments(&self) -> impl Iterator<Item = (InstrumentId, &Instrument)> {
        self.organisation
            .instruments
            .iter()
            .enumerate()
            .filter_map(|(i, x)| Some((InstrumentId(u16::try_from(i).ok()?), x)))
    }

    pub fn recipient(&self, id: &str) -> Option<RecipientId> {
        let all = &self.organisation.recipients;
        let i = all.iter().position(|r| *r.id == *id)?;
        u16::try_from(i).ok().map(RecipientId)
    }

    pub fn recipient_info(&self, id: RecipientId) -> Option<&Recipient> {
        self.organisation.recipients.get(id.index())
    }

    /// The keys of a set that lie below no other of it: as a file would name them.
    pub fn topmost(&self, set: CategorySet) -> Vec<String> {
        let mut keys: Vec<&str> = set
            .iter()
            .filter_map(|c| self.category_key(c))
            .map(AsRef::as_ref)
            .collect();
        // A key comes before all that lie below it.
        keys.sort_unstable();
        let mut top: Vec<String> = Vec::new();
        for key in keys {
            let under = |above: &String| {
                let rest = key.strip_prefix(above.as_str());
                rest.is_some_and(|rest| rest.starts_with('.'))
            };
            if !top.iter().any(under) {
                top.push(key.to_owned());
            }
        }
        top
    }

    /// The organisation's retention rules, for tables and reports.
    pub fn retention(&self) -> &[Retention] {
        &self.organisation.retention
    }

    /// The last day on which a record of `day` is kept; see [`retain_until`].
    pub fn retain_until(
        &self,
        laws: &[Arc<str>],
        categories: CategorySet,
        day: Date,
    ) -> Option<Date> {
        retain_until(&self.organisation.retention, laws, categories, day)
    }

    pub fn holds(&self) -> &[Hold] {
        &self.organisation.holds
    }

    pub fn purpose(&self, name: &str) -> PurposeId {
        let found = self.purposes.find_purpose(name);
        let found = found.and_then(|i| u16::try_from(i).ok());
        found.map_or(PurposeId::OTHER, PurposeId)
    }

    /// Why a purpose decides nothing, where no file names it.
    pub fn purpose_hint(&self, name: &str) -> Option<String> {
        if self.purposes.find_purpose(name).is_some() {
            return None;
        }
        Some(suggest(name, self.purposes.iter()).unwrap_or_else(|| {
            "entries tell it as `other`; if it is meant, list it under `purposes` in the organisation file"
                .to_owned()
        }))
    }

    /// The purpose as the files write it; `other` of all that none of them names.
    pub fn purpose_name(&self, id: PurposeId) -> Arc<str> {
        let name = self.purposes.get(id.index());
        name.map_or_else(|| OTHER_PURPOSE.into(), Arc::clone)
    }

    pub fn mechanism(&self, id: MechanismId) -> Option<&Mechanism> {
        self.vocabulary.mechanisms.get(id.index())
    }

    pub fn mechanism_key(&self, id: MechanismId) -> &str {
        self.mechanism(id).map_or("", |m| &m.key)
    }

    pub fn laws(&self) -> impl Iterator<Item = (LawId, &Law)> {
        self.laws
            .iter()
            .enumerate()
            .filter_map(|(i, l)| Some((LawId(u8::try_from(i).ok()?), l)))
    }

    pub fn law(&self, id: LawId) -> Option<&Law> {
        self.laws.get(id.index())
    }

    pub fn law_id(&self, id: LawId) -> &str {
        self.law(id).map_or("", |l| &l.id)
    }

    pub fn rule(&self, id: RuleId) -> Option<&RuleInfo> {
        self.rules.get(id.index())
    }

    /// All rules with their ids: two of the program, then those of the laws, then the promises.
    pub fn rules(&self) -> impl Iterator<Item = (RuleId, &RuleInfo)> {
        self.rules
            .iter()
            .enumerate()
            .filter_map(|(i, r)| Some((RuleId(u16::try_from(i).ok()?), r)))
    }

    /// The names in a `[homes]` list for a law id or country; the default list for `None`.
    pub fn homes(&self, key: Option<&str>) -> &[Arc<str>] {
        let homes = &self.organisation.homes;
        match key {
            None => &homes.default,
            Some(key) => homes.by_key.get(key).map_or(&[], Vec::as_slice),
        }
    }
}
