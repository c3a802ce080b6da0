//! The command `domicile`; everything is in the library.

/// Measured beside the system's: a third of all instructions of a request went into `malloc` and
/// `free`; see `docs/performance.md`.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    domicile::cli::main()
}
