//! Reading one file of settings or policy as text, however broken it is.

use std::{
    fs::{File, Metadata},
    io::{self, Read},
    path::Path,
    sync::Arc,
};

use super::{Fault, Severity, Source, Where};

/// Larger files are refused unread: the largest sound ones (thousands of entities) stay far below.
const MOST_BYTES: u64 = 16 << 20;

/// The text of a file.
///
/// # Errors
/// One fault: it cannot be read, is no plain file (a device would never end), is larger than
/// 16 MiB, or is not UTF-8 (at the first byte that is not).
pub fn read_text(path: &Path) -> Result<String, Fault> {
    let whole = |message: String, hint: Option<&str>| Fault {
        severity: Severity::Error,
        at: Where::Path(path.display().to_string()),
        message,
        hint: hint.map(str::to_owned),
        also: Vec::new(),
    };
    let unreadable = |error: &io::Error| {
        let hint = match error.kind() {
            io::ErrorKind::NotFound => {
                Some("no such file: look at the name, and from where it is read")
            }
            io::ErrorKind::PermissionDenied => Some("let the user that runs domicile read it"),
            _ => None,
        };
        whole(format!("cannot read the file: {error}"), hint)
    };
    // A pipe is asked about before it is opened: opening one waits for its writer.
    let about = std::fs::metadata(path).map_err(|e| unreadable(&e))?;
    if about.is_dir() {
        return Err(whole("this is a folder, not a file".to_owned(), None));
    }
    if !is_readable(&about) {
        return Err(whole("this is no plain file".to_owned(), None));
    }
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(|e| unreadable(&e))?;
    let read = file.take(MOST_BYTES + 1).read_to_end(&mut bytes);
    read.map_err(|e| unreadable(&e))?;
    if bytes.len() as u64 > MOST_BYTES {
        let message = format!("the file is larger than {} MiB", MOST_BYTES >> 20);
        return Err(whole(
            message,
            Some("split it, or remove what does not belong here"),
        ));
    }
    String::from_utf8(bytes).map_err(|error| {
        let start = error.utf8_error().valid_up_to();
        let source = Arc::new(Source {
            path: path.display().to_string(),
            // Up to the bad byte the same text, so that its place is right.
            text: String::from_utf8_lossy(error.as_bytes()).into_owned(),
        });
        let span = start..start + char::REPLACEMENT_CHARACTER.len_utf8();
        Fault {
            severity: Severity::Error,
            at: Where::File { source, span },
            message: "the file is not UTF-8 from here on".to_owned(),
            hint: Some("save it as UTF-8".to_owned()),
            also: Vec::new(),
        }
    })
}

/// Whether nothing at all has this name; a link that leads nowhere is there, and broken.
pub fn is_missing(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_err_and(|e| e.kind() == io::ErrorKind::NotFound)
}

#[cfg(unix)]
fn is_readable(about: &Metadata) -> bool {
    use std::os::unix::fs::FileTypeExt;
    let kind = about.file_type();
    // `/dev/stdin` may be a pipe or a terminal; a block device or a socket is a mistake.
    kind.is_file() || kind.is_fifo() || kind.is_char_device()
}

#[cfg(not(unix))]
fn is_readable(about: &Metadata) -> bool {
    about.is_file()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(bytes: &[u8]) -> Fault {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("x.toml");
        std::fs::write(&path, bytes).expect("written");
        read_text(&path).expect_err("broken")
    }

    #[test]
    fn a_byte_that_is_not_utf8_is_told_at_its_place() {
        let told = fault(b"a = 1\nb = \"\xff\xfe\"\n");
        assert_eq!(told.at.line_column(), Some((2, 6)));
        assert!(told.render(false).contains("not UTF-8"));
        assert_eq!(fault(b"\xff\xfea").at.line_column(), Some((1, 1)));
    }

    #[test]
    fn what_is_too_large_or_no_file_is_refused() {
        let large = vec![b'#'; usize::try_from(MOST_BYTES).expect("fits") + 1];
        assert!(fault(&large).message.contains("larger than 16 MiB"));
        let folder = tempfile::tempdir().expect("a folder");
        let told = read_text(folder.path()).expect_err("a folder");
        assert_eq!(told.message, "this is a folder, not a file");
        let told = read_text(&folder.path().join("none")).expect_err("nothing");
        assert!(told.hint.is_some_and(|h| h.contains("no such file")));
    }
}
