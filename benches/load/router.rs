//! The router's settings for a work.

use std::{fmt::Write as _, fs, net::SocketAddr, path::Path};

use crate::work::{REGIONS, Work};

/// Writes settings and organisation; the path of the settings.
pub fn write(
    folder: &Path,
    work: Work,
    port: u16,
    admin: u16,
    workers: usize,
    stores: &[SocketAddr],
) -> String {
    fs::create_dir_all(folder).unwrap();
    let policies = concat!(env!("CARGO_MANIFEST_DIR"), "/policies");
    let (location, entities) = if work.is_domestic() {
        (("DE", "acme-de"), ["acme-de"; 5])
    } else {
        (
            ("SG", "acme-sg"),
            ["acme-cn", "acme-in", "acme-ru", "acme-eu", "acme-sg"],
        )
    };
    let organisation = if work.is_domestic() {
        domestic(work)
    } else {
        let demo = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/policies/examples/demo/organisation.toml"
        );
        fs::read_to_string(demo).unwrap()
    };
    fs::write(folder.join("organisation.toml"), organisation).unwrap();
    let mut text = format!(
        r#"location = {{ country = "{}", entity = "{}" }}
policies = "{policies}"
organisation = "{}/organisation.toml"
[data_plane]
listen = "127.0.0.1:{port}"
trusted = ["127.0.0.1/32"]
workers = {workers}
drain = "1s"
[admin]
listen = "127.0.0.1:{admin}"
[log]
level = "warn"
[ledger]
path = "ledger"
[directory]
path = "directory"
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
        location.0,
        location.1,
        folder.display()
    );
    for (at, region) in REGIONS.iter().enumerate() {
        let country = if work.is_domestic() {
            "DE"
        } else {
            work.countries()[at]
        };
        write!(
            text,
            "[regions.{region}]\ncountry = \"{country}\"\nentity = \"{}\"\nendpoints = [\"http://{}\"]\n",
            entities[at], stores[at]
        )
        .unwrap();
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
"#,
    );
    let path = folder.join("domicile.toml");
    fs::write(&path, text).unwrap();
    path.display().to_string()
}

/// One company in Germany with five regions there, each for the people of one member state.
fn domestic(work: Work) -> String {
    let mut text =
        "[entities.acme-de]\ncountry = \"DE\"\nrole = \"controller\"\n[homes]\n".to_owned();
    for (country, region) in work.countries().iter().zip(REGIONS) {
        writeln!(text, "{country} = [\"{region}\"]").unwrap();
    }
    text.push_str("default = [\"eu\"]\n");
    text
}
