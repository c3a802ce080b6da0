//! `domicile demo`: five regional stores, the router and its admin listener in one process.

use std::{
    fs,
    net::SocketAddr,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    time::Duration,
};

use super::{Ended, Failure, args::Demo, print_line, run};
use crate::{
    clock,
    policy::shipped,
    router::running::{Bound, Clock, Signals},
    store::{Store, StoreHandle, StoreOptions},
};

/// The demo's regions, in the order of `--store-ports`.
const REGIONS: [&str; 5] = ["cn", "in", "ru", "eu", "sg"];

/// The router has ended its requests before the stores are told to stop; what still runs are
/// callers of a store's own port. With the router's drain of 1 s the demo ends within 2 s.
const STORE_GRACE: Duration = Duration::from_millis(250);

/// A folder that is removed again, unless it is the user's own.
struct DataFolder {
    path: PathBuf,
    remove: bool,
}

pub fn demo(args: Demo) -> Result<Ended, Failure> {
    let signals = Signals::begin()?;
    let ports = store_ports(&args.store_ports)?;
    let folder = DataFolder::open(args.data)?;
    let stores = start_stores(&folder.path, ports)?;
    // Bound before the settings are written, so that port 0 becomes a port that can be told.
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    let bound = Bound::new(args.listen, workers, args.admin)?;
    let (listen, admin) = bound
        .addresses()
        .ok_or("the addresses in use cannot be told")?;
    write_policies(&folder.path)?;
    let config = write_settings(&folder.path, listen, admin, &stores)?;
    let router = run::start(&config, Some(bound), Clock::Minded)?;
    for line in announcement(&folder, listen, admin, &stores) {
        print_line(&line);
    }
    let ended = run::until_signal(router, signals);
    stop_stores(stores)?;
    drop(folder);
    Ok(ended)
}

/// Five ports: named one by one, or five in a row from the first, or zeros.
fn store_ports(text: &str) -> Result<[u16; 5], Failure> {
    let wrong = || -> Failure {
        format!(
            "--store-ports `{text}`: give five ports with commas, or the first of five in a row, \
             or 0 to let the system choose"
        )
        .into()
    };
    let ports: Vec<u16> = text
        .split(',')
        .map(|p| p.trim().parse().map_err(|_| wrong()))
        .collect::<Result<_, _>>()?;
    match *ports.as_slice() {
        [0] => Ok([0; 5]),
        [first] => {
            let mut next = Some(first);
            let mut row = [0; 5];
            for port in &mut row {
                *port = next.ok_or_else(wrong)?;
                next = port.checked_add(1);
            }
            Ok(row)
        }
        [a, b, c, d, e] => Ok([a, b, c, d, e]),
        _ => Err(wrong()),
    }
}

fn start_stores(data: &Path, ports: [u16; 5]) -> Result<Vec<StoreHandle>, Failure> {
    let mut stores = Vec::new();
    for (region, port) in REGIONS.into_iter().zip(ports) {
        let listen = SocketAddr::from(([127, 0, 0, 1], port));
        let mut options = StoreOptions::new(listen, data.join("stores").join(region), region);
        options.limits.grace = STORE_GRACE;
        let store = Store::bind(options)
            .map_err(|e| format!("the store of {region}: {e} (change it with --store-ports)"))?;
        stores.push(store.spawn()?);
    }
    Ok(stores)
}

/// All at once, so that five callers that say nothing cost one grace and not five.
fn stop_stores(mut stores: Vec<StoreHandle>) -> Result<(), Failure> {
    stores.iter_mut().for_each(StoreHandle::begin_stop);
    for store in stores {
        store.stop()?;
    }
    Ok(())
}

/// Law and vocabulary as shipped, and the demo's organisation with dates that fit today. Files
/// that stand already are the user's and stay.
fn write_policies(data: &Path) -> Result<(), Failure> {
    let folder = data.join("policies");
    for (name, text) in shipped::LAW {
        write_new(&folder.join(name), text)?;
    }
    let organisation = shipped::demo_organisation(clock::today());
    write_new(&folder.join("organisation.toml"), &organisation)
}

fn write_new(path: &Path, text: &str) -> Result<(), Failure> {
    if path.exists() {
        return Ok(());
    }
    let written = path
        .parent()
        .map_or(Ok(()), fs::create_dir_all)
        .and_then(|()| fs::write(path, text));
    written.map_err(|e| format!("cannot write {}: {e}", path.display()).into())
}

/// The demo's settings file with the addresses in use. Written anew at each start.
fn write_settings(
    data: &Path,
    listen: SocketAddr,
    admin: SocketAddr,
    stores: &[StoreHandle],
) -> Result<PathBuf, Failure> {
    let mut text = shipped::DEMO_SETTINGS
        .replace("127.0.0.1:8080", &listen.to_string())
        .replace("127.0.0.1:9090", &admin.to_string());
    for (number, store) in (1..).zip(stores) {
        let fixed = format!("http://127.0.0.1:{}", 7000 + number);
        text = text.replace(&fixed, &format!("http://{}", store.address()));
    }
    let path = data.join("domicile.toml");
    fs::write(&path, text).map_err(|e| format!("cannot write {}: {e}", path.display()))?;
    Ok(path)
}

impl DataFolder {
    fn open(data: Option<PathBuf>) -> Result<Self, Failure> {
        let (path, remove) = match data {
            Some(path) => (path, false),
            None => {
                let mut random = [0; 8];
                getrandom::fill(&mut random)
                    .map_err(|e| format!("no random number for a folder's name: {e}"))?;
                let name = format!("domicile-demo-{:016x}", u64::from_be_bytes(random));
                (std::env::temp_dir().join(name), true)
            }
        };
        // Records lie in it: for its owner alone, unless it stands already.
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&path)
            .map_err(|e| format!("cannot create the folder {}: {e}", path.display()))?;
        let path = path.canonicalize()?;
        Ok(Self { path, remove })
    }
}

impl Drop for DataFolder {
    fn drop(&mut self) {
        if self.remove {
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

fn announcement(
    folder: &DataFolder,
    listen: SocketAddr,
    admin: SocketAddr,
    stores: &[StoreHandle],
) -> Vec<String> {
    let stores: Vec<String> = REGIONS
        .into_iter()
        .zip(stores)
        .map(|(region, store)| format!("{region} http://{}", store.address()))
        .collect();
    let data = folder.path.display();
    let ledger = shell_word(&folder.path.join("ledger").display().to_string());
    let keeps = if folder.remove {
        "removed at the end; keep it with --data DIR"
    } else {
        "kept"
    };
    let program = std::env::current_exe().map_or_else(
        |_| "domicile".to_owned(),
        |path| shell_word(&path.display().to_string()),
    );
    let text = format!(
        r#"ready
  router   http://{listen}   in Singapore, run by acme-sg
  admin    http://{admin}   the console, for a browser; /metrics /readyz /v1/ledger /v1/regions
  stores   {stores}
  data     {data}   ({keeps})

Five requests to paste into another terminal:

# 1. A record of a person in India lands in India, though it came in through Singapore.
curl -si -X PUT http://{listen}/people/asha -H 'Content-Type: application/json' \
  -d '{{"name":"Asha Example","country":"IN","email":"asha@example.com"}}'

# 2. A batch of mixed people is split by home and answered item by item; the last one shows no
#    country and is refused with 422.
curl -s http://{listen}/people -H 'Content-Type: application/x-ndjson' --data-binary '
{{"id":"anna","name":"Anna Muster","address":{{"country":"DE"}}}}
{{"id":"wei","name":"Wei Example","phone":"+86 131 2345 6789"}}
{{"id":"ivan","name":"Ivan Example","country":"RU"}}
{{"id":"mei","name":"Mei Example","country":"SG"}}
{{"id":"nobody","name":"No Country"}}'

# 3. A Russian person's record, asked to be stored in the EU: refused with 451 and the article.
curl -si -X PUT http://{listen}/people/ivan -H 'Domicile-Target: eu' -H 'Content-Type: application/json' \
  -d '{{"name":"Ivan Example","country":"RU"}}'

# 4. An EU person's record read from Singapore: allowed under standard contractual clauses, and
#    the ledger shows the use (take the id of Domicile-Decision for ?decision=).
curl -si -w '\n' http://{listen}/people/anna
{program} ledger tail {ledger} -n 3
curl -s -w '\n' 'http://{admin}/v1/ledger?limit=100'

# 5. A Chinese person's record read from Singapore: refused, with the list of what is missing.
curl -si http://{listen}/people/wei

End with Ctrl-C."#,
        stores = stores.join("\n           "),
    );
    text.lines().map(str::to_owned).collect()
}

/// As a shell reads it back as one word, however the folder is called.
fn shell_word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@%,".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn printed_paths_survive_a_shell() {
        assert_eq!(shell_word("/tmp/a-b_c.1"), "/tmp/a-b_c.1");
        assert_eq!(shell_word("/tmp/my data"), "'/tmp/my data'");
        assert_eq!(shell_word("it's"), r"'it'\''s'");
        assert_eq!(shell_word(""), "''");
    }

    #[test]
    fn ports_are_five() {
        assert_eq!(store_ports("7001").unwrap(), [7001, 7002, 7003, 7004, 7005]);
        assert_eq!(store_ports("0").unwrap(), [0; 5]);
        assert_eq!(store_ports("1,2,3,4,5").unwrap(), [1, 2, 3, 4, 5]);
        for text in ["", "1,2", "x", "65534", "1,2,3,4,5,6", "-1"] {
            assert!(store_ports(text).is_err(), "{text}");
        }
    }
}
