//! The `fanfare` binary.
use std::process::ExitCode;

/// Gives back what many clients have left behind (docs/adr/0011-hot-path.md).
#[cfg(all(feature = "jemalloc", not(target_env = "msvc")))]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    fanfare::cli::run()
}
