//! `domicile policy …` as scripts and people use it: exit codes, JSON, mistakes of every kind, and
//! the same bytes wherever it runs.

use std::fs;
use std::path::Path;
use std::process::{Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use super::kit::process::{domicile, run_to_end};
use super::kit::setup::Setup;
use super::newcomer::commands::QUESTION;

const SHIPPED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/policies");
const ORGANISATION: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/policies/examples/demo/organisation.toml"
);

/// A copy of the shipped vocabulary and the laws that are asked for, with the demo's organisation.
fn copy(laws: &[&str]) -> TempDir {
    let folder = TempDir::new().unwrap();
    fs::create_dir(folder.path().join("law")).unwrap();
    // What the demo's organisation accepts stands in these two.
    let accepted = if laws.is_empty() {
        &[][..]
    } else {
        &["kz", "vn"]
    };
    for law in laws.iter().chain(accepted) {
        let name = format!("law/{law}.toml");
        fs::copy(Path::new(SHIPPED).join(&name), folder.path().join(&name)).unwrap();
    }
    let vocabulary = Path::new(SHIPPED).join("vocabulary.toml");
    fs::copy(vocabulary, folder.path().join("vocabulary.toml")).unwrap();
    fs::copy(ORGANISATION, folder.path().join("organisation.toml")).unwrap();
    folder
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Exit 2, no panic; what was said on both streams.
fn refused(output: &Output) -> String {
    let said = text(&output.stdout) + &text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(!said.contains("panicked"), "{said}");
    said
}

#[test]
fn the_same_question_gives_the_same_bytes_everywhere() {
    let question = TempDir::new().unwrap();
    fs::write(question.path().join("q.json"), QUESTION).unwrap();
    let input = question.path().join("q.json");
    let elsewhere = TempDir::new().unwrap();
    // The same policy, written by another editor.
    let rewritten = copy(&[]);
    for entry in fs::read_dir(Path::new(SHIPPED).join("law")).unwrap() {
        let path = entry.unwrap().path();
        let windows = fs::read_to_string(&path).unwrap().replace('\n', "\r\n");
        let to = rewritten.path().join("law").join(path.file_name().unwrap());
        fs::write(to, format!("\u{feff}{windows}")).unwrap();
    }
    let mut answers = Vec::new();
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (zone, locale, folder, policies) in [
        ("UTC", "C", own, "policies"),
        ("Asia/Tokyo", "tr_TR.UTF-8", own, "./policies"),
        ("America/New_York", "de_DE.UTF-8", elsewhere.path(), SHIPPED),
        ("Pacific/Kiritimati", "ar_SA", elsewhere.path(), SHIPPED),
        (
            "Nowhere/Atall",
            "zh_CN.GB18030",
            own,
            rewritten.path().to_str().unwrap(),
        ),
    ] {
        for form in [&["--json"][..], &[]] {
            let output = domicile()
                .args(["policy", "explain", "--policies", policies])
                .args(["--organisation", ORGANISATION, "--input"])
                .arg(&input)
                .args(form)
                .current_dir(folder)
                .env("TZ", zone)
                .env("LANG", locale)
                .env("LC_ALL", locale)
                .stdin(Stdio::null())
                .output()
                .unwrap();
            assert_eq!(output.status.code(), Some(0), "{zone}: {output:?}");
            answers.push((form.len(), text(&output.stdout)));
        }
    }
    for json in [0, 1] {
        let mut of_form = answers.iter().filter(|(f, _)| *f == json).map(|(_, a)| a);
        let first = of_form.next().unwrap();
        assert!(of_form.all(|a| a == first), "{answers:#?}");
    }
}

#[test]
fn every_tool_tells_mistakes_with_their_place_for_people_and_as_json() {
    let folder = copy(&["eu", "sg"]);
    let organisation = folder.path().join("organisation.toml");
    let sound = fs::read_to_string(&organisation).unwrap();
    let line = sound.lines().count() + 1;
    fs::write(
        &organisation,
        format!("{}\n[[holds]]\nidd = \"x\"\n", sound.trim_end()),
    )
    .unwrap();
    let dir = folder.path().to_str().unwrap();
    let properties = format!("{SHIPPED}/properties.toml");
    let tests = format!("{SHIPPED}/tests");
    let own = organisation.to_str().unwrap();
    let tools: [Vec<&str>; 6] = [
        vec!["check", "--policies", dir],
        vec!["explain", "--policies", dir, "--input", "-"],
        vec!["matrix", "--policies", dir, "--organisation", own],
        vec!["test", "--policies", dir, "--cases", &tests],
        vec!["prove", "--policies", dir, "--properties", &properties],
        vec!["diff", SHIPPED, dir, "--organisation", own],
    ];
    for tool in tools {
        let plain = [&["policy"], tool.as_slice()].concat();
        // The cases name organisations of their own, which are sound where these laws are not all.
        let said = refused(&run_to_end(&plain, QUESTION));
        let json = refused(&run_to_end(
            &[plain.as_slice(), &["--json"]].concat(),
            QUESTION,
        ));
        let told: Value = serde_json::from_str(json.lines().next().unwrap_or_default())
            .unwrap_or_else(|e| panic!("{tool:?}: {e}: {json}"));
        let faults = told["faults"].as_array().unwrap();
        assert!(!faults.is_empty() && told["policy"].is_null(), "{told}");
        for fault in faults {
            assert!(
                fault["line"].is_u64() && fault["column"].is_u64(),
                "{fault}"
            );
            for key in ["severity", "file", "message", "hint", "also"] {
                assert!(fault.get(key).is_some(), "{key}: {fault}");
            }
        }
        if tool[0] == "test" {
            continue;
        }
        for place in [
            format!("organisation.toml:{line}:1"),
            format!("organisation.toml:{}:1", line + 1),
        ] {
            assert!(said.contains(&place), "{place} in {said}");
        }
        assert!(said.contains("did you mean `id`?"), "{said}");
        assert_eq!(faults.len(), 3, "{told}");
    }
}

#[test]
fn mistakes_in_several_files_are_told_in_one_run() {
    let folder = copy(&["eu", "sg", "cn"]);
    let at = |name: &str| folder.path().join(name);
    fs::write(at("law/eu.toml"), "id = \"EU\"\nname = = 1\n[[permit]\n").unwrap();
    let sg = fs::read_to_string(at("law/sg.toml")).unwrap();
    fs::write(
        at("law/sg.toml"),
        format!("oddd = 1\n{sg}\n[[permit]]\nid = \"x\"\n"),
    )
    .unwrap();
    fs::write(at("law/cn.toml"), b"id = \"CN\"\nname = \"\xff\"\n").unwrap();
    fs::write(
        at("organisation.toml"),
        "[entities.a]\ncountry = \"UK\"\n[homes]\nEU = [\"eu\"]\n",
    )
    .unwrap();
    let output = run_to_end(
        &[
            "policy",
            "check",
            "--policies",
            folder.path().to_str().unwrap(),
        ],
        "",
    );
    let said = refused(&output);
    for words in [
        "eu.toml:2:8",
        "eu.toml:3:",
        "sg.toml:1:1",
        "unknown key `oddd`",
        "missing key `mechanism`",
        "cn.toml:2:9",
        "not UTF-8",
        "organisation.toml:2:11",
        "did you mean `GB`?",
    ] {
        assert!(said.contains(words), "{words} in {said}");
    }
    // A law that cannot be parsed is not said to be missing, too.
    assert!(!said.contains("`EU` is neither"), "{said}");
    // A broken organisation hides nothing of the laws.
    fs::write(at("organisation.toml"), "[entities\n").unwrap();
    let output = run_to_end(
        &[
            "policy",
            "check",
            "--policies",
            folder.path().to_str().unwrap(),
        ],
        "",
    );
    let said = refused(&output);
    assert!(
        said.contains("organisation.toml:1:") && said.contains("unknown key `oddd`"),
        "{said}"
    );
}

#[test]
fn files_that_are_none_are_refused_with_a_reason() {
    let check = |folder: &TempDir| {
        let dir = folder.path().to_str().unwrap();
        refused(&run_to_end(&["policy", "check", "--policies", dir], ""))
    };
    let folder = copy(&[]);
    assert!(check(&folder).contains("no law stands in this folder"));
    fs::remove_dir(folder.path().join("law")).unwrap();
    assert!(check(&folder).contains("cannot read the folder of laws"));
    let folder = copy(&["sg"]);
    let organisation = folder.path().join("organisation.toml");
    let said = |bytes: &[u8]| {
        fs::write(&organisation, bytes).unwrap();
        check(&folder)
    };
    assert!(said(b"").contains("missing key `entities`"));
    assert!(said(b"\0").contains("organisation.toml:1:1"));
    assert!(said(b"\xff\xfe[\0").contains("organisation.toml:1:1"));
    assert!(said("a = [".repeat(5000).as_bytes()).contains("organisation.toml:1:"));
    let large = vec![b'#'; (16 << 20) + 1];
    assert!(said(&large).contains("larger than 16 MiB"));
    fs::remove_file(&organisation).unwrap();
    fs::create_dir(&organisation).unwrap();
    assert!(check(&folder).contains("this is a folder, not a file"));
    #[cfg(unix)]
    {
        fs::remove_dir(&organisation).unwrap();
        std::os::unix::fs::symlink(&organisation, &organisation).unwrap();
        assert!(check(&folder).contains("cannot read the file"));
        fs::remove_file(&organisation).unwrap();
        fs::copy(ORGANISATION, &organisation).unwrap();
        std::os::unix::fs::symlink("nowhere", folder.path().join("law/xx.toml")).unwrap();
        assert!(check(&folder).contains("no such file"));
    }
}

#[test]
fn a_question_that_cannot_be_put_is_told_at_its_place() {
    let ask = |question: &str, more: &[&str]| {
        let files = [
            "policy",
            "explain",
            "--policies",
            SHIPPED,
            "--organisation",
            ORGANISATION,
        ];
        let arguments = [&files, &["--input", "-"][..], more].concat();
        refused(&run_to_end(&arguments, question))
    };
    for (old, new, place, words) in [
        (
            "\"operation\"",
            "\"operaton\"",
            "<stdin>:1:34",
            "did you mean `operation`?",
        ),
        (
            "\"replicate\"",
            "\"replicat\"",
            "<stdin>:1:47",
            "did you mean `replicate`?",
        ),
        (
            "\"SG\", \"entity\"",
            "\"UK\", \"entity\"",
            "<stdin>:8:",
            "did you mean `GB`?",
        ),
        (
            "user.contact.email",
            "user.contact.emial",
            "<stdin>:6:21",
            "did you mean `user.contact.email`?",
        ),
        (
            "acme-sg",
            "acme-sq",
            "<stdin>:8:",
            "did you mean `acme-sg`?",
        ),
        ("99999,", "99999 ", "<stdin>:13:", "expected"),
    ] {
        let question = QUESTION.replacen(old, new, 1);
        assert_ne!(question, QUESTION, "{old}");
        let said = ask(&question, &[]);
        assert!(
            said.contains(place) && said.contains(words),
            "{place} {words}: {said}"
        );
        let json = ask(&question, &["--json"]);
        let told: Value = serde_json::from_str(json.lines().next().unwrap()).unwrap();
        assert!(told["faults"][0]["line"].is_u64(), "{told}");
        let batch = format!(
            "{}\n\n{}\n",
            QUESTION.replace('\n', " "),
            question.replace('\n', " ")
        );
        let said = ask(&batch, &["--batch"]);
        assert!(said.contains("line 3: <stdin>:3:"), "{said}");
    }
}

#[test]
fn every_mistake_of_a_question_is_told_at_once() {
    let mut question: Value = serde_json::from_str(QUESTION).unwrap();
    question["operaton"] = question["operation"].take();
    question.as_object_mut().unwrap().remove("operation");
    question["subject"]["consents"][0]["kind"] = "transfr".into();
    question["categories"] = serde_json::json!(["user.name", "user.nmae", 7]);
    question["from"]["entity"] = "acme-ue".into();
    question["counts"]["cn.odd"] = 1.into();
    question.as_object_mut().unwrap().remove("to");
    let files = ["policy", "explain", "--policies", SHIPPED];
    let more = ["--organisation", ORGANISATION, "--input", "-"];
    let arguments = [&files[..], &more].concat();
    let ask = |more: &[&str], text: &str| refused(&run_to_end(&[&arguments, more].concat(), text));
    let text = question.to_string();
    let told: Value =
        serde_json::from_str(ask(&["--json"], &text).lines().next().unwrap()).unwrap();
    let faults = told["faults"].as_array().unwrap();
    for (words, hint) in [
        ("at `/operaton`", "did you mean `operation`?"),
        ("at `/subject/consents/0/kind`", "did you mean `transfer`?"),
        ("at `/categories/1`", ""),
        ("at `/categories/2`", ""),
        ("at `/from/entity`", ""),
        ("at `/counts/cn.odd`", ""),
        ("missing field `to` at `/to`", ""),
    ] {
        let found = faults
            .iter()
            .find(|f| f["message"].as_str().unwrap().contains(words));
        let fault = found.unwrap_or_else(|| panic!("{words}: {told}"));
        assert!(
            fault["line"].is_u64() && fault["column"].is_u64(),
            "{fault}"
        );
        assert!(
            fault["hint"].as_str().unwrap_or_default().contains(hint),
            "{fault}"
        );
        // Where the pointer says: at the word itself.
        if words == "at `/from/entity`" {
            let column = usize::try_from(fault["column"].as_u64().unwrap()).unwrap();
            assert!(
                text.get(column - 1..).unwrap().starts_with("acme-ue"),
                "{fault}"
            );
        }
    }
    assert_eq!(faults.len(), 7, "{told}");
    let batch = ask(
        &["--batch"],
        &format!("{}\n{text}\n", QUESTION.replace('\n', " ")),
    );
    assert_eq!(batch.matches("line 2: <stdin>:2:").count(), 7, "{batch}");
}

/// Whatever is wrong, a program that asked for JSON reads why.
#[test]
fn what_stands_in_no_file_is_told_as_json_too() {
    let folder = TempDir::new().unwrap();
    let latin = folder.path().join("latin.json");
    fs::write(&latin, b"{\"purpose\": \"M\xfcll\"}").unwrap();
    let latin = latin.to_str().unwrap();
    let whole = [
        "--policies",
        SHIPPED,
        "--organisation",
        ORGANISATION,
        "--json",
    ];
    for (command, more, told) in [
        (
            "explain",
            &["--input", "nowhere.json"][..],
            "cannot read the file",
        ),
        ("explain", &["--input", latin], "UTF-8"),
        ("matrix", &["--operation", "foo"], "unknown operation `foo`"),
        ("test", &["--cases", "nowhere"], "nowhere"),
        ("mutants", &["--policies", "nowhere"], "nowhere"),
    ] {
        let whole = match more.contains(&"--policies") {
            true => &whole[2..],
            false => &whole[..],
        };
        let arguments = [&["policy", command], whole, more].concat();
        let output = run_to_end(&arguments, "");
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        let json: Value = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|e| panic!("{arguments:?}: {e}: {}", text(&output.stdout)));
        let fault = &json["faults"][0];
        assert!(fault.to_string().contains(told), "{fault}");
        assert_eq!(fault["severity"], "error");
        let plain: Vec<&str> = arguments
            .iter()
            .copied()
            .filter(|a| *a != "--json")
            .collect();
        let said = text(&run_to_end(&plain, "").stderr);
        assert!(!said.contains("error: error:"), "{said}");
    }
}

#[test]
fn a_property_about_what_is_not_there_is_told_at_its_place() {
    let folder = copy(&["eu"]);
    let properties = folder.path().join("p.toml");
    let property = |law: &str| {
        format!("[[property]]\nname = \"a\"\ntext = \"b\"\nkind = \"refused\"\nlaw = \"{law}\"\n")
    };
    let prove = |text: String| {
        fs::write(&properties, text).unwrap();
        let dir = folder.path().to_str().unwrap();
        let file = properties.to_str().unwrap();
        refused(&run_to_end(
            &["policy", "prove", "--policies", dir, "--properties", file],
            "",
        ))
    };
    assert!(prove(property("EUX")).contains("p.toml:5:7"));
    let said = prove(format!(
        "{}{}kindd = 1\n",
        property("EU"),
        property("EU").replace("refused", "refusd")
    ));
    assert!(said.contains("did you mean `refused`?"), "{said}");
    assert!(prove(String::new()).contains("there is no `[[property]]` in this file"));
}

#[test]
fn the_day_of_a_check_can_be_said() {
    let folder = copy(&["eu"]);
    let dir = folder.path().to_str().unwrap();
    let check = |at: &str| run_to_end(&["policy", "check", "--policies", dir, "--at", at], "");
    let said = |at: &str| {
        let output = check(at);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        text(&output.stdout)
    };
    assert!(!said("2026-12-01").contains("more than a year ago"));
    assert!(said("2028-01-01").contains("group `EU27` was last compared with its source on"));
    assert_eq!(said("2028-01-01"), said("2028-01-01T23:59:59Z"));
    assert!(refused(&check("tomorrow")).contains("neither a day such as 2026-11-21"));
}

#[test]
fn a_promise_that_no_region_can_keep_is_told_where_regions_are_known() {
    let folder = TempDir::new().unwrap();
    let organisation = folder.path().join("organisation.toml");
    let demo = fs::read_to_string(ORGANISATION).unwrap();
    let stays = "[[promises]]\nid = \"stays\"\nsubjects = [\"BR\"]\nstore_only_in = [\"BR\"]\n";
    fs::write(&organisation, format!("{demo}\n{stays}")).unwrap();
    let organisation = organisation.to_str().unwrap();
    let (mut setup, _backends) = Setup::recording();
    setup.set(&["organisation"], organisation);
    let config = setup.write();
    let config = config.to_str().unwrap();
    let files = ["--policies", SHIPPED, "--organisation", organisation];
    let check = [&["policy", "check"][..], &files].concat();
    let with = [&check[..], &["--config", config]].concat();
    for (arguments, wanted) in [
        (&["check", "--config", config][..], true),
        (&with, true),
        (&check, false),
    ] {
        let output = run_to_end(arguments, "");
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        let said = text(&output.stdout);
        let line = format!("organisation.toml:{}:17", demo.lines().count() + 5);
        let told = said.contains("promise `stays` leaves no region to store in");
        assert_eq!(told, wanted, "{said}");
        assert_eq!(said.contains(&line), wanted, "{line} in {said}");
    }
}

/// What ships is clean: a warning there would teach people not to read them.
#[test]
fn shipped_packs_and_examples_have_no_warnings_but_dates() {
    for example in [
        "demo",
        "cases",
        "cases-world",
        "fitness-app",
        "smart-devices",
        "developer-platform",
    ] {
        let organisation = format!("{SHIPPED}/examples/{example}/organisation.toml");
        let output = run_to_end(
            &[
                "policy",
                "check",
                "--policies",
                SHIPPED,
                "--organisation",
                &organisation,
                "--at",
                "2026-11-22",
                "--json",
            ],
            "",
        );
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        let told: Value = serde_json::from_slice(&output.stdout).unwrap();
        for fault in told["faults"].as_array().unwrap() {
            let message = fault["message"].as_str().unwrap();
            let dated = message.contains(" ended on ") || message.contains(" ends on ");
            // The cases ask about papers without an assessment, too.
            let bare = example.starts_with("cases") && message.contains(": it has no assessment");
            assert!(dated || bare, "{example}: {fault}");
        }
    }
}
