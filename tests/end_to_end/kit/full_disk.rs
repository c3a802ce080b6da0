//! A full disk, as the system tells it: no file of the router's process may grow any more.

use std::process::Command;

use super::process::{Process, domicile};
use super::setup::{Router, Setup};

/// A router whose files can be kept from growing; `None`, said on standard error, where the system
/// has no means for it.
pub fn start(setup: Setup) -> Option<Router> {
    if Command::new("prlimit").arg("--version").output().is_err() {
        eprintln!("skipped: needs `prlimit` of util-linux");
        return None;
    }
    let config = setup.write();
    let mut command = Command::new("sh");
    command
        // Beyond the limit a write shall fail, not kill.
        .args(["-c", "trap '' XFSZ; exec \"$0\" run --config \"$1\""])
        .arg(domicile().get_program())
        .arg(config);
    Some(setup.start_by(Process::spawn(&mut command)))
}

/// From now on no file grows beyond `size` bytes, or `unlimited`.
pub fn limit(router: &Router, size: &str) {
    let pid = router.process.id().to_string();
    let set = Command::new("prlimit")
        .args(["--pid", &pid, &format!("--fsize={size}:")])
        .status()
        .unwrap();
    assert!(set.success(), "prlimit");
}
