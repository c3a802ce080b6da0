//! Settings for `domicile run`, made of the demo's: its policy, its routes, our backends.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use tempfile::TempDir;

use super::backend::Backend;
use super::http::{Request, get};
use super::process::{Demo, Process, domicile, read_settings};
use super::{REGIONS, eventually, free_address};

/// What a demo wrote when it started: settings, and each file of its policy.
struct Example {
    settings: toml::Table,
    policies: Vec<(PathBuf, Vec<u8>)>,
}

fn example() -> &'static Example {
    static EXAMPLE: OnceLock<Example> = OnceLock::new();
    EXAMPLE.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let mut demo = Demo::start(folder.path());
        let settings = read_settings(&demo.settings());
        let root = folder.path().join(settings["policies"].as_str().unwrap());
        let mut policies = Vec::new();
        read_tree(&root, &root, &mut policies);
        assert!(!policies.is_empty(), "the demo has a policy");
        demo.process.terminate();
        Example { settings, policies }
    })
}

fn read_tree(root: &Path, folder: &Path, files: &mut Vec<(PathBuf, Vec<u8>)>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            read_tree(root, &path, files);
        } else {
            let name = path.strip_prefix(root).unwrap().to_owned();
            files.push((name, fs::read(&path).unwrap()));
        }
    }
}

/// A folder with settings and policy, not started yet.
pub struct Setup {
    pub folder: TempDir,
    pub settings: toml::Table,
}

impl Setup {
    /// All regions at closed doors until [`Setup::region`] says otherwise.
    pub fn new() -> Self {
        let example = example();
        let folder = tempfile::tempdir().unwrap();
        for (name, bytes) in &example.policies {
            let path = folder.path().join("policies").join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
        let mut setup = Self {
            folder,
            settings: example.settings.clone(),
        };
        setup.set(&["policies"], "policies");
        setup.settings.remove("organisation");
        setup.set(&["data_plane", "listen"], free_address().to_string());
        setup.set(&["admin", "listen"], free_address().to_string());
        setup.set(&["ledger", "path"], "ledger");
        setup.set(&["directory", "path"], "directory");
        for region in REGIONS {
            setup.region(region, free_address());
        }
        setup
    }

    /// One of `policies/examples`, with all regions and recipients at closed doors.
    pub fn of_example(name: &str) -> Self {
        let policies = Path::new(env!("CARGO_MANIFEST_DIR")).join("policies");
        let example = policies.join("examples").join(name);
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("policies");
        let mut files = Vec::new();
        read_tree(&policies, &policies.join("law"), &mut files);
        files.push(("vocabulary.toml".into(), {
            fs::read(policies.join("vocabulary.toml")).unwrap()
        }));
        files.push(("organisation.toml".into(), {
            fs::read(example.join("organisation.toml")).unwrap()
        }));
        for (name, bytes) in &files {
            let path = target.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
        let mut setup = Self {
            folder,
            settings: read_settings(&example.join("domicile.toml")),
        };
        setup.set(&["policies"], "policies");
        setup.settings.remove("organisation");
        setup.set(&["data_plane", "listen"], free_address().to_string());
        setup.set(&["admin", "listen"], free_address().to_string());
        setup.set(&["ledger", "path"], "ledger");
        setup.set(&["directory", "path"], "directory");
        for section in ["regions", "recipients"] {
            let names: Vec<String> = match setup.settings.get(section) {
                Some(table) => table.as_table().unwrap().keys().cloned().collect(),
                None => continue,
            };
            for name in names {
                setup.endpoint(section, &name, free_address());
            }
        }
        setup
    }

    pub fn endpoint(&mut self, section: &str, name: &str, address: SocketAddr) {
        let endpoint = toml::Value::Array(vec![format!("http://{address}").into()]);
        self.set(&[section, name, "endpoints"], endpoint);
    }

    /// With a backend that records in each region.
    pub fn recording() -> (Self, Backends) {
        let mut setup = Self::new();
        let backends = Backends(REGIONS.map(|region| (region, Backend::recording())));
        for (region, backend) in &backends.0 {
            setup.region(region, backend.address);
        }
        (setup, backends)
    }

    pub fn region(&mut self, region: &str, address: SocketAddr) {
        self.endpoint("regions", region, address);
    }

    /// Sets one key; missing tables are made.
    pub fn set(&mut self, keys: &[&str], value: impl Into<toml::Value>) {
        let (last, tables) = keys.split_last().unwrap();
        let mut table = &mut self.settings;
        for key in tables {
            table = table
                .entry(*key)
                .or_insert_with(|| toml::Value::Table(toml::Table::new()))
                .as_table_mut()
                .unwrap();
        }
        table.insert((*last).to_owned(), value.into());
    }

    /// Sets one key of every batch route of the given format.
    pub fn set_route(&mut self, format: &str, key: &str, value: impl Into<toml::Value>) {
        let value = value.into();
        let mut found = false;
        for route in self.settings["routes"].as_array_mut().unwrap() {
            let route = route.as_table_mut().unwrap();
            if route["format"].as_str() == Some(format) {
                route.insert(key.to_owned(), value.clone());
                found = true;
            }
        }
        assert!(found, "a route of format {format}");
    }

    pub fn write(&self) -> PathBuf {
        let path = self.folder.path().join("domicile.toml");
        fs::write(&path, toml::to_string(&self.settings).unwrap()).unwrap();
        path
    }

    pub fn start(self) -> Router {
        let config = self.write();
        let mut command = domicile();
        command.arg("run").arg("--config").arg(config);
        self.start_by(Process::spawn(&mut command))
    }

    /// For a process that was started in some other way with [`Setup::write`]'s file.
    pub fn start_by(self, process: Process) -> Router {
        let address = |section: &str| {
            self.settings[section]["listen"]
                .as_str()
                .unwrap()
                .parse()
                .unwrap()
        };
        let mut router = Router {
            process,
            router: address("data_plane"),
            admin: address("admin"),
            folder: self.folder,
        };
        router.wait_live();
        router
    }
}

/// A running `domicile run`.
pub struct Router {
    pub process: Process,
    pub router: SocketAddr,
    pub admin: SocketAddr,
    pub folder: TempDir,
}

impl Router {
    /// The legal hold `case-7` comes into force, on everybody and everything.
    #[track_caller]
    pub fn hold_everything(&self) {
        let file = self.folder.path().join("policies/organisation.toml");
        let mut policy = fs::read_to_string(&file).unwrap();
        policy.push_str(
            "\n[[holds]]\nid = \"case-7\"\ncitation = \"order 7 of an invented court\"\n",
        );
        fs::write(&file, policy).unwrap();
        let answer = Request::new("POST", "/-/reload").send(self.admin);
        assert_eq!(answer.status, 200, "{answer:?}");
    }

    /// Both listeners answer.
    fn wait_live(&mut self) {
        eventually("the router lives", || {
            if let Some(status) = self.process.exited() {
                panic!("the router ended with {status}:\n{}", self.process.text());
            }
            let live = super::http::Client::new(self.admin).send(&Request::new("GET", "/livez"));
            let data = std::net::TcpStream::connect(self.router);
            (live.is_ok_and(|answer| answer.status == 200) && data.is_ok()).then_some(())
        });
    }

    /// Killed at once, and started again on the same files.
    pub fn restart(&mut self) {
        self.process.kill();
        let config = self.folder.path().join("domicile.toml");
        self.process = Process::spawn(domicile().arg("run").arg("--config").arg(config));
        self.wait_live();
    }

    #[track_caller]
    pub fn put(&self, id: &str, body: &str) -> super::http::Answer {
        Request::new("PUT", format!("/people/{id}"))
            .json(body)
            .send(self.router)
    }
}

pub fn metrics(admin: SocketAddr) -> String {
    let answer = get(admin, "/metrics");
    assert_eq!(answer.status, 200, "{answer:?}");
    String::from_utf8(answer.body).unwrap()
}

/// One recording backend for each region.
pub struct Backends([(&'static str, Backend); 5]);

impl Backends {
    pub fn of(&self, region: &str) -> &Backend {
        let found = self.0.iter().find(|(name, _)| *name == region);
        &found.unwrap_or_else(|| panic!("no region {region}")).1
    }

    /// The regions that were sent anything about people or files.
    pub fn touched(&self) -> Vec<&'static str> {
        self.0
            .iter()
            .filter(|(_, backend)| !backend.seen().is_empty())
            .map(|(region, _)| *region)
            .collect()
    }

    /// The regions whose backend was sent something that holds `needle`.
    pub fn reached_by(&self, needle: &str) -> Vec<&'static str> {
        self.0
            .iter()
            .filter(|(_, backend)| {
                backend.seen().iter().any(|seen| {
                    seen.path.contains(needle) || super::contains(&seen.body, needle.as_bytes())
                })
            })
            .map(|(region, _)| *region)
            .collect()
    }
}
