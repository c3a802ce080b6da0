//! What must hold of a policy: `properties.toml`, each property named, in words, and of a kind
//! that the program knows how to look for.

use std::path::Path;

use jiff::civil::Date;
use serde::Deserialize;

use crate::{
    document::{Refused, read_items},
    domain::{GroundKind, Operation, Place},
    policy::AssessmentKind,
};

#[derive(Clone, Debug)]
pub struct Properties {
    pub list: Vec<Property>,
}

/// Beside its properties the file says nothing.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NothingElse {}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Property {
    pub name: String,
    pub text: String,
    pub kind: Kind,
    /// The law that the property is about; without it every law.
    #[serde(default)]
    pub law: Option<String>,
    /// The law may be absent: the property is about an optional pack.
    #[serde(default)]
    pub optional: bool,
    #[serde(flatten)]
    pub about: About,
}

/// The flows that a property is about: all that is said must hold.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct About {
    pub since: Option<Date>,
    pub until: Option<Date>,
    pub operations: Option<Vec<Operation>>,
    /// Of the law's people by citizenship, wherever they live; by residence.
    pub citizen: Option<bool>,
    pub person: Option<bool>,
    /// The destination is outside (inside) the law's territory.
    pub outside: Option<bool>,
    /// The origin is outside (inside) it.
    pub from_outside: Option<bool>,
    /// The destination is one of these.
    pub to: Option<Vec<Place>>,
    pub to_except: Option<Vec<Place>>,
    /// Some category of the record is one of these, or below one.
    pub categories: Option<Vec<String>>,
    /// No category is, or may be, one of these.
    pub without: Option<Vec<String>>,
    /// Nothing says that the person is a child.
    pub adult: Option<bool>,
    /// Known to be younger.
    pub below_age: Option<u16>,
    /// Attributes: the end has one of these, or none.
    pub exporter: Option<Vec<String>>,
    pub importer: Option<Vec<String>>,
    pub except_exporters: Option<Vec<String>>,
    pub except_importers: Option<Vec<String>>,
    /// None of these grounds is asserted.
    pub except_grounds: Option<Vec<GroundKind>>,
    /// No consent of this sort stands.
    pub except_consents: Option<Vec<crate::domain::ConsentKind>>,
    /// A foreign authority's order that nobody at home has approved.
    pub unapproved_order: Option<bool>,
    /// No copy lies at home yet.
    pub not_at_home: Option<bool>,
    /// With this one counter at least here (`cn.ordinary`).
    pub counter: Option<String>,
    pub counted_from: Option<u64>,
    pub counted_below: Option<u64>,
    /// `only`: nothing else permits. `demands`: the mechanisms it is about (without: all that
    /// cross the border).
    pub mechanisms: Option<Vec<String>>,
    pub except_mechanisms: Option<Vec<String>>,
    /// `demands`.
    pub assessment: Option<String>,
    pub instrument: Option<bool>,
    pub filing: Option<bool>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A flow for which nothing can be shown is refused.
    DenyByDefault,
    /// What is permitted with the promises is permitted without them.
    PromisesOnlyRefuse,
    /// A record with one category more is not permitted where the smaller one is refused.
    CategoriesOnlyRefuse,
    /// A person under one law more is not.
    LawsOnlyRefuse,
    /// A prohibition more permits nothing.
    ProhibitionsOnlyRefuse,
    /// Every permit names mechanism and citation.
    Grounded,
    /// No instrument permits outside its days.
    InDate,
    /// No permit without a law's finding.
    NotVacuous,
    /// A withdrawn consent is as none.
    WithdrawnIsNone,
    /// A permit rests on no unsure rule that nobody accepted.
    Sure,
    /// The law permits nothing of this.
    Refused,
    /// The law permits of this only by these mechanisms.
    Only,
    /// The law permits all of this, where the organisation's papers play no part.
    Permitted,
    /// Permits by these mechanisms demand this.
    Demands,
}

#[derive(Debug, thiserror::Error)]
pub enum PropertyError {
    #[error(transparent)]
    File(#[from] Refused),
    #[error("property `{property}`: unknown {what} `{name}`")]
    Unknown {
        property: String,
        what: &'static str,
        name: String,
    },
    #[error("property `{property}` proves nothing as it stands: kind `{kind}` needs {needs}")]
    Vacuous {
        property: String,
        kind: &'static str,
        needs: &'static str,
    },
    #[error(
        "property `{property}`: kind `{kind}` does not read {}: take it out, or choose another kind", quoted(.keys)
    )]
    Unread {
        property: String,
        kind: &'static str,
        keys: Vec<&'static str>,
    },
}

fn quoted(keys: &[&str]) -> String {
    let all: Vec<String> = keys.iter().map(|key| format!("`{key}`")).collect();
    all.join(", ")
}

impl Properties {
    /// # Errors
    /// A file that cannot be read or has another shape, with line and column; a property that holds of
    /// everything, or says what its kind does not ask.
    pub fn load(path: &Path) -> Result<Self, PropertyError> {
        let read = read_items::<NothingElse, Property>(path, "property");
        let (NothingElse {}, list) = read.map_err(Refused)?;
        list.iter().try_for_each(Property::check)?;
        Ok(Self { list })
    }
}

impl Kind {
    fn as_str(self) -> &'static str {
        match self {
            Self::DenyByDefault => "deny-by-default",
            Self::PromisesOnlyRefuse => "promises-only-refuse",
            Self::CategoriesOnlyRefuse => "categories-only-refuse",
            Self::LawsOnlyRefuse => "laws-only-refuse",
            Self::ProhibitionsOnlyRefuse => "prohibitions-only-refuse",
            Self::Grounded => "grounded",
            Self::InDate => "in-date",
            Self::NotVacuous => "not-vacuous",
            Self::WithdrawnIsNone => "withdrawn-is-none",
            Self::Sure => "sure",
            Self::Refused => "refused",
            Self::Only => "only",
            Self::Permitted => "permitted",
            Self::Demands => "demands",
        }
    }

    /// Whether a property of this kind reads a parameter.
    fn reads(self, key: &str) -> bool {
        let days = matches!(key, "since" | "until");
        let mechanisms = matches!(key, "mechanisms" | "except_mechanisms");
        let demanded = matches!(key, "assessment" | "instrument" | "filing");
        match self {
            Self::Refused | Self::Permitted => !mechanisms && !demanded,
            Self::Only => !demanded,
            Self::Demands => days || mechanisms || demanded || key == "operations",
            // Of every flow of every law.
            Self::DenyByDefault
            | Self::PromisesOnlyRefuse
            | Self::CategoriesOnlyRefuse
            | Self::LawsOnlyRefuse
            | Self::ProhibitionsOnlyRefuse
            | Self::Grounded
            | Self::InDate
            | Self::NotVacuous
            | Self::WithdrawnIsNone
            | Self::Sure => false,
        }
    }

    /// Whether it can be about one law.
    fn is_of_a_law(self) -> bool {
        self.reads("since")
    }
}

impl About {
    /// The parameters that are given.
    fn given(&self) -> impl Iterator<Item = &'static str> {
        let Self {
            since,
            until,
            operations,
            citizen,
            person,
            outside,
            from_outside,
            to,
            to_except,
            categories,
            without,
            adult,
            below_age,
            exporter,
            importer,
            except_exporters,
            except_importers,
            except_grounds,
            except_consents,
            unapproved_order,
            not_at_home,
            counter,
            counted_from,
            counted_below,
            mechanisms,
            except_mechanisms,
            assessment,
            instrument,
            filing,
        } = self;
        let all = [
            ("since", since.is_some()),
            ("until", until.is_some()),
            ("operations", operations.is_some()),
            ("citizen", citizen.is_some()),
            ("person", person.is_some()),
            ("outside", outside.is_some()),
            ("from_outside", from_outside.is_some()),
            ("to", to.is_some()),
            ("to_except", to_except.is_some()),
            ("categories", categories.is_some()),
            ("without", without.is_some()),
            ("adult", adult.is_some()),
            ("below_age", below_age.is_some()),
            ("exporter", exporter.is_some()),
            ("importer", importer.is_some()),
            ("except_exporters", except_exporters.is_some()),
            ("except_importers", except_importers.is_some()),
            ("except_grounds", except_grounds.is_some()),
            ("except_consents", except_consents.is_some()),
            ("unapproved_order", unapproved_order.is_some()),
            ("not_at_home", not_at_home.is_some()),
            ("counter", counter.is_some()),
            ("counted_from", counted_from.is_some()),
            ("counted_below", counted_below.is_some()),
            ("mechanisms", mechanisms.is_some()),
            ("except_mechanisms", except_mechanisms.is_some()),
            ("assessment", assessment.is_some()),
            ("instrument", instrument.is_some()),
            ("filing", filing.is_some()),
        ];
        all.into_iter().filter_map(|(key, is)| is.then_some(key))
    }
}

impl Property {
    /// Whether it asks for something, and says nothing that its kind does not read: else it would
    /// hold, and prove less than its words say.
    fn check(&self) -> Result<(), PropertyError> {
        let about = &self.about;
        let kind = self.kind.as_str();
        let of_law = [("law", self.law.is_some()), ("optional", self.optional)];
        let of_law = of_law.into_iter().filter(|_| !self.kind.is_of_a_law());
        let mut unread: Vec<&'static str> = of_law.filter_map(|(k, is)| is.then_some(k)).collect();
        unread.extend(about.given().filter(|key| !self.kind.reads(key)));
        let edges = about.counted_from.is_some() || about.counted_below.is_some();
        let except = about.except_mechanisms.as_ref();
        let needs = match self.kind {
            Kind::Only if about.mechanisms.is_none() && except.is_none_or(Vec::is_empty) => {
                Some("`mechanisms` or `except_mechanisms`")
            }
            Kind::Demands
                if about.assessment.is_none()
                    && about.instrument != Some(true)
                    && about.filing != Some(true) =>
            {
                Some("`assessment`, `instrument = true` or `filing = true`")
            }
            _ if edges && about.counter.is_none() => Some("the `counter` of its edges"),
            _ => None,
        };
        let property = self.name.clone();
        match needs {
            _ if !unread.is_empty() => Err(PropertyError::Unread {
                property,
                kind,
                keys: unread,
            }),
            Some(needs) => Err(PropertyError::Vacuous {
                property,
                kind,
                needs,
            }),
            None => Ok(()),
        }
    }

    pub fn assessment(&self) -> Result<Option<AssessmentKind>, PropertyError> {
        let Some(name) = &self.about.assessment else {
            return Ok(None);
        };
        let found = AssessmentKind::TABLE.into_iter().find(|(n, _)| n == name);
        found
            .map(|(_, kind)| Some(kind))
            .ok_or_else(|| self.unknown("kind of assessment", name))
    }

    pub fn unknown(&self, what: &'static str, name: &str) -> PropertyError {
        PropertyError::Unknown {
            property: self.name.clone(),
            what,
            name: name.to_owned(),
        }
    }

    /// Whether there must be flows that it is about: it names a law, and asks for nothing that the
    /// organisation may lack.
    pub fn must_concern(&self) -> bool {
        let about = &self.about;
        self.law.is_some() && !self.optional && about.exporter.is_none() && about.importer.is_none()
    }

    pub fn covers_day(&self, day: Date) -> bool {
        self.about.since.is_none_or(|s| s <= day) && self.about.until.is_none_or(|u| day <= u)
    }
}
