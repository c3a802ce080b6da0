//! What `properties.toml` may say.

use std::fs;

use crate::prove::property::Properties;

fn told(property: &str) -> Result<(), String> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("p.toml");
    let head = "[[property]]\nname = \"p\"\ntext = \"t\"\n";
    fs::write(&path, format!("{head}{property}")).unwrap();
    let read = Properties::load(&path);
    read.map(drop).map_err(|error| error.to_string())
}

#[test]
fn a_property_that_would_hold_of_everything_is_a_mistake() {
    for (property, part) in [
        ("kind = \"only\"\nlaw = \"SG\"", "`mechanisms` or"),
        (
            "kind = \"only\"\nlaw = \"SG\"\nexcept_mechanisms = []",
            "`mechanisms` or",
        ),
        ("kind = \"demands\"\nlaw = \"SG\"", "`assessment`"),
        (
            "kind = \"demands\"\nlaw = \"SG\"\ninstrument = false",
            "`assessment`",
        ),
        (
            "kind = \"refused\"\nlaw = \"CN\"\ncounted_from = 5",
            "the `counter`",
        ),
    ] {
        let error = told(property).expect_err(property);
        assert!(
            error.contains("proves nothing") && error.contains(part),
            "{error}"
        );
    }
    for sound in [
        "kind = \"only\"\nlaw = \"SG\"\nmechanisms = []",
        "kind = \"demands\"\nlaw = \"SG\"\nfiling = true",
    ] {
        assert_eq!(told(sound), Ok(()), "{sound}");
    }
}

/// What is not read does not narrow the property down: it would say less than its words.
#[test]
fn a_parameter_that_the_kind_does_not_read_is_a_mistake() {
    let demands = "kind = \"demands\"\nlaw = \"SG\"\ninstrument = true\n";
    for (property, keys) in [
        (
            format!("{demands}to = [\"US\"]\ncategories = [\"user\"]"),
            "`to`, `categories`",
        ),
        (
            "kind = \"refused\"\nlaw = \"SG\"\nmechanisms = [\"consent\"]".to_owned(),
            "`mechanisms`",
        ),
        (
            "kind = \"only\"\nmechanisms = []\nassessment = \"tia\"".to_owned(),
            "`assessment`",
        ),
        ("kind = \"sure\"\nlaw = \"SG\"".to_owned(), "`law`"),
    ] {
        let error = told(&property).expect_err(&property);
        assert!(error.contains(&format!("does not read {keys}:")), "{error}");
    }
}
