//! The repository's files, by their path from its top.

use crate::finding::Finding;
use crate::syntax;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// What no check reads: built, fetched, or written by others.
const SKIPPED: &[&str] = &["target", "node_modules", "dist", ".git", "google"];

pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// Every file under `top` (a path from the repository's top) for whose name `wanted` says yes, with its text.
pub fn files(top: &str, wanted: &dyn Fn(&str) -> bool) -> Vec<(String, String)> {
    let root = root();
    let mut found = Vec::new();
    collect(&root, &root.join(top), wanted, &mut found);
    found.sort();
    found
}

fn collect(root: &Path, at: &Path, wanted: &dyn Fn(&str) -> bool, found: &mut Vec<(String, String)>) {
    let Ok(entries) = fs::read_dir(at) else { return };
    for path in entries.map(|entry| entry.unwrap().path()) {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            if !SKIPPED.contains(&name.as_str()) {
                collect(root, &path, wanted, found);
            }
        } else if wanted(&name)
            && let Ok(text) = fs::read_to_string(&path)
        {
            found.push((path.strip_prefix(root).unwrap().to_string_lossy().into_owned(), text));
        }
    }
}

/// One Rust file, parsed.
pub struct Rust {
    pub path: String,
    pub file: syn::File,
    /// Compiled for tests alone.
    pub test: bool,
}

/// Every Rust file under the given directories, and a finding for each that cannot be parsed.
pub fn rust(tops: &[&str]) -> (Vec<Rust>, Vec<Finding>) {
    let mut parsed = Vec::new();
    let mut findings = Vec::new();
    for (path, text) in tops.iter().flat_map(|top| files(top, &|name| name.ends_with(".rs"))) {
        match syn::parse_file(&text) {
            Ok(file) => parsed.push((path, file)),
            Err(error) => findings.push(Finding::new(
                &path,
                error.span().start().line,
                "this is not Rust that can be read",
            )),
        }
    }
    let modules: BTreeSet<String> = parsed
        .iter()
        .flat_map(|(path, file)| syntax::test_modules(file).into_iter().map(|m| inside(path) + &m))
        .collect();
    let rust = parsed
        .into_iter()
        .map(|(path, file)| Rust { test: only_for_tests(&path, &modules), path, file })
        .collect();
    (rust, findings)
}

/// The directory of the modules that the file at `path` declares, with its slash.
fn inside(path: &str) -> String {
    let (dir, name) = path.rsplit_once('/').unwrap();
    match name {
        "lib.rs" | "main.rs" | "mod.rs" => format!("{dir}/"),
        _ => format!("{dir}/{}/", name.trim_end_matches(".rs")),
    }
}

fn only_for_tests(path: &str, modules: &BTreeSet<String>) -> bool {
    path.starts_with("tests/")
        || path.contains("/tests/")
        || modules
            .iter()
            .any(|module| path == format!("{module}.rs") || path.starts_with(&format!("{module}/")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sources_are_found_and_told_from_tests() {
        let (rust, _) = rust(&["services", "gateway"]);
        assert!(rust.len() > 100, "only {} files", rust.len());
        let test = |path: &str| rust.iter().find(|file| file.path == path).map(|file| file.test);
        assert_eq!(test("services/lib/storage/src/db.rs"), Some(false));
        assert_eq!(test("services/lib/domain/src/authorized_keys/tests.rs"), Some(true));
    }

    #[test]
    fn a_module_of_tests_is_known_by_its_declaration() {
        let declared =
            syn::parse_file("#[cfg(test)] mod testing; mod real; #[cfg(not(test))] mod other;").unwrap();
        let modules =
            syntax::test_modules(&declared).into_iter().map(|m| inside("x/src/a.rs") + &m).collect();
        assert!(only_for_tests("x/src/a/testing.rs", &modules));
        assert!(only_for_tests("x/src/a/testing/host.rs", &modules));
        assert!(!only_for_tests("x/src/a/real.rs", &modules));
        assert!(!only_for_tests("x/src/a/other.rs", &modules));
    }
}
