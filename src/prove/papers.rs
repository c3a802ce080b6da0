//! What papers and promises say, without where they stand: equal words are equal papers.
//!
//! Their own `Debug` tells places too, and a place tells the text of its whole file: marks made of
//! it would differ after a comment, and cost the square of the file. Every field is named here, so
//! a new one cannot be forgotten.

use std::fmt::Debug;

use crate::policy::{Assessment, Instrument, Promise};

pub fn instrument(paper: &Instrument) -> impl Debug + '_ {
    let Instrument {
        id,
        at: _,
        source: _,
        mechanism,
        edition,
        exporters,
        importers,
        exporter_role,
        importer_role,
        countries,
        module,
        categories,
        purposes,
        concluded,
        valid,
        filed_with,
        filed,
        people,
        assessment: own,
        document,
    } = paper;
    (
        (id, mechanism, edition, exporters, importers),
        (exporter_role, importer_role, countries, module),
        (categories, purposes, concluded, valid),
        (filed_with, filed, people, document),
        own.as_ref().map(assessment),
    )
}

pub fn assessment(paper: &Assessment) -> impl Debug + '_ {
    let Assessment {
        id,
        at: _,
        source: _,
        kind,
        valid,
        outcome,
        exporters,
        importers,
        countries,
        categories,
        purposes,
    } = paper;
    (
        (id, kind, valid, outcome, exporters),
        (importers, countries, categories, purposes),
    )
}

pub fn promise(promise: &Promise) -> impl Debug + '_ {
    let Promise {
        rule: _,
        id,
        at: _,
        source_node: _,
        source,
        subjects,
        categories,
        store_only_in,
        read_only_from,
        disclose_only_to,
        never_to,
        recipients_only,
        observe,
    } = promise;
    (
        (id, source, subjects, categories),
        (store_only_in, read_only_from, disclose_only_to, never_to),
        (recipients_only, observe),
    )
}
