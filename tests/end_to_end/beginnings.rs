//! What a start meets: variables of the machine, signals that come early, files of the wrong kind.


use crate::kit::eventually;
use crate::kit::process::{Process, domicile};
use crate::kit::setup::Setup;

#[test]
fn a_variable_of_the_machine_does_not_silence_the_log() {
    for level in ["", "off"] {
        let (setup, _backends) = Setup::recording();
        let config = setup.write();
        let mut command = domicile();
        command.env("RUST_LOG", level);
        let process = Process::spawn(command.arg("run").arg("--config").arg(config));
        let router = setup.start_by(process);
        eventually("the log says `ready`", || {
            router.process.text().contains("ready").then_some(())
        });
    }
}
