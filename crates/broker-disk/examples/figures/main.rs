//! The log's figures on this machine's disk, each beside what was asked of it and beside its base, taken in the same run:
//! `cargo xtask figures DIRECTORY [ROW...]`.
//!
//! ROW is `commits`, `reads`, `channels` or `log`; all of them if absent, which takes three minutes and 2 GB of the directory. Compare with the
//! base beside a row; wall-clock figures of a machine that does other things are worth nothing.
mod commits;
mod reads;
mod starts;
mod store;

use std::path::PathBuf;

use store::Outcome;

/// As the hub has it.
#[cfg(not(target_env = "msvc"))]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Whether what was asked is met.
#[derive(Clone, Copy)]
enum Met {
    Yes,
    No,
    /// No, nor would the disk alone have met it.
    BeyondTheDisk,
}

impl From<bool> for Met {
    fn from(met: bool) -> Self {
        if met { Self::Yes } else { Self::No }
    }
}

/// One row: what, what was asked, what was measured, the base, and whether it is met.
fn row(what: &str, asked: &str, measured: &str, base: &str, met: Met) {
    let met = match met {
        Met::Yes => "yes",
        Met::No => "**no**",
        Met::BeyondTheDisk => "no; nor by the disk alone",
    };
    println!("| {what} | {asked} | {measured} | {base} | {met} |");
}

fn main() -> Outcome<()> {
    let mut arguments = std::env::args().skip(1);
    let root = PathBuf::from(arguments.next().ok_or("name a directory to write in")?);
    let rows: Vec<String> = arguments.collect();
    if let [part, what] = &rows[..]
        && part == "apart"
    {
        return starts::by_itself(&root, what);
    }
    std::fs::create_dir_all(&root)?;
    let asked = |row: &str| rows.is_empty() || rows.iter().any(|asked| asked == row);
    println!("| | asked | measured | beside it | met |\n|---|---|---|---|---|");
    if asked("commits") {
        commits::one(&root)?;
        commits::many(&root, 1)?;
        commits::many(&root, 16)?;
    }
    if asked("reads") {
        reads::all(&root)?;
    }
    if asked("channels") {
        starts::channels(&root)?;
    }
    if asked("log") {
        starts::log(&root)?;
    }
    Ok(())
}
