//! New database files appear whole. What a start that is killed, or a full disk, leaves half made has
//! another name: redb does not open such a file, and nobody could tell it from a damaged one.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use redb::DatabaseError;

/// Makes the file by `make` under another name and gives it its own once it is durable; nothing
/// where it stands. Of several at once the first one wins.
pub(super) fn put_whole(
    file: &Path,
    make: impl FnOnce(&Path) -> Result<(), DatabaseError>,
) -> Result<(), DatabaseError> {
    if file.try_exists().map_err(failed)? {
        return Ok(());
    }
    let folder = match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    remove_left(file, folder);
    let mut suffix = [0; 8];
    getrandom::fill(&mut suffix).map_err(|error| failed(io::Error::other(error.to_string())))?;
    let draft = named(file, &format!(".{:016x}.new", u64::from_le_bytes(suffix)));
    let put = create_private(&draft).map_err(failed);
    let put = put
        .and_then(|()| make(&draft))
        .and_then(|()| publish(&draft, file, folder).map_err(failed));
    // One that stays is in nobody's way.
    let _ = fs::remove_file(&draft);
    put
}

/// An empty file that its owner alone may read, in which redb makes a database: by itself it would
/// leave that to the umask.
fn create_private(draft: &Path) -> io::Result<()> {
    let mut options = File::options();
    options.write(true).create_new(true).mode(0o600);
    options.open(draft).map(drop)
}

fn publish(draft: &Path, file: &Path, folder: &Path) -> io::Result<()> {
    File::open(draft)?.sync_all()?;
    // A link, not a rename: it fails where the name stands, so the first of two wins.
    match fs::hard_link(draft, file) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        // There are file systems without links.
        Err(_) => fs::rename(draft, file)?,
    }
    File::open(folder)?.sync_all()
}

/// Drafts of starts that were killed would take room for ever. One that another start is making right
/// now goes, too: that start fails, and is repeated.
fn remove_left(file: &Path, folder: &Path) {
    let prefix = named(Path::new(file.file_name().unwrap_or_default()), ".");
    let Some(prefix) = prefix.to_str() else {
        return;
    };
    for found in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = found.file_name();
        let name = name.to_str().unwrap_or_default();
        if name.starts_with(prefix) && name.ends_with(".new") {
            let _ = fs::remove_file(found.path());
        }
    }
}

fn named(file: &Path, suffix: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn failed(error: io::Error) -> DatabaseError {
    DatabaseError::Storage(redb::StorageError::Io(error))
}

#[cfg(test)]
mod tests {
    use redb::Database;

    use super::*;

    fn create(path: &Path) -> Result<(), DatabaseError> {
        Database::create(path).map(drop)
    }

    #[test]
    fn a_file_that_was_half_made_is_in_nobodys_way() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("rows.redb");
        let full = put_whole(&file, |draft| {
            fs::write(draft, [0; 4096]).unwrap();
            Err(failed(io::ErrorKind::StorageFull.into()))
        });
        assert!(full.is_err() && !file.exists());
        // Under its own name redb would refuse it for ever.
        let other = folder.path().join("other.redb");
        fs::write(&other, [0; 4096]).unwrap();
        create(&other).unwrap_err();

        // One that was killed had no time to remove its draft.
        fs::write(named(&file, ".0123456789abcdef.new"), [0; 4096]).unwrap();
        put_whole(&file, create).unwrap();
        drop(Database::open(&file).unwrap());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }

    #[test]
    fn what_stands_is_left_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("rows.redb");
        put_whole(&file, |draft| {
            // Another start is first.
            fs::write(&file, "first").unwrap();
            fs::write(draft, "second").map_err(failed)
        })
        .unwrap();
        put_whole(&file, |_| unreachable!("it stands")).unwrap();
        assert_eq!(fs::read(&file).unwrap(), b"first");
    }
}
