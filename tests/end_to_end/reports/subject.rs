use serde_json::{Value, json};

use super::{cell, csv, path, world};
use crate::kit::backend::{Backend, Reply};
use crate::kit::eventually;
use crate::kit::http::{Answer, Request};
use crate::kit::process::run_to_end;
use crate::kit::setup::{Router, Setup};

fn ask(router: &Router, body: &str) -> Answer {
    Request::new("POST", "/v1/subjects:report")
        .json(body)
        .send(router.admin)
}

/// The key that `domicile key` prints.
fn key(config: &str, id: &str) -> String {
    let output = run_to_end(&["key", "--config", config], &format!("{id}\n"));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn sum(report: &Value, name: &str) -> u64 {
    let rows = report[name].as_array().unwrap();
    rows.iter().map(|row| row["flows"].as_u64().unwrap()).sum()
}

/// B1: a vendor of smart devices tells a person in Russia every region, recipient, mechanism and
/// instrument that the person's data met, and nothing of others.
#[test]
fn b1_access_lists_every_region_recipient_mechanism_and_instrument_of_a_person() {
    let mut setup = Setup::of_example("smart-devices");
    let created = || Backend::scripted(|_| Reply::status(201));
    let backends = ["cn", "in", "us", "eu", "ru", "sg"].map(|region| {
        let backend = created();
        setup.region(region, backend.address);
        backend
    });
    let recipient = created();
    for name in ["location-services", "problem-reports"] {
        setup.endpoint("recipients", name, recipient.address);
    }
    let router = setup.start();
    let send = |request: Request, status: u16| {
        let answer = request.send(router.router);
        assert_eq!(answer.status, status, "{answer:?}");
    };
    let put = |id: &str, country: &str| {
        let body = format!("{{\"email\":\"{id}@example.com\",\"country\":\"{country}\"}}");
        Request::new("PUT", format!("/people/{id}")).json(body)
    };
    let steered = |operation: &str, target: &str| {
        put("ivan", "RU")
            .header("domicile-operation", operation)
            .header("domicile-target", target)
    };
    send(put("ivan", "RU"), 201);
    send(steered("replicate", "sg"), 201);
    send(steered("replicate", "us"), 451);
    let disclosed = Request::new("POST", "/disclose/liwei/location")
        .header("domicile-country", "CN")
        .json(r#"{"device_id":"d-1"}"#);
    send(put("liwei", "CN"), 201);
    send(disclosed, 201);

    let told = |id: &str| {
        eventually("the flows are confirmed", || {
            let answer = ask(&router, &format!(r#"{{"subject":"{id}"}}"#));
            assert_eq!(answer.status, 200, "{answer:?}");
            let text = String::from_utf8_lossy(&answer.body).into_owned();
            assert!(!text.contains(id), "{text}");
            let report = answer.json();
            let rows = report["flows"].as_array().unwrap();
            let done = |row: &Value| row["flows"] == row["confirmed"];
            rows.iter().all(done).then_some(report)
        })
    };
    let report = told("ivan");
    assert_eq!(report["regions"], json!(["ru", "sg"]));
    assert_eq!(report["recipients"], json!([]));
    assert_eq!(
        report["mechanisms"],
        json!(["homebound", "ru-notification"])
    );
    let instrument = &report["instruments"][0];
    assert_eq!(instrument["id"], "ru-sg-notification");
    assert_eq!(instrument["register"]["mechanism"], "ru-notification");
    assert_eq!(sum(&report, "flows"), 2, "{report}");
    assert_eq!(sum(&report, "refusals"), 1, "{report}");
    assert_eq!(report["refusals"][0]["rules"][0]["id"], "ru-transfer");
    let held: Vec<_> = report["held"].as_array().unwrap().iter().collect();
    let held: Vec<_> = held
        .iter()
        .map(|h| (&h["region"], &h["home"], &h["until"]))
        .collect();
    let lies = |home: bool| (json!(home), Value::Null);
    let [(ru, sg), (at_home, now)] = [(json!("ru"), json!("sg")), lies(true)];
    assert_eq!(held, [(&ru, &at_home, &now), (&sg, &json!(false), &now)]);
    assert_eq!(
        report["pinned"],
        json!({ "region": "ru", "held_in": ["sg"] })
    );
    assert_eq!(report["ledger"]["verified"], true);

    let report = told("liwei");
    assert_eq!(report["regions"], json!(["cn"]));
    assert_eq!(report["recipients"][0]["entity"], "autonavi");
    assert_eq!(sum(&report, "flows"), 2, "{report}");
    assert_eq!(sum(&report, "refusals"), 0, "{report}");
    drop(backends);
}

#[test]
fn the_report_of_a_person_says_the_same_in_every_format() {
    let world = world();
    let key = key(&world.config(), "anna");
    let report = world.json("subject", "anna\n");
    assert_eq!(
        report["asked"]["keys"],
        json!([{ "key": key, "namespace": "person" }])
    );
    assert_eq!(report["regions"], json!(["eu"]));
    assert_eq!(report["mechanisms"], json!(["homebound", "scc"]));
    assert_eq!((sum(&report, "flows"), sum(&report, "refusals")), (3, 0));
    let copy = &report["instruments"][0]["register"]["copy"];
    let copy = copy.as_str().expect("where a copy is had");

    // The page says the same, and what the directory knows.
    let mut page = ask(&world.router, r#"{"namespace":"person","id":"anna"}"#).json();
    assert_eq!(page["pinned"]["region"], "eu");
    page.as_object_mut().unwrap().remove("pinned");
    let mut same = report.clone();
    for told in [&mut page, &mut same] {
        told["ledger"]["at"] = Value::Null;
    }
    assert_eq!(page, same);

    let rows = csv(&world.told("subject --format csv", "anna"));
    let flows = |row: &Vec<(String, String)>| {
        (
            cell(row, "operation").to_owned(),
            cell(row, "flows").to_owned(),
        )
    };
    let told: Vec<_> = rows.iter().map(flows).collect();
    let expected = [("read", "2"), ("store", "1")].map(|(a, b)| (a.to_owned(), b.to_owned()));
    assert_eq!(told, expected);
    for format in ["text", "html"] {
        let text = world.told(&format!("subject --format {format}"), "anna\r\n");
        for fact in [key.as_str(), "homebound, scc", "eu-sg-2024", copy] {
            assert!(text.contains(fact), "{fact} in {text}");
        }
        assert!(!text.contains("anna"), "{text}");
    }
    // By key the settings are not needed.
    let ledger = path(world.ledger());
    let arguments = [
        "report", "subject", &ledger, "--key", &key, "--format", "json",
    ];
    let output = run_to_end(&arguments, "");
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let by_key: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(sum(&by_key, "flows"), 3);
    assert_eq!(by_key["instruments"][0]["register"], Value::Null);
}

#[test]
fn a_person_whom_the_ledger_does_not_know_is_told_as_such() {
    let world = world();
    let text = world.told("subject", "nobody-of-this-name");
    assert!(
        text.contains("nothing in this ledger is about this person"),
        "{text}"
    );
    let report = ask(&world.router, r#"{"subject":"nobody-of-this-name"}"#).json();
    assert_eq!(
        (&report["flows"], &report["pinned"]),
        (&json!([]), &Value::Null)
    );
    let notes = report["notes"].to_string();
    assert!(notes.contains("nothing in this ledger"), "{notes}");
}

#[test]
fn a_wrong_question_about_a_person_is_told_what_is_wrong() {
    let world = world();
    for (words, input, says) in [
        ("subject", "", "has no ids"),
        ("subject", "anna\nben\n", "has several ids"),
        ("subject", "\u{1}\n", "control character"),
        (
            "subject --namespace persn",
            "anna",
            "no route has the namespace",
        ),
        ("subject --key 12", "", "32 hexadecimal digits"),
        ("subject anna", "anna", "holds no ledger"),
    ] {
        let output = world.report(words, input);
        assert_eq!(output.status.code(), Some(2), "{words}: {output:?}");
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(text.contains(says), "{words}: {text}");
    }
    let output = run_to_end(&["report", "subject"], "anna");
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(text.contains("--config"), "{text}");
    for body in [
        "",
        "[]",
        "{}",
        r#"{"subject":""}"#,
        r#"{"subject":"anna","namespace":"persn"}"#,
        r#"{"subject":"anna","since":"yesterday"}"#,
        r#"{"subject":"anna","since":"2999-01-01"}"#,
        r#"{"subject":"anna","name":"x"}"#,
    ] {
        let answer = ask(&world.router, body);
        let document = crate::kit::problem(&answer, 400);
        assert_eq!(document["type"], "urn:domicile:problem:bad-question");
        assert!(!document.to_string().contains("anna"), "{document}");
    }
}
