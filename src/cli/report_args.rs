//! The arguments of `domicile report`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

#[derive(Debug, Args)]
pub struct Report {
    #[command(subcommand)]
    pub command: ReportCommand,
}

#[derive(Debug, Subcommand)]
pub enum ReportCommand {
    /// What crossed which border, on what ground, and what was refused.
    Transfers(Transfers),
    /// Every region, recipient, mechanism and instrument that one person's data met. The id comes
    /// on standard input: arguments stand in lists of processes.
    Subject(Subject),
    /// What was signed and filed: parties, module, dates, digest, where a copy is had, and how
    /// often each was used.
    Instruments(Instruments),
    /// Whom an incident concerns, under which laws, what of them, and by when each law wants it
    /// told. CSV and JSON list the people by their keys.
    Incident(Incident),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    Text,
    Csv,
    Json,
    Html,
}

/// Which ledger, and how its report is printed.
#[derive(Debug, Args)]
pub struct Source {
    /// The ledger's folder; default: that of the settings, else /var/lib/domicile/ledger.
    #[arg(value_name = "DIR")]
    pub folder: Option<PathBuf>,
    /// The settings file: where the ledger lies, and the policies that rules and instruments are
    /// looked up in.
    #[arg(long, value_name = "FILE", env = "DOMICILE_CONFIG")]
    pub config: Option<PathBuf>,
    /// How it is printed.
    #[arg(long, value_enum, default_value = "text")]
    pub format: Format,
}

/// The time that the report is about.
#[derive(Debug, Args)]
pub struct Times {
    /// From this day or instant on: 2026-11-01 or 2026-11-01T08:00:00Z.
    #[arg(long, value_name = "TIME")]
    pub since: Option<String>,
    /// Up to but without this day or instant.
    #[arg(long, value_name = "TIME")]
    pub until: Option<String>,
    /// Time zone in which days begin, such as Europe/Berlin. Default: UTC; for `--aware` and
    /// `--assessed` where on earth the day begins first.
    #[arg(long, value_name = "ZONE")]
    pub zone: Option<String>,
}

#[derive(Debug, Args)]
pub struct Transfers {
    #[command(flatten)]
    pub source: Source,
    #[command(flatten)]
    pub times: Times,
    /// Flows of this region alone, as the settings call it: those whose entry names it, and stores,
    /// replicates and relocates from its place and entity. Without `--config` what stands before the
    /// first entry that tells where it is cannot be told apart: a note counts it.
    #[arg(long, value_name = "REGION")]
    pub region: Option<String>,
    /// Flows that this law governs alone, such as EU.
    #[arg(long, value_name = "LAW")]
    pub law: Option<String>,
    /// Flows under this instrument alone, by its id.
    #[arg(long, value_name = "ID")]
    pub instrument: Option<String>,
    /// Flows within one country, too.
    #[arg(long)]
    pub all: bool,
}

#[derive(Debug, Args)]
pub struct Subject {
    #[command(flatten)]
    pub source: Source,
    #[command(flatten)]
    pub times: Times,
    /// A namespace of routes in which the id is this person; may be given several times.
    #[arg(
        long,
        value_name = "NAME",
        default_value = "person",
        conflicts_with = "key"
    )]
    pub namespace: Vec<String>,
    /// A key of the person, as `domicile key` prints it, in place of the id; may be given several
    /// times.
    #[arg(long, value_name = "KEY")]
    pub key: Vec<String>,
}

#[derive(Debug, Args)]
pub struct Instruments {
    #[command(flatten)]
    pub source: Source,
    #[command(flatten)]
    pub times: Times,
}

#[derive(Debug, Args)]
pub struct Incident {
    #[command(flatten)]
    pub source: Source,
    #[command(flatten)]
    pub times: Times,
    /// What this region held was hit, as the settings call it: everybody whose data came there before
    /// the incident's end.
    #[arg(long, value_name = "REGION")]
    pub region: Option<String>,
    /// What went under this instrument was hit, by its id.
    #[arg(long, value_name = "ID")]
    pub instrument: Option<String>,
    /// When somebody became aware of it: deadlines are counted from here. Best an instant; a day
    /// without `--zone` begins where on earth it begins first (UTC+14).
    #[arg(long, value_name = "TIME")]
    pub aware: String,
    /// When it was found that it must be told, from which some laws count; read as `--aware` is. Default: the
    /// same.
    #[arg(long, value_name = "TIME")]
    pub assessed: Option<String>,
    /// A share of the people alone, such as 2/4, where they are too many for one report.
    #[arg(long, value_name = "N/M")]
    pub part: Option<String>,
}
