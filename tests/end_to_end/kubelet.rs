//! Mounted ConfigMaps and Secrets: exchanged as the kubelet does it, loaded by the running router.

use std::fs;
use std::os::unix::fs::symlink;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::kit::backend::{Backend, Reply};
use crate::kit::http::{Client, Request, get};
use crate::kit::process::{Process, domicile};
use crate::kit::setup::{Router, Setup, metrics};
use crate::kit::volume::Volume;
use crate::kit::{all_entries, eventually, problem};

/// Settings and organisation in a volume each, the law beside them as in the image.
struct Mounted {
    setup: Setup,
    organisation: Volume,
    signed: String,
}

impl Mounted {
    fn new(mut setup: Setup) -> Self {
        let folder = setup.folder.path().to_owned();
        let file = folder.join("policies/organisation.toml");
        let signed = fs::read_to_string(&file).unwrap();
        fs::remove_file(file).unwrap();
        let volume = folder.join("organisation");
        let organisation = Volume::new(volume, &[("organisation.toml", &signed)]);
        let absolute = |name: &str| folder.join(name).display().to_string();
        let file = organisation.file("organisation.toml");
        setup.set(&["organisation"], file.display().to_string());
        setup.set(&["policies"], absolute("policies"));
        setup.set(&["ledger", "path"], absolute("ledger"));
        setup.set(&["directory", "path"], absolute("directory"));
        Self {
            setup,
            organisation,
            signed,
        }
    }

    fn start(self) -> (Router, Volume, Volume, String) {
        let text = toml::to_string(&self.setup.settings).unwrap();
        let folder = self.setup.folder.path().join("settings");
        let settings = Volume::new(folder, &[("domicile.toml", &text)]);
        let mut command = domicile();
        command
            .args(["run", "--config"])
            .arg(settings.file("domicile.toml"));
        let router = self.setup.start_by(Process::spawn(&mut command));
        (router, settings, self.organisation, self.signed)
    }
}

/// The organisation without what it signed: Singapore may read European records no more.
fn unsigned(signed: &str) -> String {
    let (before, _) = signed
        .split_once("[[instruments]]")
        .expect("the demo's only instrument comes last");
    before.to_owned()
}

fn policy(router: &Router) -> String {
    let answer = get(router.admin, "/version");
    answer.json()["policy"].as_str().unwrap().to_owned()
}

fn reloads(router: &Router, result: &str) -> usize {
    let start = format!("domicile_reloads_total{{result=\"{result}\"}} ");
    let text = metrics(router.admin);
    let found = text.lines().find_map(|line| line.strip_prefix(&start));
    found.map_or(0, |count| count.parse().unwrap())
}

fn answering() -> Setup {
    let mut setup = Setup::new();
    for region in crate::kit::REGIONS {
        let backend = Backend::scripted(|seen| match seen.method.as_str() {
            "GET" => Reply::Answer {
                status: 200,
                media: "application/json",
                body: b"{}".to_vec(),
            },
            _ => Reply::status(201),
        });
        setup.region(region, backend.address);
        // It answers for as long as the test runs.
        std::mem::forget(backend);
    }
    setup
}

/// 1,000 requests a second are meant; a busy machine may do fewer. What counts is that none is lost.
const PACE: Duration = Duration::from_millis(4);
const CALLERS: usize = 4;
const LEAST: usize = 500;
const MOST: usize = 20_000;

#[test]
fn the_swap_of_a_config_map_under_load_loses_no_request_and_puts_the_new_policy_in_force() {
    let (router, _settings, mut organisation, signed) = Mounted::new(answering()).start();
    let anna = r#"{"id":"anna","country":"DE","name":"Anna"}"#;
    assert_eq!(router.put("anna", anna).status, 201);
    let before = policy(&router);

    let in_force = AtomicBool::new(false);
    let sent = AtomicUsize::new(0);
    let caller = |number: usize| {
        let mut client = Client::new(router.router);
        let home = Request::new("PUT", format!("/people/asha-{number}"))
            .json(r#"{"country":"IN","name":"Asha"}"#);
        let abroad = Request::new("GET", "/people/anna");
        let (mut refused, mut after) = (0, 0);
        let begin = Instant::now();
        for n in 0..MOST {
            let answer = client
                .send_once(&home)
                .expect("a homebound write is answered");
            assert!(answer.complete && answer.status == 201, "{answer:?}");
            let answer = client
                .send(&abroad)
                .expect("a read from abroad is answered");
            assert!(answer.complete, "{answer:?}");
            match answer.status {
                // One request, one policy: once refused, the old one is not seen again.
                200 => assert_eq!(refused, 0, "the old policy came back"),
                _ => {
                    problem(&answer, 451);
                    refused += 1;
                }
            }
            sent.fetch_add(2, Ordering::Relaxed);
            after += usize::from(in_force.load(Ordering::Relaxed));
            if n > LEAST && after > LEAST / 10 {
                break;
            }
            // The pace of the load; nothing waits for it.
            let slot = PACE * 2 * u32::try_from(n).unwrap();
            thread::sleep(slot.saturating_sub(begin.elapsed()));
        }
        refused
    };
    let begin = Instant::now();
    let refused: usize = thread::scope(|scope| {
        let caller = &caller;
        let callers: Vec<_> = (0..CALLERS)
            .map(|number| scope.spawn(move || caller(number)))
            .collect();
        eventually("the load runs", || {
            (sent.load(Ordering::Relaxed) > 400).then_some(())
        });
        organisation.exchange(&[("organisation.toml", &unsigned(&signed))]);
        eventually("the new policy is in force", || {
            (policy(&router) != before).then_some(())
        });
        in_force.store(true, Ordering::Relaxed);
        callers.into_iter().map(|c| c.join().unwrap()).sum()
    });

    let sent = sent.load(Ordering::Relaxed);
    eprintln!(
        "{sent} requests in {:?}, {refused} of them under the new policy",
        begin.elapsed()
    );
    assert!(refused >= CALLERS * LEAST / 10, "{refused}");
    assert_eq!(
        problem(&get(router.router, "/people/anna"), 451)["status"],
        451
    );
    assert_eq!(
        (reloads(&router, "swapped"), reloads(&router, "refused")),
        (1, 0)
    );
    let told: std::collections::BTreeSet<String> = all_entries(router.admin)
        .iter()
        .filter_map(|entry| Some(entry["policy"].as_str()?.to_owned()))
        .collect();
    let both = std::collections::BTreeSet::from([before, policy(&router)]);
    assert_eq!(told, both, "each entry is under one of the two policies");
}

#[test]
fn a_broken_config_map_leaves_the_old_one_in_force_and_is_told() {
    let (mut router, mut settings, mut organisation, signed) = Mounted::new(answering()).start();
    let anna = r#"{"id":"anna","country":"DE","name":"Anna"}"#;
    assert_eq!(router.put("anna", anna).status, 201);
    let before = policy(&router);

    let broken = signed.replacen("mechanism = \"scc\"", "mechanism = \"sccc\"", 1);
    organisation.exchange(&[("organisation.toml", &broken)]);
    eventually("the refusal is counted", || {
        (reloads(&router, "refused") == 1).then_some(())
    });
    let text = metrics(router.admin);
    assert!(text.contains("\ndomicile_reload_failing 1\n"), "{text}");
    let ready = get(router.admin, "/readyz");
    assert_eq!(ready.status, 200, "what is in force still works");
    let detail = ready.json();
    assert_eq!(detail["reload"], "refused");
    assert!(detail["faults"].to_string().contains("sccc"), "{detail}");
    let log = router.process.text();
    assert!(
        log.contains("reload refused") && log.contains("sccc"),
        "{log}"
    );
    assert_eq!(policy(&router), before);
    assert_eq!(get(router.router, "/people/anna").status, 200);

    // A file that is missing altogether is no better, and a mended one heals by itself.
    organisation.exchange(&[("other.toml", "")]);
    eventually("the second refusal is counted", || {
        (reloads(&router, "refused") == 2).then_some(())
    });
    assert_eq!(get(router.router, "/people/anna").status, 200);
    organisation.exchange(&[("organisation.toml", &unsigned(&signed))]);
    eventually("the mended policy is in force", || {
        (get(router.router, "/people/anna").status == 451).then_some(())
    });
    assert!(metrics(router.admin).contains("\ndomicile_reload_failing 0\n"));
    assert_eq!(get(router.admin, "/readyz").json()["reload"], "ok");

    // The settings' own volume: what needs a restart is told, and nothing of the rest is taken.
    let text = fs::read_to_string(settings.file("domicile.toml")).unwrap();
    let mut changed: toml::Table = text.parse().unwrap();
    changed["data_plane"]
        .as_table_mut()
        .unwrap()
        .insert("workers".to_owned(), 7.into());
    let changed = toml::to_string(&changed).unwrap();
    settings.exchange(&[("domicile.toml", &changed)]);
    eventually("the third refusal is counted", || {
        (reloads(&router, "refused") == 3).then_some(())
    });
    let detail = get(router.admin, "/readyz").json();
    assert!(
        detail["faults"].to_string().contains("data_plane.workers"),
        "{detail}"
    );
    assert!(router.process.exited().is_none());
}

/// Settings that arrive before the organisation they name: refused once, however often they are looked
/// at, and loaded when it is there, although they themselves did not change any more.
#[test]
fn what_was_refused_for_want_of_a_file_is_loaded_when_the_file_comes() {
    let mut mounted = Mounted::new(answering());
    let folder = mounted.setup.folder.path().to_owned();
    let token = folder.join("admin-token");
    fs::write(&token, "the-first-of-the-tests-tokens").unwrap();
    let file = token.display().to_string();
    mounted.setup.set(&["admin", "token_file"], file);
    let (router, mut settings, _organisation, signed) = mounted.start();
    let asked = |token: &str| {
        let asked = Request::new("GET", "/metrics");
        let asked = asked.header("authorization", &format!("Bearer {token}"));
        let answer = asked.send(router.admin);
        (answer.status == 200).then(|| String::from_utf8(answer.body).unwrap())
    };
    let refusals = |count: usize| format!("domicile_reloads_total{{result=\"refused\"}} {count}\n");
    let text = fs::read_to_string(settings.file("domicile.toml")).unwrap();
    let mut changed: toml::Table = text.parse().unwrap();
    let late = folder.join("late.toml");
    changed.insert("organisation".to_owned(), late.display().to_string().into());
    let changed = toml::to_string(&changed).unwrap();
    settings.exchange(&[("domicile.toml", &changed)]);
    eventually("the refusal is counted", || {
        asked("the-first-of-the-tests-tokens")?
            .contains(&refusals(1))
            .then_some(())
    });
    // Each token is found by a later look at the files: several looks go by.
    for token_now in [
        "the-second-of-the-tests-tokens",
        "the-third-of-the-tests-tokens",
    ] {
        fs::write(&token, token_now).unwrap();
        let text = eventually("the token is exchanged", || asked(token_now));
        assert!(text.contains(&refusals(1)), "told more than once: {text}");
    }
    // Whole at once: half a file is another refusal.
    let half = folder.join("late.half");
    fs::write(&half, unsigned(&signed)).unwrap();
    fs::rename(half, &late).unwrap();
    let swapped = "domicile_reloads_total{result=\"swapped\"} 1\n";
    // Counters are read after gauges: a scrape during the reload has the old gauge beside the new count.
    let healed = "\ndomicile_reload_failing 0\n";
    let text = eventually("the settings are loaded", || {
        asked("the-third-of-the-tests-tokens")
            .filter(|text| text.contains(swapped) && text.contains(healed))
    });
    assert!(text.contains(&refusals(1)), "{text}");
}

#[test]
fn with_watch_always_a_plain_file_is_loaded_too() {
    let mut setup = answering();
    setup.set(&["reload", "watch"], "always");
    let router = setup.start();
    let before = policy(&router);
    let file = router.folder.path().join("policies/organisation.toml");
    let signed = fs::read_to_string(&file).unwrap();
    fs::write(file, unsigned(&signed)).unwrap();
    eventually("the new policy is in force", || {
        (policy(&router) != before).then_some(())
    });
}

/// Vocabulary and organisation in one volume. The kubelet exchanges it again and again at
/// another moment of the reading, and so at some time when the vocabulary has been read and the
/// organisation has not: what comes into force is one version of both, and no policy that nobody wrote.
#[test]
fn a_volume_that_is_exchanged_under_its_reader_is_read_again() {
    let mut setup = answering();
    let policies = setup.folder.path().join("policies");
    let read = |name: &str| fs::read_to_string(policies.join(name)).unwrap();
    let old = [read("vocabulary.toml"), read("organisation.toml")];
    let group = "[groups.trial]\nas_of = 2026-11-21\nsource = \"a test\"\nmembers = [\"SG\"]\n";
    let new = [format!("{}\n{group}", old[0]), unsigned(&old[1])];
    let lay = |volume: &mut Volume, version: &[String; 2]| {
        let [vocabulary, organisation] = version;
        let files = [
            ("vocabulary.toml", &**vocabulary),
            ("organisation.toml", &**organisation),
        ];
        volume.exchange(&files);
    };
    let mut volume = Volume::new(setup.folder.path().join("mounted"), &[]);
    lay(&mut volume, &new);
    fs::remove_file(policies.join("vocabulary.toml")).unwrap();
    symlink(
        volume.file("vocabulary.toml"),
        policies.join("vocabulary.toml"),
    )
    .unwrap();
    fs::remove_file(policies.join("organisation.toml")).unwrap();
    let organisation = volume.file("organisation.toml").display().to_string();
    setup.set(&["organisation"], organisation);
    setup.set(&["reload", "watch"], "never");
    let router = setup.start();
    let reload = || Request::new("POST", "/-/reload").send(router.admin).json();
    let wanted = policy(&router);
    lay(&mut volume, &old);
    assert_eq!(reload()["result"], "swapped");
    assert_ne!(policy(&router), wanted);

    let sound = [wanted.clone(), policy(&router)];
    for turn in 0..12 {
        // One exchange each: two within a reading could bring back what it began with.
        let version = [&new, &old][turn % 2];
        let told = thread::scope(|scope| {
            scope.spawn(|| {
                thread::sleep(Duration::from_millis(5 * turn as u64));
                lay(&mut volume, version);
            });
            reload()
        });
        let policy = told["policy"].as_str().unwrap();
        assert!(sound.iter().any(|s| s == policy), "a mixture: {told}");
    }
    lay(&mut volume, &new);
    assert_ne!(reload()["result"], "refused");
    assert_eq!(policy(&router), wanted);
}
