//! The router's settings, and its process.

use std::{
    fmt::Write as _,
    fs,
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use tokio::net::TcpStream;

use crate::work::{COUNTRIES, REGIONS};

/// Where each store is, and what it speaks.
pub struct Place {
    pub address: SocketAddr,
    pub secure: bool,
    pub http2: bool,
}

pub struct Plan<'p> {
    pub places: &'p [Place],
    /// The listener speaks TLS, with `api.pem` and `api.key` of the folder.
    pub secure: bool,
    /// Lines of `[limits]`.
    pub limits: &'p str,
    pub checks: bool,
    /// Differs between two versions of the settings that mean the same.
    pub version: u64,
}

pub struct Router {
    child: Child,
    pub address: SocketAddr,
    pub admin: SocketAddr,
}

/// Writes settings and organisation.
pub fn write(folder: &Path, ports: (u16, u16), plan: &Plan<'_>) {
    let manifest = env!("CARGO_MANIFEST_DIR");
    let organisation = format!("{manifest}/policies/examples/demo/organisation.toml");
    let mut text = format!(
        r#"location = {{ country = "SG", entity = "acme-sg" }}
policies = "{manifest}/policies"
organisation = "{organisation}"
[data_plane]
listen = "127.0.0.1:{}"
trusted = ["127.0.0.1/32"]
workers = 1
drain = "1s"
[admin]
listen = "127.0.0.1:{}"
[log]
level = "error"
[access_log]
path = "access.log"
[ledger]
path = "ledger"
[directory]
path = "directory"
[limits]
{}
[schemas.person.fields]
"/id" = "user.unique_id"
"/user/country" = "user.contact.address.country"
"/user/name" = "user.name"
"/user/email" = "user.contact.email"
"/active" = "system.operations"
"/score" = "system.operations"
"/tags" = "system.operations"
"/note" = "user.content"
"#,
        ports.0, ports.1, plan.limits
    );
    if plan.secure {
        text.push_str(
            "[data_plane.tls]\ncertificates = [{ chain = \"api.pem\", key = \"api.key\" }]\n",
        );
    }
    for (at, (region, place)) in REGIONS.iter().zip(plan.places).enumerate() {
        let entity = format!("acme-{region}");
        let scheme = if place.secure { "https" } else { "http" };
        let _ = write!(
            text,
            "[regions.{region}]\ncountry = \"{}\"\nentity = \"{entity}\"\nendpoints = [\"{scheme}://{}\"]\nqueue_wait = \"{}ms\"\n",
            COUNTRIES[at],
            place.address,
            500 + plan.version % 2
        );
        if place.secure {
            let _ = writeln!(
                text,
                "ca_file = \"ca.pem\"\nidentity = [\"spiffe://acme/{region}/store\"]"
            );
        }
        if place.http2 {
            text.push_str("http = \"2\"\n");
        }
        if plan.checks {
            let _ = writeln!(
                text,
                "[regions.{region}.health]\npath = \"/healthz\"\ninterval = \"500ms\"\ntimeout = \"1s\""
            );
        }
    }
    text.push_str(
        r#"
[[routes]]
path = "/records"
methods = ["POST"]
format = "record"
subject = "body:/id"
country = ["body:/user/country", "pinned", "network"]
schema = "person"
[[routes]]
path = "/records/{subject}"
methods = ["GET"]
format = "record"
subject = "path:subject"
country = ["pinned"]
schema = "person"
[[routes]]
path = "/files/{subject}/{name}"
format = "opaque"
subject = "path:subject"
country = ["pinned", "header:x-country"]
categories = ["user.content"]
[[routes]]
path = "/batch"
methods = ["POST"]
format = "ndjson"
subject = "body:/id"
country = ["body:/user/country", "pinned"]
schema = "person"
[[routes]]
path = "/_bulk"
format = "bulk"
indices = ["people"]
subject = "bulk:id"
country = ["body:/user/country", "pinned"]
schema = "person"
"#,
    );
    // As an editor does: never half a file.
    let next = folder.join("next.toml");
    fs::write(&next, text).unwrap();
    fs::rename(next, folder.join("domicile.toml")).unwrap();
}

impl Router {
    pub async fn start(program: &str, folder: &Path, ports: (u16, u16)) -> Option<Self> {
        let output = fs::File::create(folder.join("output")).unwrap();
        let child = Command::new(program)
            .args(["run", "--config"])
            .arg(folder.join("domicile.toml"))
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            .stdin(Stdio::null())
            .spawn()
            .ok()?;
        let mut router = Self {
            child,
            address: SocketAddr::from(([127, 0, 0, 1], ports.0)),
            admin: SocketAddr::from(([127, 0, 0, 1], ports.1)),
        };
        for _ in 0..600 {
            if TcpStream::connect(router.address).await.is_ok() {
                return Some(router);
            }
            if !router.runs() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let output = fs::read_to_string(folder.join("output"));
        println!("the router did not start: {}", output.unwrap_or_default());
        None
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn runs(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Has it read its files again.
    pub fn reload(&self) {
        self.signal("-HUP");
    }

    fn signal(&self, signal: &str) {
        let pid = self.child.id().to_string();
        let _ = Command::new("kill").args([signal, &pid]).status();
    }
}

impl Drop for Router {
    fn drop(&mut self) {
        if self.runs() {
            self.signal("-TERM");
        }
        let _ = self.child.wait();
    }
}
