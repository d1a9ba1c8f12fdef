//! No file over 1,200 lines. A file that long says more than one thing, whatever its name.

use std::path::Path;

use super::{Violation, walk};

/// Never more than this.
const MOST: usize = 1200;
const EXTENSIONS: &[&str] = &["rs", "ts", "tsx", "js", "jsx", "mjs", "cjs", "css", "html"];

pub fn check(root: &Path) -> Result<Vec<Violation>, String> {
    let mut violations = Vec::new();
    for path in walk::files(root, EXTENSIONS)? {
        let lines = walk::read(&path)?.lines().count();
        if lines > MOST {
            violations.push(Violation::of_file(
                walk::relative(root, &path),
                format!("{lines} lines, at most {MOST}: split it by what its parts do"),
            ));
        }
    }
    Ok(violations)
}

#[cfg(test)]
mod tests {
    use super::super::fixture::Fixture;
    use super::*;

    #[test]
    fn a_file_over_the_limit_is_refused_and_one_at_it_is_not() {
        let (long, allowed) = ("//\n".repeat(MOST + 1), "//\n".repeat(MOST));
        let tree = Fixture::new(&[("a/long.rs", &long), ("a/allowed.rs", &allowed), ("page.css", &long)]);
        let paths: Vec<_> = check(tree.root()).unwrap().into_iter().map(|v| v.path).collect();
        assert_eq!(paths, [Path::new("a/long.rs"), Path::new("page.css")]);
    }

    #[test]
    fn what_was_not_written_here_is_left_out() {
        let long = "//\n".repeat(MOST + 1);
        let tree = Fixture::new(&[
            ("target/debug/build/out.rs", &long),
            ("pages/vendor/uplot.js", &long),
            ("sdk/node_modules/x/index.js", &long),
            ("pages/uplot.min.js", &long),
            ("notes.txt", &long),
        ]);
        assert_eq!(check(tree.root()).unwrap(), []);
    }
}
