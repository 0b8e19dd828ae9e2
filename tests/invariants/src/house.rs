//! The house itself: what stands at the top, how large a file gets, which lints a crate takes, and that nothing is
//! left undone or switched off.

use crate::finding::Finding;
use crate::sources;
use syn::visit::{self, Visit};

/// All that may stand at the top of the repository.
const TOP: &[&str] = &[
    "Cargo.toml",
    "Cargo.lock",
    "proto",
    "services",
    "gateway",
    "deploy",
    "tests",
    "buf.yaml",
    "README.md",
    "LICENSE",
    "NOTICE",
    "clippy.toml",
    "rustfmt.toml",
    "deny.toml",
    ".cargo",
    ".config",
    ".ci",
    ".dockerignore",
    ".editorconfig",
    ".gitattributes",
    ".gitignore",
    "rust-toolchain.toml",
];
/// Not of the repository: what a tool makes beside it.
const MADE: &[&str] = &[".git", "target", "node_modules"];
const LARGE: usize = 400;
const TOO_LARGE: usize = 600;

fn misplaced(names: &[String]) -> Vec<Finding> {
    let strangers =
        names.iter().filter(|name| !TOP.contains(&name.as_str()) && !MADE.contains(&name.as_str()));
    strangers
        .map(|name| Finding::new(name, 1, "only the fixed names stand at the top of the repository"))
        .collect()
}

fn too_large(path: &str, text: &str) -> Option<Finding> {
    let lines = text.lines().count();
    if lines > LARGE {
        println!("{path}: {lines} lines, {LARGE} is where one asks");
    }
    (lines > TOO_LARGE).then(|| Finding::new(path, lines, format!("{lines} lines, {TOO_LARGE} is the limit")))
}

fn without_lints(path: &str, manifest: &str) -> Option<Finding> {
    let manifest: toml::Table = manifest.parse().unwrap();
    let inherits =
        manifest.get("lints").and_then(|lints| lints.get("workspace")).and_then(toml::Value::as_bool);
    (inherits != Some(true))
        .then(|| Finding::new(path, 1, "the crate does not take `[lints] workspace = true`"))
}

/// Marks of unfinished work, put together so that this file has none.
const MARKS: [&str; 3] = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X")];

fn marked(path: &str, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let mut words = line.split(|symbol: char| !(symbol.is_alphanumeric() || symbol == '_'));
        if let Some(mark) = words.find(|word| MARKS.contains(word)) {
            findings.push(Finding::new(path, index + 1, format!("unfinished work is marked: {mark}")));
        }
    }
    findings
}

/// Macros that stand for missing code, and tests that do not run.
struct Undone<'p> {
    path: &'p str,
    findings: Vec<Finding>,
}

impl<'a> Visit<'a> for Undone<'_> {
    fn visit_macro(&mut self, mac: &'a syn::Macro) {
        if let Some(name) =
            mac.path.segments.last().filter(|name| name.ident == "todo" || name.ident == "unimplemented")
        {
            let rule = format!("code is missing: {}!", name.ident);
            self.findings.push(Finding::new(self.path, name.ident.span().start().line, rule));
        }
        visit::visit_macro(self, mac);
    }

    fn visit_attribute(&mut self, attribute: &'a syn::Attribute) {
        let by_cfg = |list: &syn::MetaList| {
            let text = list.tokens.to_string();
            list.path.is_ident("cfg_attr")
                && text.split(|c: char| !c.is_alphanumeric()).any(|word| word == "ignore")
        };
        if attribute.path().is_ident("ignore")
            || matches!(&attribute.meta, syn::Meta::List(list) if by_cfg(list))
        {
            let line = attribute.pound_token.span.start().line;
            self.findings.push(Finding::new(
                self.path,
                line,
                "no test is ignored: what it needs is an error if it lacks",
            ));
        }
        visit::visit_attribute(self, attribute);
    }
}

fn undone(path: &str, file: &syn::File) -> Vec<Finding> {
    let mut undone = Undone { path, findings: Vec::new() };
    undone.visit_file(file);
    undone.findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::assert_none;

    const TREE: &[&str] = &["proto", "services", "gateway", "deploy", "tests", ".ci", ".config"];

    #[test]
    fn only_the_fixed_names_stand_at_the_top() {
        let entries = std::fs::read_dir(sources::root()).unwrap();
        let names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
        assert!(names.contains(&"services".to_owned()));
        assert_none(misplaced(&names));
    }

    #[test]
    fn a_stranger_at_the_top_is_found() {
        let found = misplaced(&["scripts".to_owned(), "services".to_owned(), "target".to_owned()]);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].file, "scripts");
    }

    #[test]
    fn no_file_is_too_large() {
        let files: Vec<_> =
            TREE.iter().flat_map(|top| sources::files(top, &|name| name.ends_with(".rs"))).collect();
        assert!(files.len() > 100);
        assert_none(files.iter().filter_map(|(path, text)| too_large(path, text)).collect());
        assert_eq!(too_large("x.rs", &"\n".repeat(600)), None);
        assert_eq!(too_large("x.rs", &"\n".repeat(601)).unwrap().line, 601);
    }

    #[test]
    fn every_crate_takes_the_lints_of_the_workspace() {
        let root: toml::Table =
            std::fs::read_to_string(sources::root().join("Cargo.toml")).unwrap().parse().unwrap();
        let members =
            root["workspace"]["members"].as_array().unwrap().iter().map(|member| member.as_str().unwrap());
        let mut found = Vec::new();
        for path in members.map(|member| format!("{member}/Cargo.toml")) {
            found
                .extend(without_lints(&path, &std::fs::read_to_string(sources::root().join(&path)).unwrap()));
        }
        assert_none(found);
        assert!(without_lints("Cargo.toml", "[package]\nname = \"x\"\n[lints]\nworkspace = true").is_none());
        assert!(
            without_lints("Cargo.toml", "[package]\nname = \"x\"\n[lints.rust]\nunsafe_code = \"warn\"")
                .is_some()
        );
    }

    #[test]
    fn nothing_is_left_undone_or_switched_off() {
        let (files, mut findings) = sources::rust(TREE);
        findings.extend(files.iter().flat_map(|rust| undone(&rust.path, &rust.file)));
        let texts = TREE.iter().flat_map(|top| {
            sources::files(top, &|name| !name.ends_with(".lock") && !name.ends_with("lock.json"))
        });
        findings.extend(texts.flat_map(|(path, text)| marked(&path, &text)));
        assert_none(findings);
    }

    #[test]
    fn what_is_left_undone_is_found() {
        let text = "fn f() { todo!() }\nfn g() { std::unimplemented!() }\n#[test]\n#[ignore = \"slow\"]\nfn h() {}\n#[cfg_attr(x, ignore)]\nfn i() {}";
        let lines: Vec<usize> =
            undone("x.rs", &syn::parse_file(text).unwrap()).iter().map(|found| found.line).collect();
        assert_eq!(lines, [1, 2, 4, 6]);
        let [first, second, _] = MARKS;
        assert_eq!(
            marked("x.sql", &format!("a\n-- {first}: b\nx{second}\n({second})"))
                .iter()
                .map(|f| f.line)
                .collect::<Vec<_>>(),
            [2, 4]
        );
    }
}
