//! The mode `observe` says of everybody what the mode `enforce` would have done, and where the
//! record went all the same.

use std::fs;

use crate::kit::http::{Request, get};
use crate::kit::process::run_to_end;
use crate::kit::setup::Setup;
use crate::kit::{decision, entries_of, eventually};

fn observing() -> (Setup, crate::kit::setup::Backends) {
    let (mut setup, backends) = Setup::recording();
    setup.set(&["mode"], "observe");
    setup.set(&["observe_to"], "sg");
    (setup, backends)
}

#[test]
fn an_entry_names_where_its_flow_went() {
    let (setup, _backends) = observing();
    let router = setup.start();
    let answer = router.put("erika", r#"{"country":"DE"}"#);
    let entry = &entries_of(router.admin, decision(&answer))[0];
    assert_eq!(entry["region"], "eu", "{entry}");
    assert_eq!(entry["reached"], "sg", "{entry}");
    let answer = router.put("nobody", "{}");
    let entry = &entries_of(router.admin, decision(&answer))[0];
    assert_eq!(entry["reached"], "sg", "{entry}");
}

#[test]
fn pins_that_observing_does_not_follow_are_warned_of_at_start_and_reload() {
    let (mut setup, _backends) = Setup::recording();
    let config = setup.write();
    let import = |region: &str, ids: &str| {
        let config = config.to_str().unwrap();
        let arguments = [
            "directory",
            "import",
            "--config",
            config,
            "--region",
            region,
        ];
        let output = run_to_end(&arguments, ids);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
    };
    import("eu", "erika\nanna\n");
    import("sg", "tan\n");
    setup.set(&["mode"], "observe");
    setup.set(&["observe_to"], "sg");
    let said = "people have a home already";
    let mut router = setup.start();
    eventually("the start warns", || {
        router.process.text().contains(said).then_some(())
    });
    assert!(
        router.process.text().contains("pins=3"),
        "{}",
        router.process.text()
    );

    let file = router.folder.path().join("domicile.toml");
    let mut settings: toml::Table = fs::read_to_string(&file).unwrap().parse().unwrap();
    settings.insert("mode".to_owned(), "enforce".into());
    settings.remove("observe_to");
    fs::write(&file, toml::to_string(&settings).unwrap()).unwrap();
    router.restart();
    assert!(!router.process.text().contains(said));
    settings.insert("mode".to_owned(), "observe".into());
    settings.insert("observe_to".to_owned(), "sg".into());
    fs::write(&file, toml::to_string(&settings).unwrap()).unwrap();
    for _ in 0..2 {
        let answer = Request::new("POST", "/-/reload").send(router.admin);
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    eventually("the reload warns", || {
        router.process.text().contains(said).then_some(())
    });
    assert_eq!(router.process.text().matches(said).count(), 1, "once");
    assert_eq!(get(router.admin, "/livez").status, 200);
}
