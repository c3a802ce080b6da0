use std::{cell::RefCell, fmt, ops::Range, sync::Arc};

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};
use serde::Serialize;

use super::Node;

/// The text of one file, kept so that a fault can show the line it means.
pub struct Source {
    /// As the user named it.
    pub path: String,
    pub text: String,
}

/// Every value of a file holds its source: told with the text, a small table would cost the square
/// of the file.
impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

/// Where a value or a fault stands.
#[derive(Clone, Debug)]
pub enum Where {
    File {
        source: Arc<Source>,
        span: Range<usize>,
    },
    /// The environment variable that set the value.
    Environment(String),
    /// A path on disk as a whole, such as a file that cannot be read.
    Path(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    Error,
    Warning,
}

/// One mistake: what is wrong, where, and what to do.
#[derive(Clone, Debug)]
pub struct Fault {
    pub severity: Severity,
    pub at: Where,
    /// Lower case, no full stop, user input in backticks.
    pub message: String,
    pub hint: Option<String>,
    /// Other places that belong to it, such as the first of two contradicting rules, each with
    /// what stands there.
    pub also: Vec<(Where, String)>,
}

/// Collects faults while files are read; shared by reference among readers.
#[derive(Debug, Default)]
pub struct Faults(RefCell<Vec<Fault>>);

impl Faults {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn error(&self, at: &Where, message: impl Into<String>) {
        self.push(Severity::Error, at, message.into(), None);
    }

    pub fn error_hint(&self, at: &Where, message: impl Into<String>, hint: impl Into<String>) {
        self.push(Severity::Error, at, message.into(), Some(hint.into()));
    }

    pub fn warning(&self, at: &Where, message: impl Into<String>, hint: Option<String>) {
        self.push(Severity::Warning, at, message.into(), hint);
    }

    /// A contradiction between two places.
    pub fn error_between(
        &self,
        at: &Where,
        message: impl Into<String>,
        (other, note): (&Where, &str),
        hint: impl Into<String>,
    ) {
        self.add(
            Severity::Error,
            at,
            message.into(),
            other,
            note,
            hint.into(),
        );
    }

    /// A warning that two places make together.
    pub fn warning_between(
        &self,
        at: &Where,
        message: impl Into<String>,
        (other, note): (&Where, &str),
        hint: impl Into<String>,
    ) {
        self.add(
            Severity::Warning,
            at,
            message.into(),
            other,
            note,
            hint.into(),
        );
    }

    fn add(
        &self,
        severity: Severity,
        at: &Where,
        message: String,
        other: &Where,
        note: &str,
        hint: String,
    ) {
        self.0.borrow_mut().push(Fault {
            severity,
            at: at.clone(),
            message,
            hint: Some(hint).filter(|h| !h.is_empty()),
            also: vec![(other.clone(), note.to_owned())],
        });
    }

    fn push(&self, severity: Severity, at: &Where, message: String, hint: Option<String>) {
        self.0.borrow_mut().push(Fault {
            severity,
            at: at.clone(),
            message,
            hint,
            also: Vec::new(),
        });
    }

    /// Adds one that was found elsewhere.
    pub fn adopt(&self, fault: Fault) {
        self.0.borrow_mut().push(fault);
    }

    /// Adds faults that were collected apart.
    pub fn absorb(&self, faults: Vec<Fault>) {
        self.0.borrow_mut().extend(faults);
    }

    pub fn has_errors(&self) -> bool {
        self.0
            .borrow()
            .iter()
            .any(|f| f.severity == Severity::Error)
    }

    /// Whether an error stands at a value or in it: what was made of it may not be what was meant.
    pub fn concern(&self, node: &Node) -> bool {
        let Some((own, whole)) = node.extent() else {
            return false;
        };
        self.any_error(own, &whole)
    }

    /// Whether an error stands within a place.
    pub fn stand_in(&self, at: &Where) -> bool {
        match at {
            Where::File { source, span } => self.any_error(source, span),
            Where::Environment(_) | Where::Path(_) => false,
        }
    }

    fn any_error(&self, own: &Arc<Source>, whole: &Range<usize>) -> bool {
        self.0.borrow().iter().any(|f| match &f.at {
            Where::File { source, span } => {
                f.severity == Severity::Error
                    && Arc::ptr_eq(source, own)
                    && whole.start <= span.start
                    && span.start < whole.end
            }
            Where::Environment(_) | Where::Path(_) => false,
        })
    }

    /// All faults, errors first, each group in the order of file and place.
    pub fn into_sorted(self) -> Vec<Fault> {
        let mut faults = self.0.into_inner();
        faults.sort_by_key(|f| (f.severity == Severity::Warning, f.at.sort_key()));
        faults
    }

    pub fn is_empty(&self) -> bool {
        self.0.borrow().is_empty()
    }
}

impl Where {
    /// Line and column, from 1; columns count characters.
    pub fn line_column(&self) -> Option<(usize, usize)> {
        let Self::File { source, span } = self else {
            return None;
        };
        let before = source.text.get(..sound(span, &source.text).start)?;
        let line = before.bytes().filter(|b| *b == b'\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
        Some((line, column))
    }

    /// The file, without the place in it.
    fn file(&self) -> String {
        match self {
            Self::File { source, .. } => source.path.clone(),
            other => other.to_string(),
        }
    }

    fn sort_key(&self) -> (String, usize) {
        match self {
            Self::File { source, span } => (source.path.clone(), span.start),
            Self::Environment(name) => (name.clone(), 0),
            Self::Path(path) => (path.clone(), 0),
        }
    }
}

impl fmt::Display for Where {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self, self.line_column()) {
            (Self::File { source, .. }, Some((line, column))) => {
                write!(f, "{}:{line}:{column}", source.path)
            }
            (Self::File { source, .. }, None) => f.write_str(&source.path),
            (Self::Environment(name), _) => write!(f, "environment variable {name}"),
            (Self::Path(path), _) => f.write_str(path),
        }
    }
}

impl Fault {
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }

    /// One line: place, severity, message, hint.
    pub fn summary(&self) -> String {
        let hint = self
            .hint
            .as_ref()
            .map(|h| format!(" ({h})"))
            .unwrap_or_default();
        let mut text = format!("{}: {}{hint}", self.at, self.message);
        for (at, note) in &self.also {
            text.push_str(&format!("; {at}: {note}"));
        }
        text
    }

    /// Several lines, the offending text underlined.
    pub fn render(&self, coloured: bool) -> String {
        let level = match self.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let group = level.primary_title(&self.message);
        let place = self.at.to_string();
        let report = match &self.at {
            Where::File { source, span } => {
                let snippet = Snippet::source(&source.text)
                    .path(&source.path)
                    .annotation(AnnotationKind::Primary.span(sound(span, &source.text)));
                let mut snippet = snippet;
                let mut others = Vec::new();
                for (other, note) in &self.also {
                    match other {
                        Where::File { source: s, span } if Arc::ptr_eq(s, source) => {
                            let mark = AnnotationKind::Context.span(sound(span, &s.text));
                            snippet = snippet.annotation(mark.label(note));
                        }
                        Where::File { source: s, span } => {
                            let mark = AnnotationKind::Context.span(sound(span, &s.text));
                            others.push(
                                Snippet::source(&s.text)
                                    .path(&s.path)
                                    .annotation(mark.label(note)),
                            );
                        }
                        Where::Environment(_) | Where::Path(_) => {}
                    }
                }
                let mut group = group.element(snippet).elements(others);
                if let Some(hint) = &self.hint {
                    group = group.element(Level::HELP.message(hint));
                }
                vec![group]
            }
            Where::Environment(_) | Where::Path(_) => {
                let mut group = group.element(Level::NOTE.message(&place));
                if let Some(hint) = &self.hint {
                    group = group.element(Level::HELP.message(hint));
                }
                vec![group]
            }
        };
        let renderer = if coloured {
            Renderer::styled()
        } else {
            Renderer::plain()
        };
        renderer.render(&report).to_string()
    }
}

impl Serialize for Fault {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeStruct;
        let mut out = s.serialize_struct("Fault", 7)?;
        let (line, column) = self.at.line_column().unzip();
        out.serialize_field("severity", &self.severity)?;
        out.serialize_field("file", &self.at.file())?;
        out.serialize_field("line", &line)?;
        out.serialize_field("column", &column)?;
        out.serialize_field("message", &self.message)?;
        out.serialize_field("hint", &self.hint)?;
        let also: Vec<serde_json::Value> = self
            .also
            .iter()
            .map(|(at, note)| {
                let (line, column) = at.line_column().unzip();
                serde_json::json!({
                    "file": at.file(), "line": line, "column": column, "message": note,
                })
            })
            .collect();
        out.serialize_field("also", &also)?;
        out.end()
    }
}

/// The span within the text and between its characters: parsers that count bytes may end in the
/// middle of one, and a broken file must not break its own message.
fn sound(span: &Range<usize>, text: &str) -> Range<usize> {
    let start = text.floor_char_boundary(span.start);
    start..text.ceil_char_boundary(span.end).max(start)
}

/// Of hostile words that are longer nobody looks for the like: the work grows with the square.
const LONGEST_WORD: usize = 100;

/// The candidate nearest to `word`, if it is near enough to be a slip: 'did you mean …?'.
pub fn suggest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<String> {
    // Of a word of two letters both may not be wrong: `us` is no slip of `cn`.
    let letters = word.chars().count();
    if letters > LONGEST_WORD {
        return None;
    }
    let limit = ((letters / 3).max(1) + 1).min(letters.saturating_sub(1));
    candidates
        .into_iter()
        .map(|c| (distance(word, c), c))
        .filter(|(d, _)| *d <= limit)
        .min()
        .map(|(_, c)| format!("did you mean `{c}`?"))
}

/// Levenshtein distance over characters, in which two neighbours that changed places are one slip
/// (Damerau's, each character moved once).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    // The row before the last, for characters that changed places; and the last.
    let mut before: Vec<usize> = Vec::new();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    let mut previous = None;
    for (i, ca) in a.chars().enumerate() {
        let mut next = Vec::with_capacity(row.len());
        let mut left = i + 1;
        next.push(left);
        let mut cb_before = None;
        for (j, (cb, (diagonal, above))) in
            b.iter().zip(row.iter().zip(row.iter().skip(1))).enumerate()
        {
            let substituted = diagonal + usize::from(ca != *cb);
            left = substituted.min(above + 1).min(left + 1);
            if previous == Some(*cb)
                && cb_before == Some(ca)
                && let Some(swapped) = j.checked_sub(1).and_then(|j| before.get(j))
            {
                left = left.min(swapped + 1);
            }
            next.push(left);
            cb_before = Some(*cb);
        }
        before = std::mem::replace(&mut row, next);
        previous = Some(ca);
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_and_suggestions() {
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("abc", ""), 3);
        // Neighbours that changed places are one slip, and nearer than two wrong letters.
        assert_eq!(distance("acme-ue", "acme-eu"), 1);
        assert_eq!(distance("ab", "ba"), 1);
        assert_eq!(
            suggest("acme-ue", ["acme-cn", "acme-eu", "acme-in"]).as_deref(),
            Some("did you mean `acme-eu`?")
        );
        let known = ["eu-us-dpf", "uk-us-dpf", "lgpd"];
        assert_eq!(
            suggest("eu-us-dfp", known).as_deref(),
            Some("did you mean `eu-us-dpf`?")
        );
        assert_eq!(suggest("banana", known), None);
        assert_eq!(suggest("us", ["cn", "in", "eu"]), None);
        assert!(suggest("ue", ["cn", "ee"]).is_some());
    }

    #[test]
    fn a_span_in_the_middle_of_a_character_is_told_all_the_same() {
        let source = Arc::new(Source {
            path: "a.json".into(),
            text: "\u{feff}{}".into(),
        });
        for span in [0..1, 1..2, 1..1, 2..900, 900..901] {
            let faults = Faults::new();
            let source = Arc::clone(&source);
            faults.error(&Where::File { source, span }, "expected value");
            let told = faults.into_sorted();
            let fault = told.first().expect("one");
            assert!(fault.render(false).contains("a.json:1:"));
            assert!(fault.at.line_column().is_some());
        }
    }

    #[test]
    fn a_fault_points_at_its_place() {
        let source = Arc::new(Source {
            path: "a.toml".into(),
            text: "x = 1\nçy = 2\n".into(),
        });
        let at = Where::File { source, span: 8..9 };
        let faults = Faults::new();
        faults.error_hint(&at, "unknown key `y`", "remove it");
        let all = faults.into_sorted();
        let fault = all.first().expect("one fault");
        assert_eq!(fault.summary(), "a.toml:2:2: unknown key `y` (remove it)");
        let shown = fault.render(false);
        assert!(
            shown.contains("a.toml:2:2") && shown.contains("remove it"),
            "{shown}"
        );
    }
}
