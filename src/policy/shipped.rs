//! The policies that come with the program, so that the demo needs no other file.

use jiff::civil::Date;

/// Law and vocabulary by their path below `policies/`.
pub const LAW: &[(&str, &str)] = &[
    (
        "vocabulary.toml",
        include_str!("../../policies/vocabulary.toml"),
    ),
    ("law/ch.toml", include_str!("../../policies/law/ch.toml")),
    ("law/cn.toml", include_str!("../../policies/law/cn.toml")),
    ("law/eu.toml", include_str!("../../policies/law/eu.toml")),
    ("law/gb.toml", include_str!("../../policies/law/gb.toml")),
    ("law/hk.toml", include_str!("../../policies/law/hk.toml")),
    ("law/in.toml", include_str!("../../policies/law/in.toml")),
    ("law/mo.toml", include_str!("../../policies/law/mo.toml")),
    ("law/ru.toml", include_str!("../../policies/law/ru.toml")),
    ("law/ae.toml", include_str!("../../policies/law/ae.toml")),
    ("law/ar.toml", include_str!("../../policies/law/ar.toml")),
    ("law/au.toml", include_str!("../../policies/law/au.toml")),
    ("law/br.toml", include_str!("../../policies/law/br.toml")),
    ("law/ca.toml", include_str!("../../policies/law/ca.toml")),
    ("law/id.toml", include_str!("../../policies/law/id.toml")),
    ("law/il.toml", include_str!("../../policies/law/il.toml")),
    ("law/jp.toml", include_str!("../../policies/law/jp.toml")),
    ("law/ke.toml", include_str!("../../policies/law/ke.toml")),
    ("law/kr.toml", include_str!("../../policies/law/kr.toml")),
    ("law/kz.toml", include_str!("../../policies/law/kz.toml")),
    ("law/mx.toml", include_str!("../../policies/law/mx.toml")),
    ("law/my.toml", include_str!("../../policies/law/my.toml")),
    ("law/ng.toml", include_str!("../../policies/law/ng.toml")),
    ("law/nz.toml", include_str!("../../policies/law/nz.toml")),
    ("law/ph.toml", include_str!("../../policies/law/ph.toml")),
    ("law/sa.toml", include_str!("../../policies/law/sa.toml")),
    ("law/th.toml", include_str!("../../policies/law/th.toml")),
    ("law/tr.toml", include_str!("../../policies/law/tr.toml")),
    ("law/vn.toml", include_str!("../../policies/law/vn.toml")),
    ("law/za.toml", include_str!("../../policies/law/za.toml")),
    ("law/sg.toml", include_str!("../../policies/law/sg.toml")),
    ("law/tw.toml", include_str!("../../policies/law/tw.toml")),
    ("law/us.toml", include_str!("../../policies/law/us.toml")),
];

/// The demo's settings, with the addresses that the demo replaces.
pub const DEMO_SETTINGS: &str = include_str!("../../policies/examples/demo/domicile.toml");

/// The demo's organisation as it stands in the repository.
pub const DEMO_ORGANISATION: &str = include_str!("../../policies/examples/demo/organisation.toml");

/// The demo's organisation with its dates moved to `today`, so that it never goes stale.
pub fn demo_organisation(today: Date) -> String {
    super::freshen(DEMO_ORGANISATION, today)
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs, path::Path};

    use super::*;

    #[test]
    fn the_demos_dates_move_with_the_day() {
        let marked = DEMO_ORGANISATION.matches("# demo: today ").count();
        assert!(marked >= 4, "{marked}");
        let later = demo_organisation("2031-05-01".parse().unwrap());
        assert!(later.contains("until = 2033-10-17"), "{later}");
    }

    #[test]
    fn every_law_file_is_shipped() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("policies/law");
        let on_disk: BTreeSet<String> = fs::read_dir(folder)
            .expect("the folder stands")
            .map(|e| format!("law/{}", e.expect("readable").file_name().to_string_lossy()))
            .collect();
        let shipped: BTreeSet<String> = LAW
            .iter()
            .map(|(name, _)| (*name).to_owned())
            .filter(|n| n.starts_with("law/"))
            .collect();
        assert_eq!(on_disk, shipped);
    }
}
