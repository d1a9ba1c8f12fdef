//! Where messages are kept: making the directory, and the private one of dev mode.
use std::{
    fs::{DirBuilder, Permissions},
    io,
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use super::StoreError;

/// For its owner alone: what is in the log is readable to nobody else.
const PRIVATE: u32 = 0o700;

/// Makes a directory if it is not there, for this user alone. One that is there stays as it is.
pub fn make(path: &Path) -> Result<(), StoreError> {
    let unusable = |error| StoreError::Unusable { path: path.to_owned(), error };
    if path.exists() {
        return Ok(());
    }
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        std::fs::create_dir_all(parent).map_err(unusable)?;
    }
    match DirBuilder::new().mode(PRIVATE).create(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(unusable(error)),
        _ => Ok(()),
    }
}

/// The path of dev mode's directory for a port.
pub fn development_path(port: u16) -> PathBuf {
    std::env::temp_dir().join(format!("fanfare-{}-{port}", user()))
}

/// The directory of dev mode for a port: there, and this user's alone.
///
/// # Errors
/// Something else lies there, or the system refuses.
pub fn development(port: u16) -> Result<PathBuf, StoreError> {
    let path = development_path(port);
    own(&path, user())?;
    Ok(path)
}

fn user() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// Makes a directory for a user alone, or sees that it is one. Its parent is where everybody may write, so that anything may lie there; but
/// nobody else can replace a directory of this user's there (the sticky bit).
fn own(path: &Path, user: u32) -> Result<(), StoreError> {
    let unusable = |error| StoreError::Unusable { path: path.to_owned(), error };
    match DirBuilder::new().mode(PRIVATE).create(path) {
        Ok(()) => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(unusable(error)),
    }
    // Not what a link leads to.
    let found = std::fs::symlink_metadata(path).map_err(unusable)?;
    let what = if !found.is_dir() {
        Some("it is not a directory".to_owned())
    } else if found.uid() != user {
        Some(format!("it belongs to another user (uid {})", found.uid()))
    } else if found.mode() & 0o022 != 0 {
        Some(format!("others may write to it (mode {:o})", found.mode() & 0o777))
    } else {
        None
    };
    if let Some(what) = what {
        return Err(StoreError::NotPrivate { path: path.to_owned(), what });
    }
    if found.mode() & 0o077 != 0 {
        std::fs::set_permissions(path, Permissions::from_mode(PRIVATE)).map_err(unusable)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).unwrap().mode() & 0o777
    }

    fn not_private(path: &Path, user: u32) -> String {
        match own(path, user) {
            Err(StoreError::NotPrivate { what, .. }) => what,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_directory_in_a_public_place_is_ones_own_or_refused() {
        let temporary = tempfile::tempdir().unwrap();
        let path = temporary.path().join("a");
        own(&path, user()).unwrap();
        assert_eq!(mode(&path), 0o700);
        own(&path, user()).unwrap();
        std::fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
        own(&path, user()).unwrap();
        assert_eq!(mode(&path), 0o700, "what others may read is closed");
        assert!(not_private(&path, user() + 1).contains("another user"));
        std::fs::set_permissions(&path, Permissions::from_mode(0o770)).unwrap();
        assert!(not_private(&path, user()).contains("770"));
        let link = temporary.path().join("link");
        std::os::unix::fs::symlink(temporary.path(), &link).unwrap();
        assert!(not_private(&link, user()).contains("not a directory"));
    }

    #[test]
    fn a_named_directory_is_made_for_its_owner_alone_and_kept_as_it_is() {
        let temporary = tempfile::tempdir().unwrap();
        let path = temporary.path().join("some/where");
        make(&path).unwrap();
        assert_eq!(mode(&path), 0o700);
        std::fs::set_permissions(&path, Permissions::from_mode(0o750)).unwrap();
        make(&path).unwrap();
        assert_eq!(mode(&path), 0o750);
        let file = temporary.path().join("file");
        std::fs::write(&file, "").unwrap();
        assert!(matches!(make(&file.join("below")), Err(StoreError::Unusable { .. })));
    }
}
