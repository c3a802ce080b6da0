use std::{net::SocketAddr, path::PathBuf};

use clap::{ArgGroup, Args as ClapArgs, Parser, Subcommand};

/// A data residency router: stores each personal-data record in its subject's home region,
/// refuses the transfers that law or your own promise forbids, and keeps evidence of the rest.
#[derive(Debug, Parser)]
#[command(name = "domicile", version, arg_required_else_help = true)]
pub struct Args {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Five regional stores, a router and its admin listener in one process, to try things out.
    Demo(Demo),
    /// Run the router.
    Run(Run),
    /// Check settings and policies: every mistake at once, with its place.
    Check(Check),
    /// Ask and check the policy.
    Policy(Policy),
    /// What is in an existing export: whose, which categories, what is in the wrong place.
    /// Records are JSON objects on standard input, one a line. Exits 1 unless each has a home and
    /// lies there.
    Scan(Scan),
    /// Verify and read the ledger.
    Ledger(Ledger),
    /// The directory of homes.
    Directory(Directory),
    /// Print the subject keys of the ids on standard input, to match reports with people.
    Key(Key),
    /// Reports from the ledger: transfers, a person, instruments, an incident.
    Report(super::report_args::Report),
    /// Ask a URL whether it is well: exits 0 on a 2xx, 1 on any other answer or none.
    Probe(Probe),
    /// Run one embedded regional store.
    Store(Store),
}

#[derive(Debug, ClapArgs)]
pub struct Demo {
    /// Keep data and ledger here; default: a fresh temporary folder, removed at the end.
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Where the router listens.
    #[arg(long, default_value = "127.0.0.1:8080")]
    pub listen: SocketAddr,
    /// Where the admin listener listens.
    #[arg(long, default_value = "127.0.0.1:9090")]
    pub admin: SocketAddr,
    /// Ports of the stores cn, in, ru, eu, sg: five with commas, or the first of five in a row;
    /// 0 lets the system choose.
    #[arg(long, default_value = "7001", value_name = "PORTS")]
    pub store_ports: String,
}

#[derive(Debug, ClapArgs)]
pub struct Run {
    /// The settings file.
    #[arg(long, value_name = "FILE", env = "DOMICILE_CONFIG")]
    pub config: PathBuf,
    /// Let records leave home although the ledger has shown a later time than the clock's: that
    /// time was wrong.
    #[arg(long, env = "DOMICILE_CLOCK_IS_RIGHT")]
    pub clock_is_right: bool,
}

#[derive(Debug, ClapArgs)]
pub struct Check {
    /// The settings file.
    #[arg(long, value_name = "FILE", env = "DOMICILE_CONFIG")]
    pub config: PathBuf,
    /// Print one JSON object: `faults`, `policy`, `settings`, `outlook`.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, ClapArgs)]
pub struct Policy {
    #[command(subcommand)]
    pub command: PolicyCommand,
}

#[derive(Debug, Subcommand)]
pub enum PolicyCommand {
    /// Check law, vocabulary and organisation files.
    Check(PolicyCheck),
    /// Answer a question; exits 0 on a refusal too.
    Explain(Explain),
    /// Subject law by destination: what is open, on what ground.
    Matrix(Matrix),
    /// Run the cases under `tests/`; exits 1 when one fails.
    Test(PolicyTest),
    /// Prove the properties over the whole finite space; exits 1 when one does not hold.
    Prove(Prove),
    /// Every flow whose outcome or ground changes between two folders; exits 1 when one does.
    Diff(Diff),
    /// Change one rule at a time and see whether cases and properties notice.
    Mutants(Mutants),
}

#[derive(Debug, ClapArgs)]
pub struct PolicyFiles {
    /// Folder of `law/` and `vocabulary.toml`.
    #[arg(long, value_name = "DIR")]
    pub policies: PathBuf,
    /// Default: `organisation.toml` in that folder.
    #[arg(long, value_name = "FILE")]
    pub organisation: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, ClapArgs)]
pub struct PolicyCheck {
    #[command(flatten)]
    pub files: PolicyFiles,
    /// The day or instant by which things end soon or are old; default: now.
    #[arg(long, value_name = "INSTANT")]
    pub at: Option<String>,
    /// Settings whose regions must be able to keep the promises.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

#[derive(Debug, ClapArgs)]
pub struct Matrix {
    #[command(flatten)]
    pub files: PolicyFiles,
    /// store, replicate, read, disclose, relocate or erase.
    #[arg(long, default_value = "read", value_name = "OPERATION")]
    pub operation: String,
    /// What the record holds, with commas between.
    #[arg(
        long,
        default_value = "user",
        value_name = "KEYS",
        value_delimiter = ','
    )]
    pub categories: Vec<String>,
    /// The instant; default: now.
    #[arg(long, value_name = "INSTANT")]
    pub at: Option<String>,
}

#[derive(Debug, ClapArgs)]
pub struct PolicyTest {
    #[command(flatten)]
    pub files: PolicyFiles,
    /// Folder of the cases; default: `tests` in the folder of policies.
    #[arg(long, value_name = "DIR")]
    pub cases: Option<PathBuf>,
    /// Settings whose regions the cases may expect.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

#[derive(Debug, ClapArgs)]
pub struct Prove {
    #[command(flatten)]
    pub files: PolicyFiles,
    /// Default: `properties.toml` in the folder of policies.
    #[arg(long, value_name = "FILE")]
    pub properties: Option<PathBuf>,
}

#[derive(Debug, ClapArgs)]
pub struct Diff {
    /// The folder of `law/` and `vocabulary.toml` as it was.
    #[arg(value_name = "OLD")]
    pub old: PathBuf,
    /// The folder as it is to be.
    #[arg(value_name = "NEW")]
    pub new: PathBuf,
    /// For both; default: `organisation.toml` in each folder.
    #[arg(long, value_name = "FILE")]
    pub organisation: Option<PathBuf>,
    /// Print one JSON object: `old`, `new`, `changes`, `notes`, `untrue`.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, ClapArgs)]
pub struct Mutants {
    #[command(flatten)]
    pub files: PolicyFiles,
    /// Default: `properties.toml` in the folder of policies.
    #[arg(long, value_name = "FILE")]
    pub properties: Option<PathBuf>,
    /// How many, chosen by a fixed seed; default: all.
    #[arg(long, value_name = "NUMBER")]
    pub sample: Option<usize>,
    /// Those alone whose name holds this text, such as a rule's id or `group EEA`.
    #[arg(long, value_name = "TEXT")]
    pub only: Option<String>,
}

#[derive(Debug, ClapArgs)]
pub struct Explain {
    #[command(flatten)]
    pub files: PolicyFiles,
    /// The question as JSON; `-` for standard input.
    #[arg(long, value_name = "FILE")]
    pub input: PathBuf,
    /// Settings whose regions name the answer's `region`.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Questions as NDJSON, answers as NDJSON in the same order.
    #[arg(long)]
    pub batch: bool,
}

#[derive(Debug, ClapArgs)]
pub struct Ledger {
    #[command(subcommand)]
    pub command: LedgerCommand,
}

#[derive(Debug, Subcommand)]
pub enum LedgerCommand {
    /// Check the chain: exits 1 and names the place when anything was changed, cut or moved.
    Verify(Verify),
    /// The last entries.
    Tail(Tail),
    /// Make a key that signs exports; prints the verifier key for those who check them.
    Keygen(Keygen),
    /// Write the ledger as signed tiles (C2SP tlog-tiles), or what came since the last export.
    Export(Export),
    /// Prove that entries stand in the ledger, or that it contains what was signed before; check
    /// such proofs.
    Prove(LedgerProve),
}

#[derive(Debug, ClapArgs)]
pub struct Verify {
    /// The ledger's folder.
    #[arg(value_name = "DIR", default_value = LEDGER)]
    pub folder: PathBuf,
    /// Print one JSON object: `verified`, and `report` or `damage`.
    #[arg(long)]
    pub json: bool,
}

/// Where packages and images keep it.
pub(super) const LEDGER: &str = "/var/lib/domicile/ledger";

#[derive(Debug, ClapArgs)]
pub struct Tail {
    /// The ledger's folder.
    #[arg(value_name = "DIR", default_value = LEDGER)]
    pub folder: PathBuf,
    /// Print JSON, one entry a line, as `/v1/ledger` gives it.
    #[arg(long)]
    pub json: bool,
    /// How many entries.
    #[arg(short = 'n', long, default_value_t = 20)]
    pub lines: usize,
    /// Go on printing as entries come.
    #[arg(short, long)]
    pub follow: bool,
}

#[derive(Debug, ClapArgs)]
pub struct Keygen {
    /// Where the private key goes; a file that stands there is never overwritten.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Name of the ledger and of its key, one for each ledger, such as example.com/ledger-eu.
    #[arg(long, value_name = "NAME")]
    pub name: String,
}

#[derive(Debug, ClapArgs)]
pub struct Export {
    /// The ledger's folder.
    #[arg(value_name = "DIR", default_value = LEDGER)]
    pub folder: PathBuf,
    /// The export's folder: a new one, or that of the last export, which is continued.
    #[arg(long, value_name = "FOLDER")]
    pub out: PathBuf,
    /// The private key of `ledger keygen`.
    #[arg(long, value_name = "FILE")]
    pub key: PathBuf,
    /// Print one JSON object: `signed`, and `export` or `why`.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, ClapArgs)]
#[command(group = ArgGroup::new("what").required(true).args(["entry", "decision", "check", "since"]).multiple(true))]
pub struct LedgerProve {
    /// The ledger's folder, or that of an export. Default: /var/lib/domicile/ledger.
    #[arg(value_name = "DIR", conflicts_with = "check")]
    pub folder: Option<PathBuf>,
    /// Prove that the entry of this number stands in the ledger.
    #[arg(long, value_name = "NUMBER", conflicts_with_all = ["decision", "check", "since"])]
    pub entry: Option<u64>,
    /// The same of each entry of a decision, by its id.
    #[arg(long, value_name = "ID", conflicts_with_all = ["check", "since"])]
    pub decision: Option<String>,
    /// The signed checkpoint to prove against; default: that of the export.
    #[arg(long, value_name = "FILE", conflicts_with = "check")]
    pub checkpoint: Option<PathBuf>,
    /// Write the proofs into this folder, as NUMBER.tlog-proof.
    #[arg(long, value_name = "FOLDER", conflicts_with_all = ["check", "since"])]
    pub out: Option<PathBuf>,
    /// An older checkpoint that the ledger must contain. With a newer one at hand (of the export, or
    /// --checkpoint) prints the proof.
    #[arg(long, value_name = "FILE", requires = "verifier")]
    pub since: Option<PathBuf>,
    /// Check a proof, a checkpoint, or an export's folder.
    #[arg(long, value_name = "PATH", requires = "verifier")]
    pub check: Option<PathBuf>,
    /// The verifier key of whoever signed, as `ledger keygen` printed it, or a file with it.
    #[arg(long, value_name = "KEY")]
    pub verifier: Option<String>,
    /// With --check: print one JSON object: `holds`, and `checkpoint`, `since`, `entry`, or `why`.
    #[arg(long, requires = "check")]
    pub json: bool,
}

#[derive(Debug, ClapArgs)]
pub struct Directory {
    #[command(subcommand)]
    pub command: DirectoryCommand,
}

#[derive(Debug, Subcommand)]
pub enum DirectoryCommand {
    /// Pin the ids on standard input, one a line, to a region. The router must not be running.
    Import(Import),
}

#[derive(Debug, ClapArgs)]
pub struct Import {
    /// The region that holds these people's records, as the settings call it.
    #[arg(long, value_name = "REGION")]
    pub region: String,
    /// The settings file.
    #[arg(long, value_name = "FILE", env = "DOMICILE_CONFIG")]
    pub config: PathBuf,
    /// The routes' namespace that the ids belong to.
    #[arg(long, default_value = "person")]
    pub namespace: String,
}

#[derive(Debug, ClapArgs)]
pub struct Key {
    /// The settings file.
    #[arg(long, value_name = "FILE", env = "DOMICILE_CONFIG")]
    pub config: PathBuf,
    /// The routes' namespace that the ids belong to.
    #[arg(long, default_value = "person")]
    pub namespace: String,
}

#[derive(Debug, ClapArgs)]
pub struct Scan {
    /// The settings file.
    #[arg(long, value_name = "FILE", env = "DOMICILE_CONFIG")]
    pub config: PathBuf,
    /// The route whose records these are like, by its name or path; default: the only one that fits.
    #[arg(long, value_name = "ROUTE")]
    pub route: Option<String>,
    /// The region where the records lie today.
    #[arg(long, value_name = "REGION")]
    pub region: Option<String>,
    /// Where a record holds its person's id, as a JSON pointer; default: as the route says.
    #[arg(long, value_name = "POINTER")]
    pub subject: Option<String>,
    /// Print one JSON object.
    #[arg(long, conflicts_with = "each")]
    pub json: bool,
    /// Print one JSON object for each line, and the summary to standard error.
    #[arg(long)]
    pub each: bool,
}

#[derive(Debug, ClapArgs)]
pub struct Probe {
    /// What to GET, such as http://127.0.0.1:9091/readyz.
    #[arg(value_name = "URL")]
    pub url: String,
    /// For all of it: name lookup, connection, answer.
    #[arg(long, default_value = "3s", value_name = "DURATION")]
    pub timeout: String,
    /// PEM file of the authorities that may vouch for an https server.
    #[arg(long, value_name = "FILE")]
    pub ca: Option<PathBuf>,
}

#[derive(Debug, ClapArgs)]
pub struct Store {
    /// Where it listens; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:7000")]
    pub listen: SocketAddr,
    /// Where the documents lie.
    #[arg(long, value_name = "DIR")]
    pub data: PathBuf,
    /// Who says that it answered, in `Domicile-Store`.
    #[arg(long, default_value = "store")]
    pub region: String,
}
