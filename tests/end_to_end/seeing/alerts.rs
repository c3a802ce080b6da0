//! Alerts, their cases and their runbook belong together.

use super::text;

const RULES: &str = "deploy/prometheus/rules.yaml";
const CASES: &str = "deploy/prometheus/rules.test.yaml";

/// The text of each alert, by its name.
fn alerts(rules: &str) -> Vec<(&str, &str)> {
    let parts = rules.split("- alert: ").skip(1);
    parts
        .map(|part| part.split_once('\n').unwrap())
        .map(|(name, rest)| (name.trim(), rest))
        .collect()
}

#[test]
fn every_alert_has_a_section_that_helps() {
    let (rules, runbook) = (text(RULES), text("docs/runbook.md"));
    let alerts = alerts(&rules);
    assert!(alerts.len() >= 15, "{}", alerts.len());
    let sections: Vec<(&str, &str)> = runbook
        .split("\n## ")
        .skip(1)
        .map(|part| part.split_once('\n').unwrap())
        .collect();
    for (name, alert) in &alerts {
        let section = sections.iter().find(|(title, _)| title == name);
        let (_, section) = section.unwrap_or_else(|| panic!("docs/runbook.md lacks {name}"));
        for part in ["**Means.**", "**Look first.**", "**Do.**", "**Tell.**"] {
            assert!(section.contains(part), "{name} lacks {part}");
        }
        let link = format!("runbook: docs/runbook.md#{}\n", name.to_lowercase());
        assert!(alert.contains(&link), "{name} leads elsewhere: {alert}");
        let severities = ["critical", "warning", "info"];
        let is = |s: &&str| alert.contains(&format!("severity: {s}\n"));
        assert_eq!(severities.iter().filter(|s| is(s)).count(), 1, "{name}");
        let whom = ["tell: sre\n", "tell: dpo\n"];
        assert_eq!(whom.iter().filter(|w| alert.contains(**w)).count(), 1);
    }
    for (title, _) in sections {
        let known = alerts.iter().any(|(name, _)| *name == title);
        assert!(known, "{title} is no alert (any more)");
    }
}

/// That the cases come out as they say is promtool's to find (`.ci/run`); that there are any, ours.
#[test]
fn every_alert_is_tried_ill_and_well() {
    let (rules, cases) = (text(RULES), text(CASES));
    let tried: Vec<(&str, bool)> = cases
        .split("- alertname: ")
        .skip(1)
        .map(|case| {
            (
                case.lines().next().unwrap().trim(),
                case.contains("exp_labels"),
            )
        })
        .collect();
    for (name, _) in alerts(&rules) {
        for fires in [true, false] {
            let there = tried.contains(&(name, fires));
            assert!(there, "{name} has no case in which it fires: {fires}");
        }
    }
}
