//! Reading one file whole, whatever lies in its place: a pipe that nobody writes to must hold
//! nobody up, and a device that never ends must not fill the memory.

use std::{
    fs::{File, Metadata},
    io::{self, Read},
    os::unix::fs::FileTypeExt,
    path::Path,
    sync::Arc,
};

use rustix::fs::{Mode, OFlags};

use super::{Fault, Severity, Source, Where};

/// Larger files of settings, policies, keys and certificates are refused unread: the largest sound
/// ones (thousands of entities) stay far below.
pub const MOST_BYTES: u64 = 16 << 20;

/// Why there are no bytes.
#[derive(Debug, thiserror::Error)]
pub enum Unread {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("this is a folder, not a file")]
    Folder,
    #[error("this is {0}, not a regular file")]
    NoFile(&'static str),
    #[error("the file is larger than {} MiB", .0 >> 20)]
    TooLarge(u64),
}

impl Unread {
    /// What to do about it.
    fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Io(error) => match error.kind() {
                io::ErrorKind::NotFound => {
                    Some("no such file: look at the name, and from where it is read")
                }
                io::ErrorKind::PermissionDenied => Some("let the user that runs domicile read it"),
                _ => None,
            },
            Self::Folder => None,
            Self::NoFile(_) => Some("put a regular file there, or a link to one"),
            Self::TooLarge(_) => Some("split it, or remove what does not belong here"),
        }
    }
}

/// For whoever tells one line.
impl From<Unread> for io::Error {
    fn from(unread: Unread) -> Self {
        let kind = match &unread {
            Unread::Io(_) => io::ErrorKind::Other,
            Unread::Folder => io::ErrorKind::IsADirectory,
            Unread::NoFile(_) => io::ErrorKind::InvalidInput,
            Unread::TooLarge(_) => io::ErrorKind::FileTooLarge,
        };
        match (unread, kind) {
            (Unread::Io(error), _) => error,
            (unread, kind) => {
                let hint = unread
                    .hint()
                    .map_or(String::new(), |hint| format!(": {hint}"));
                Self::new(kind, format!("{unread}{hint}"))
            }
        }
    }
}

/// The bytes of a regular file of at most so many. The one way to read what settings name: never
/// waits for a pipe's writer, and ends.
///
/// # Errors
/// What lies there is no regular file, is larger, or cannot be read.
pub fn read_whole(path: &Path, most: u64) -> Result<Vec<u8>, Unread> {
    let (file, about) = open_regular(path)?;
    if about.len() > most {
        return Err(Unread::TooLarge(most));
    }
    read_most(file, about.len(), most)
}

/// A regular file, and what there is to know of it.
///
/// # Errors
/// `Io`, `Folder` or `NoFile`; at once.
pub fn open_regular(path: &Path) -> Result<(File, Metadata), Unread> {
    // Asked about before it is opened, since that alone moves some devices; and again after it,
    // since another may lie there by then.
    regular(&std::fs::metadata(path)?)?;
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let opened = rustix::fs::open(path, flags, Mode::empty()).map_err(io::Error::from)?;
    let file = File::from(opened);
    let about = file.metadata()?;
    regular(&about)?;
    Ok((file, about))
}

/// `expected`: what the file says of its length, which may be wrong.
fn read_most(file: File, expected: u64, most: u64) -> Result<Vec<u8>, Unread> {
    let mut bytes = Vec::with_capacity(usize::try_from(expected).unwrap_or(0));
    file.take(most + 1).read_to_end(&mut bytes)?;
    match bytes.len() as u64 > most {
        true => Err(Unread::TooLarge(most)),
        false => Ok(bytes),
    }
}

fn regular(about: &Metadata) -> Result<(), Unread> {
    let kind = about.file_type();
    match () {
        () if kind.is_file() => Ok(()),
        () if kind.is_dir() => Err(Unread::Folder),
        () if kind.is_fifo() => Err(Unread::NoFile("a pipe")),
        () if kind.is_socket() => Err(Unread::NoFile("a socket")),
        () => Err(Unread::NoFile("a device")),
    }
}

/// The text of a regular file of settings or policy, however broken it is.
///
/// # Errors
/// One fault: it cannot be read, is no regular file, is larger than 16 MiB, or is not UTF-8 (at
/// the first byte that is not).
pub fn read_text(path: &Path) -> Result<String, Fault> {
    let bytes = read_whole(path, MOST_BYTES);
    text(path, bytes.map_err(|unread| told(path, &unread))?)
}

/// [`read_text`] of what a command is given to work on, which may come out of a pipe or a terminal
/// (`/dev/stdin`, `<(…)` of a shell). Waits for its writer.
///
/// # Errors
/// As [`read_text`].
pub fn read_input(path: &Path) -> Result<String, Fault> {
    let bytes = std::fs::metadata(path)
        .map_err(Unread::from)
        .and_then(|about| {
            let kind = about.file_type();
            match kind.is_fifo() || kind.is_char_device() {
                true => read_most(File::open(path)?, 0, MOST_BYTES),
                false => read_whole(path, MOST_BYTES),
            }
        });
    text(path, bytes.map_err(|unread| told(path, &unread))?)
}

fn told(path: &Path, unread: &Unread) -> Fault {
    let message = match unread {
        Unread::Io(error) => format!("cannot read the file: {error}"),
        other => other.to_string(),
    };
    Fault {
        severity: Severity::Error,
        at: Where::Path(path.display().to_string()),
        message,
        hint: unread.hint().map(str::to_owned),
        also: Vec::new(),
    }
}

fn text(path: &Path, bytes: Vec<u8>) -> Result<String, Fault> {
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
        let told = read_text(Path::new("/dev/zero")).expect_err("a device");
        assert_eq!(told.message, "this is a device, not a regular file");
        // Of a sparse file nothing is read.
        let sparse = folder.path().join("sparse");
        let file = File::create(&sparse).expect("created");
        file.set_len(1 << 40).expect("sparse");
        let unread = read_whole(&sparse, MOST_BYTES).expect_err("large");
        assert!(matches!(unread, Unread::TooLarge(MOST_BYTES)));
    }

    /// Whoever opens it as a file waits for a writer, who never comes.
    #[test]
    fn a_pipe_is_refused_and_waited_for_by_nobody() {
        let folder = tempfile::tempdir().expect("a folder");
        let pipe = folder.path().join("pipe");
        rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, Mode::RUSR | Mode::WUSR).expect("a pipe");
        let told = io::Error::from(read_whole(&pipe, MOST_BYTES).expect_err("a pipe"));
        assert_eq!(
            told.to_string(),
            "this is a pipe, not a regular file: put a regular file there, or a link to one"
        );
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&pipe, &link).expect("a link");
        assert!(
            read_text(&link)
                .expect_err("a pipe")
                .message
                .contains("a pipe")
        );
    }

    #[test]
    fn what_a_command_is_given_may_come_out_of_a_pipe() {
        let folder = tempfile::tempdir().expect("a folder");
        let pipe = folder.path().join("pipe");
        rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, Mode::RUSR | Mode::WUSR).expect("a pipe");
        let writer = std::thread::spawn({
            let pipe = pipe.clone();
            move || std::fs::write(pipe, "text")
        });
        assert_eq!(read_input(&pipe).expect("read"), "text");
        writer.join().expect("no panic").expect("written");
        let endless = read_input(Path::new("/dev/zero")).expect_err("endless");
        assert!(endless.message.contains("larger than 16 MiB"));
    }
}
