//! The command `domicile`; everything is in the library.

fn main() -> std::process::ExitCode {
    domicile::cli::main()
}
