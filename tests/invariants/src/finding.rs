//! What a check answers: where a rule is broken, and which.

use std::fmt;

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    pub file: String,
    pub line: usize,
    pub rule: String,
}

impl Finding {
    pub fn new(file: &str, line: usize, rule: impl Into<String>) -> Self {
        Self { file: file.to_owned(), line, rule: rule.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.rule)
    }
}

/// Fails with every finding, one a line.
#[track_caller]
pub fn assert_none(mut findings: Vec<Finding>) {
    findings.sort();
    findings.dedup();
    let lines: Vec<String> = findings.iter().map(ToString::to_string).collect();
    assert!(lines.is_empty(), "{} finding(s):\n{}", lines.len(), lines.join("\n"));
}

#[test]
fn findings_fail_with_file_line_and_rule() {
    let panic = std::panic::catch_unwind(|| assert_none(vec![Finding::new("a/b.rs", 7, "no such thing")]))
        .unwrap_err();
    assert_eq!(panic.downcast_ref::<String>().unwrap(), "1 finding(s):\na/b.rs:7: no such thing");
}
