//! Purposes are free words; how somebody spells one must not decide.

/// Whether two spellings are one purpose: letter case counts for nothing, and `_` and a blank are `-`.
pub fn same_purpose(a: &str, b: &str) -> bool {
    letters(a).eq(letters(b))
}

fn letters(purpose: &str) -> impl Iterator<Item = char> {
    let plain = |c: char| match c {
        '_' | ' ' => '-',
        c => c,
    };
    purpose
        .trim()
        .chars()
        .flat_map(char::to_lowercase)
        .map(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_and_joints_are_no_difference() {
        for spelt in [
            "missionary-activity",
            "Missionary-Activity",
            "missionary_activity",
            "MISSIONARY ACTIVITY",
            " missionary-activity ",
        ] {
            assert!(same_purpose(spelt, "missionary-activity"), "{spelt}");
        }
        assert!(!same_purpose("missionaryactivity", "missionary-activity"));
        assert!(!same_purpose(
            "missionary-activities",
            "missionary-activity"
        ));
    }
}
