use std::{fmt, sync::Arc};

/// What is counted together, as a text that ledger entries carry: `cn.ordinary acme-cn`, or
/// `us.health acme-us>cloud-a` where each recipient has its own count. The exporter is `-` where
/// people hand their data over themselves.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TallyName(Arc<str>);

impl TallyName {
    pub fn new(counter: &str, exporter: Option<&str>, recipient: Option<&str>) -> Self {
        let exporter = exporter.unwrap_or("-");
        Self(match recipient {
            None => format!("{counter} {exporter}").into(),
            Some(recipient) => format!("{counter} {exporter}>{recipient}").into(),
        })
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn text(&self) -> &Arc<str> {
        &self.0
    }

    /// The counter's key and the parties, of a name's text.
    pub fn parts(text: &str) -> (&str, &str) {
        text.split_once(' ').unwrap_or((text, ""))
    }
}

impl fmt::Display for TallyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
