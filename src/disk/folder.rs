//! Folders for data about people.

use std::{
    fs::{DirBuilder, File},
    io,
    os::unix::fs::DirBuilderExt,
    path::Path,
};

/// Creates a folder for data about people: its owner alone may look into it. Its name, and those
/// of the folders above it that were created too, are durable when this returns: else a power
/// failure could take away the folder with all that was durable in it.
pub fn create_private_folder(path: &Path) -> io::Result<()> {
    let is_new = |folder: &&Path| !folder.as_os_str().is_empty() && !folder.exists();
    let new: Vec<&Path> = path.ancestors().take_while(is_new).collect();
    DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    for folder in new {
        let above = folder.parent().filter(|p| !p.as_os_str().is_empty());
        // One that we may write and not read cannot be made durable; nor is it ours.
        if let Ok(above) = File::open(above.unwrap_or(Path::new("."))) {
            above.sync_all()?;
        }
    }
    Ok(())
}
