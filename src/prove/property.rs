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
}

impl Properties {
    /// # Errors
    /// A file that cannot be read or has another shape, with line and column.
    pub fn load(path: &Path) -> Result<Self, PropertyError> {
        let read = read_items::<NothingElse, Property>(path, "property");
        let (NothingElse {}, list) = read.map_err(Refused)?;
        Ok(Self { list })
    }
}

impl Property {
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
