//! What lies under `deploy/` fits together, and its settings are ones that a router starts with.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;

use super::{repository, text};
use crate::kit::http::{Request, get};
use crate::kit::process::{Process, domicile, read_settings, run_to_end};
use crate::kit::setup::{Backends, Setup, metrics};
use crate::kit::{REGIONS, eventually, free_address, problem};

/// What an image is, beside what is in it.
fn shape(dockerfile: &str) -> Vec<String> {
    let text = text(dockerfile);
    let (_, last) = text.rsplit_once("FROM ").unwrap();
    let lines = last.lines().skip(1).filter(|l| !l.starts_with('#'));
    lines
        .map(|line| line.replace("--from=build ", "").replace("/image/", ""))
        .filter(|line| !line.is_empty())
        .collect()
}

#[test]
fn both_recipes_make_the_same_image_from_nothing() {
    let whole = shape("deploy/Dockerfile");
    assert_eq!(whole, shape("deploy/Dockerfile.prebuilt"));
    for wanted in ["USER 65532:65532", r#"ENTRYPOINT ["/domicile"]"#] {
        assert!(whole.iter().any(|line| line == wanted), "{whole:?}");
    }
    for file in ["deploy/Dockerfile", "deploy/Dockerfile.prebuilt"] {
        assert!(text(file).contains("\nFROM scratch\n"), "{file}");
    }
    let toolchain = text("Cargo.toml");
    let version = toolchain
        .lines()
        .find_map(|line| line.strip_prefix("rust-version = "))
        .unwrap();
    let version = version.trim_matches('"');
    let base = format!("FROM rust:{version}-slim-");
    assert!(text("deploy/Dockerfile").contains(&base), "{base}");
    // What the build stage runs must get into its context.
    assert!(text(".dockerignore").contains("!/deploy/rootfs.sh"));
}

/// The lines of one service of `compose.yaml`.
fn service<'t>(compose: &'t str, name: &str) -> &'t str {
    let (_, rest) = compose.split_once("\nservices:\n").unwrap();
    let begin = format!("  {name}:\n");
    let at = rest
        .find(&begin)
        .unwrap_or_else(|| panic!("no service {name}"));
    let own = &rest[at + begin.len()..];
    let end = own
        .match_indices('\n')
        .map(|(i, _)| i + 1)
        .find(|i| own[*i..].starts_with(|c| c != ' ' && c != '\n') || is_name(&own[*i..]));
    &own[..end.unwrap_or(own.len())]
}

fn is_name(line: &str) -> bool {
    line.starts_with("  ") && !line[2..].starts_with([' ', '#'])
}

#[test]
fn the_parts_of_compose_name_each_other_as_they_are() {
    let compose = text("deploy/compose.yaml");
    let settings = read_settings(&repository().join("deploy/compose/domicile.toml"));
    for region in REGIONS {
        let endpoint = settings["regions"][region]["endpoints"][0]
            .as_str()
            .unwrap();
        assert_eq!(endpoint, format!("http://store-{region}:7000"));
        let store = service(&compose, &format!("store-{region}"));
        let command = format!(
            r#"["store", "--listen", "0.0.0.0:7000", "--data", "/var/lib/domicile", "--region", "{region}"]"#
        );
        assert!(store.contains(&command), "{store}");
        let waits = format!("store-{region}: {{ condition: service_healthy }}");
        assert!(service(&compose, "router").contains(&waits), "{waits}");
    }
    let address = |section: &str| settings[section]["listen"].as_str().unwrap();
    let port = |section: &str| address(section).rsplit(':').next().unwrap().to_owned();
    let router = service(&compose, "router");
    let healthy = format!("http://127.0.0.1:{}/readyz", port("probes"));
    assert!(router.contains(&healthy), "{router}");
    let published = format!("127.0.0.1:8080:{}", port("data_plane"));
    assert!(router.contains(&published), "{router}");
    // The admin listener is nobody's but theirs who share the router's network.
    assert!(address("admin").starts_with("127.0.0.1:"));
    assert!(service(&compose, "prometheus").contains(r#"network_mode: "service:router""#));
    let scrapes = text("deploy/compose/prometheus.yml");
    assert!(
        scrapes.contains(&format!("[\"{}\"]", address("admin"))),
        "{scrapes}"
    );
    assert!(scrapes.contains("job_name: domicile"), "{scrapes}");
    let gateway = compose
        .lines()
        .find_map(|l| l.trim().strip_prefix("gateway: "));
    let trusted = settings["data_plane"]["trusted"][0].as_str().unwrap();
    assert_eq!(Some(trusted), gateway.map(|g| format!("{g}/32")).as_deref());
    // Grafana asks Prometheus by the router's name, and its dashboard lies where it looks.
    let sources = text("deploy/compose/grafana/datasources.yaml");
    assert!(sources.contains("url: http://router:9099"), "{sources}");
    assert!(service(&compose, "prometheus").contains("--web.listen-address=0.0.0.0:9099"));
    let mut mounted = BTreeSet::new();
    for line in compose.lines() {
        let Some(mount) = line.trim().strip_prefix("- .") else {
            continue;
        };
        let from = format!(".{}", mount.split(':').next().unwrap());
        assert!(repository().join("deploy").join(&from).is_file(), "{from}");
        assert!(mount.ends_with(":ro"), "{mount}");
        mounted.insert(from);
    }
    assert!(mounted.len() >= 7, "{mounted:?}");
}

#[test]
fn a_router_starts_with_the_settings_of_compose() {
    let (mut setup, backends) = started_from("deploy/compose/domicile.toml");
    let probes = free_address();
    setup.set(&["probes", "listen"], probes.to_string());
    // Callers of this machine, as the gateway stands for them in the network of compose.
    setup.set(&["data_plane", "trusted"], vec!["127.0.0.1/32"]);
    let router = setup.start();
    assert_eq!(get(probes, "/readyz").status, 200);
    let stored = router.put("erika", r#"{"id":"erika","address":{"country":"DE"}}"#);
    assert!(stored.is_success(), "{stored:?}");
    assert_eq!(backends.touched(), ["eu"]);
    let read = get(router.router, "/people/erika");
    let mechanism = read.header("domicile-mechanism").unwrap_or_default();
    assert!(mechanism.starts_with("scc; module=2"), "{read:?}");
    let refused = Request::new("PUT", "/people/ivan")
        .header("domicile-target", "eu")
        .json(r#"{"id":"ivan","country":"RU"}"#)
        .send(router.router);
    problem(&refused, 451);
    assert!(metrics(router.admin).contains("domicile_policy_info{"));
}

#[test]
fn a_store_answers_the_probe_that_compose_sends_it() {
    let compose = text("deploy/compose.yaml");
    let probe = r#""/domicile", "probe", "http://127.0.0.1:7000"#;
    let (_, path) = compose.split_once(probe).unwrap();
    let path = path.split('"').next().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let listen = free_address().to_string();
    let data = folder.path().to_str().unwrap();
    let command = [
        "store", "--listen", &listen, "--data", data, "--region", "cn",
    ];
    let _store = Process::spawn(domicile().args(command));
    eventually("the store is well", || {
        let url = format!("http://{listen}{path}");
        let probed = run_to_end(&["probe", &url], "");
        probed.status.success().then_some(())
    });
}

/// The settings of a file under `deploy/` with the demo's policy, our ports and our backends.
fn started_from(path: &str) -> (Setup, Backends) {
    let (mut setup, backends) = Setup::recording();
    let ours = setup.settings.clone();
    setup.settings = read_settings(&repository().join(path));
    for (section, key) in [
        ("data_plane", "listen"),
        ("admin", "listen"),
        ("ledger", "path"),
        ("directory", "path"),
    ] {
        setup.set(&[section, key], ours[section][key].clone());
    }
    setup.set(&["policies"], ours["policies"].clone());
    for region in REGIONS {
        let endpoints = ours["regions"][region]["endpoints"].clone();
        setup.set(&["regions", region, "endpoints"], endpoints);
    }
    (setup, backends)
}

#[test]
fn the_unit_runs_what_the_others_run() {
    let unit = text("deploy/domicile.service");
    let command = "ExecStart=/usr/bin/domicile run --config /etc/domicile/domicile.toml\n";
    assert!(unit.contains(command));
    let settings = read_settings(&repository().join("deploy/domicile.toml"));
    let state = settings["ledger"]["path"].as_str().unwrap();
    assert!(Path::new(state).starts_with("/var/lib/domicile"), "{state}");
    assert!(unit.contains("StateDirectory=domicile\n"));
}

#[test]
fn the_dashboard_is_one_that_grafana_takes() {
    let dashboard: Value = serde_json::from_str(&text("deploy/grafana/domicile.json")).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let mut ids = BTreeSet::new();
    let mut titles = BTreeSet::new();
    let mut taken: Vec<[u64; 4]> = Vec::new();
    for panel in panels {
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "{panel}");
        assert!(titles.insert(panel["title"].as_str().unwrap()), "{panel}");
        let place = ["x", "y", "w", "h"].map(|k| panel["gridPos"][k].as_u64().unwrap());
        let [x, y, w, h] = place;
        assert!(x + w <= 24, "{panel}");
        let overlaps = |[a, b, c, d]: &[u64; 4]| x < a + c && *a < x + w && y < b + d && *b < y + h;
        assert!(
            !taken.iter().any(overlaps),
            "{} lies on another",
            panel["title"]
        );
        taken.push(place);
        for target in panel["targets"].as_array().into_iter().flatten() {
            assert_eq!(target["datasource"]["uid"], "${datasource}", "{panel}");
            let query = target["expr"].as_str().unwrap();
            assert!(
                query.contains(r#"job=~"$job", instance=~"$instance""#),
                "{query}"
            );
        }
    }
    let variables = dashboard["templating"]["list"].as_array().unwrap();
    let names: Vec<&str> = variables
        .iter()
        .map(|v| v["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["datasource", "job", "instance"]);
}
