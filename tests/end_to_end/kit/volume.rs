//! A mounted ConfigMap or Secret, exchanged as the kubelet does it.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

/// A volume as the kubelet lays it out (Kubernetes, `pkg/volume/util/atomic_writer.go`): the files
/// in a folder named by the time, `..data` a link to it, and each name a link through `..data`.
pub struct Volume {
    pub path: PathBuf,
    exchanges: usize,
}

impl Volume {
    /// `files`: names, which may have folders in them, and contents.
    pub fn new(path: PathBuf, files: &[(&str, &str)]) -> Self {
        fs::create_dir_all(&path).unwrap();
        let mut volume = Self { path, exchanges: 0 };
        volume.exchange(files);
        volume
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// The kubelet's steps in its order: a new folder, a new link beside the old one, one rename,
    /// links for new names; then the old folder goes, under whoever still reads in it.
    pub fn exchange(&mut self, files: &[(&str, &str)]) {
        self.exchanges += 1;
        let name = format!("..2026_11_22_05_00_{:02}.4711", self.exchanges);
        let folder = self.path.join(&name);
        let old = fs::read_link(self.path.join("..data")).ok();
        fs::create_dir(&folder).unwrap();
        for (file, text) in files {
            let file = folder.join(file);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, text).unwrap();
        }
        symlink(&name, self.path.join("..data_tmp")).unwrap();
        fs::rename(self.path.join("..data_tmp"), self.path.join("..data")).unwrap();
        for (file, _) in files {
            let top = Path::new(file).iter().next().unwrap();
            let link = self.path.join(top);
            if fs::symlink_metadata(&link).is_err() {
                symlink(Path::new("..data").join(top), link).unwrap();
            }
        }
        if let Some(old) = old {
            fs::remove_dir_all(self.path.join(old)).unwrap();
        }
    }
}
