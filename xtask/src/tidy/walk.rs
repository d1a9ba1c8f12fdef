//! The repository's own files: what is built, fetched or vendored is left out.

use std::path::{Path, PathBuf};

/// Directories that hold nothing written here.
const SKIPPED: &[&str] = &["target", "node_modules", "vendor", "vendored", "dist"];

/// Every file below `directory` that has one of `extensions`, sorted. A directory that does not exist has none.
///
/// # Errors
/// A directory could not be read.
pub fn files(directory: &Path, extensions: &[&str]) -> Result<Vec<PathBuf>, String> {
    let mut found = Vec::new();
    if directory.is_dir() {
        collect(directory, extensions, &mut found)?;
    }
    found.sort();
    Ok(found)
}

fn collect(directory: &Path, extensions: &[&str], found: &mut Vec<PathBuf>) -> Result<(), String> {
    let entries = std::fs::read_dir(directory)
        .map_err(|error| format!("cannot list {}: {error}", directory.display()))?;
    for entry in entries {
        let entry = entry.map_err(|error| format!("cannot list {}: {error}", directory.display()))?;
        let kind = entry.file_type().map_err(|error| format!("{}: {error}", entry.path().display()))?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if kind.is_dir() {
            if !name.starts_with('.') && !SKIPPED.contains(&name.as_ref()) {
                collect(&entry.path(), extensions, found)?;
            }
        } else if kind.is_file() {
            let path = entry.path();
            let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or("");
            if extensions.contains(&extension) && !name.contains(".min.") {
                found.push(path);
            }
        }
    }
    Ok(())
}

/// The text of `path`.
///
/// # Errors
/// It could not be read, or is not UTF-8.
pub fn read(path: &Path) -> Result<String, String> {
    std::fs::read_to_string(path).map_err(|error| format!("cannot read {}: {error}", path.display()))
}

/// `path` as seen from `root`.
pub fn relative(root: &Path, path: &Path) -> PathBuf {
    path.strip_prefix(root).unwrap_or(path).to_path_buf()
}
