//! `domicile ledger keygen|export|prove`: the ledger for people elsewhere.

use std::{
    fs::{File, OpenOptions},
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};

use super::{
    Ended, Failure,
    args::{Export, Keygen, LEDGER, LedgerProve},
    eprint_line, print_line,
};
use crate::{
    disk::create_private_folder,
    document::read_whole,
    domain::DecisionId,
    tlog::{self, Checked, Contained, LogError, Proof, Signed, Signer, Verifier, Which},
    tls::is_world_readable,
};

/// Texts that are signed, and keys, have a few hundred bytes.
const MOST: u64 = 1 << 20;

pub fn keygen(args: &Keygen) -> Result<Ended, Failure> {
    let path = &args.file;
    if path.exists() {
        let whose = read(path).and_then(|text| Ok(Signer::from_text(&text)?));
        let whose = whose.map(|s| format!("; its verifier key is {}", s.verifier()));
        let whose = whose.unwrap_or_default();
        return Err(format!("`{}` exists and is kept{whose}", path.display()).into());
    }
    let (signer, text) = Signer::generate(&args.name)?;
    write_key(path, &text).map_err(|e| format!("`{}` cannot be written: {e}", path.display()))?;
    print_line(&signer.verifier().to_string());
    Ok(Ended::Good)
}

/// Durable before its verifier key is told to anybody.
fn write_key(path: &Path, text: &str) -> std::io::Result<()> {
    let mut options = OpenOptions::new();
    let mut file = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    let written = file
        .write_all(text.as_bytes())
        .and_then(|()| file.sync_all());
    // What is no key would be kept as one.
    written.inspect_err(|_| drop(std::fs::remove_file(path)))?;
    let above = path.parent().filter(|p| !p.as_os_str().is_empty());
    File::open(above.unwrap_or(Path::new(".")))?.sync_all()
}

fn read(path: &Path) -> Result<String, Failure> {
    let unread = |error: String| format!("cannot read `{}`: {error}", path.display());
    let bytes = read_whole(path, MOST).map_err(std::io::Error::from);
    let bytes = bytes.map_err(|e| unread(e.to_string()))?;
    Ok(String::from_utf8(bytes).map_err(|_| unread("it is no text in UTF-8".into()))?)
}

pub fn export(args: &Export) -> Result<Ended, Failure> {
    let signer = Signer::from_text(&read(&args.key)?);
    let signer = signer.map_err(|what| format!("`{}`: {what}", args.key.display()))?;
    if is_world_readable(&args.key) {
        let path = args.key.display();
        eprint_line(&format!(
            "warning: every user can read the private key `{path}`: chmod o-r"
        ));
    }
    let exported = match tlog::export(&args.folder, &args.out, &signer) {
        Ok(exported) => exported,
        Err(error) => {
            let json = args.json;
            return refused(error, |why| match json {
                true => print_line(&json!({ "signed": false, "why": why }).to_string()),
                false => print_line(&format!("nothing was signed: {why}")),
            });
        }
    };
    if args.json {
        print_line(&json!({ "signed": true, "export": exported }).to_string());
        return Ok(Ended::Good);
    }
    let (size, root) = (exported.size, &exported.root);
    let grown = match exported.before {
        None => String::new(),
        Some(before) if before == size => ", none of them new".to_owned(),
        Some(before) => format!(", {} of them new", size - before),
    };
    print_line(&format!("signed: {size} entries{grown}, root {root}"));
    print_line(&format!("verifier {}", exported.verifier));
    Ok(Ended::Good)
}

/// Tells an answer, and gives everything else on.
fn refused(error: LogError, tell: impl FnOnce(&str)) -> Result<Ended, Failure> {
    match error.refusal() {
        Some(why) => {
            tell(&why);
            Ok(Ended::No)
        }
        None => Err(error.into()),
    }
}

pub fn prove(args: &LedgerProve) -> Result<Ended, Failure> {
    let verifier = args.verifier.as_deref().map(verifier).transpose()?;
    let since = match (&args.since, &verifier) {
        (Some(path), Some(verifier)) => match Signed::open(&read(path)?, verifier) {
            Ok(signed) => Some(signed),
            Err(error) => return refused(error.of(path.display()), |why| said_no(args.json, why)),
        },
        _ => None,
    };
    if let (Some(path), Some(verifier)) = (&args.check, &verifier) {
        return match tlog::check(path, verifier, since.as_ref()) {
            Ok(checked) => {
                say(&checked, args.json);
                Ok(Ended::Good)
            }
            Err(error) => refused(error, |why| said_no(args.json, why)),
        };
    }
    let default = PathBuf::from(LEDGER);
    let folder = args.folder.as_ref().unwrap_or(&default);
    let checkpoint = args.checkpoint.as_deref().map(read).transpose()?;
    let which = match (args.entry, args.decision.as_deref()) {
        (Some(0), _) => return Err("entries have numbers from 1 on".into()),
        (Some(number), _) => Which::Entry(number),
        (None, Some(id)) => {
            let id = DecisionId::parse(id);
            Which::Decision(id.ok_or("a decision is named by the id that Domicile-Decision gives")?)
        }
        (None, None) => {
            let (Some(since), Some(verifier)) = (&since, &verifier) else {
                return Err("give --entry, --decision, --since or --check".into());
            };
            let contained = tlog::contains(folder, since, checkpoint.as_deref(), verifier);
            return match contained {
                Ok(contained) => grown(&contained),
                Err(error) => refused(error, no),
            };
        }
    };
    match tlog::prove(folder, which, checkpoint.as_deref(), verifier.as_ref()) {
        Ok(proofs) => hand_over(&proofs, args.out.as_deref()),
        Err(error) => refused(error, no),
    }
}

fn verifier(text: &str) -> Result<Verifier, Failure> {
    let parsed = text.parse();
    let what = match parsed {
        Ok(verifier) => return Ok(verifier),
        Err(what) if !Path::new(text).exists() => format!("`{text}`: {what}"),
        Err(_) => match read(Path::new(text))?.trim().parse() {
            Ok(verifier) => return Ok(verifier),
            Err(what) => format!("`{text}`: {what}"),
        },
    };
    Err(format!("{what}, as `ledger keygen` prints it").into())
}

fn grown(contained: &Contained) -> Result<Ended, Failure> {
    let (old, size) = (contained.old, contained.size);
    let verdict = format!("holds: the {size} entries begin with the {old} that were signed");
    match &contained.proof {
        Some(proof) => {
            print_line(proof.trim_end_matches('\n'));
            eprint_line(&verdict);
        }
        None => print_line(&verdict),
    }
    Ok(Ended::Good)
}

/// Nothing but proofs goes to standard output.
fn no(why: &str) {
    eprint_line(&format!("error: {why}"));
}

fn said_no(json: bool, why: &str) {
    match json {
        true => print_line(&json!({ "holds": false, "why": why }).to_string()),
        false => print_line(&format!("does not hold: {why}")),
    }
}

fn hand_over(proofs: &[Proof], out: Option<&Path>) -> Result<Ended, Failure> {
    let Some(out) = out else {
        let [proof] = proofs else {
            let entries: Vec<String> = proofs.iter().map(|p| p.entry.to_string()).collect();
            return Err(format!(
                "the decision has the entries {}: give --out FOLDER for a proof of each, or --entry",
                entries.join(", ")
            )
            .into());
        };
        print_line(proof.text.trim_end_matches('\n'));
        return Ok(Ended::Good);
    };
    create_private_folder(out).map_err(|e| format!("`{}`: {e}", out.display()))?;
    for proof in proofs {
        let path = out.join(format!("{}.tlog-proof", proof.entry));
        let mut options = OpenOptions::new();
        let options = options.write(true).create(true).truncate(true).mode(0o600);
        let written = options.open(&path);
        let written = written.and_then(|mut f| f.write_all(proof.text.as_bytes()));
        written.map_err(|e| format!("`{}` cannot be written: {e}", path.display()))?;
        print_line(&path.display().to_string());
    }
    Ok(Ended::Good)
}

fn say(checked: &Checked, json: bool) {
    let Checked {
        checkpoint,
        since,
        entry,
        readable,
    } = checked;
    let (origin, size) = (&checkpoint.origin, checkpoint.size);
    if json {
        let mut told = json!({
            "holds": true,
            "checkpoint": { "origin": origin, "size": size, "root": checkpoint.root_text() },
        });
        let more = [
            ("since", since.map(Value::from)),
            ("entry", entry.as_ref().map(|e| json!(e))),
            ("readable", readable.map(Value::from)),
        ];
        if let Some(members) = told.as_object_mut() {
            let there = more
                .into_iter()
                .filter_map(|(k, v)| Some((k.to_owned(), v?)));
            members.extend(there);
        }
        print_line(&told.to_string());
        return;
    }
    print_line(&match (entry, readable) {
        (Some(entry), _) => {
            let seq = entry.seq;
            format!("holds: entry {seq} stands among the {size} that {origin} has signed")
        }
        (None, Some(readable)) => format!(
            "holds: all {size} entries are those that {origin} has signed, {readable} of them readable"
        ),
        (None, None) => format!("holds: {origin} has signed {size} entries"),
    });
    if let Some(since) = since {
        print_line(&format!(
            "they begin with the {since} of the older checkpoint"
        ));
    }
    if let Some(entry) = entry {
        print_line(&serde_json::to_string(entry).unwrap_or_default());
    }
}
