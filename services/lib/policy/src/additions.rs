//! The operator's own policies: read from a folder, each with an id of its own, each valid under the schema.

use crate::fault::{Fault, PolicyError, line_of};
use crate::words;
use cedar_policy::{Policy, PolicyId, PolicySet, Schema, ValidationMode, Validator};
use miette::Diagnostic;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// A larger file is none that people wrote.
const LARGEST: u64 = 1024 * 1024;

/// Stands for any tenant of which no addition speaks.
const SOME_TENANT: &str = "ten_aaaaaaaaaaaaaaaaaaaaaaaaaa";

/// The policies of one folder.
#[derive(Default)]
pub struct Additions(Vec<Added>);

pub struct Added {
    pub policy: Policy,
    file: String,
    line: usize,
    /// Of the whole file, for the places that faults name.
    text: std::sync::Arc<str>,
}

impl Added {
    pub fn fault(&self, what: impl fmt::Display) -> Fault {
        Fault { file: self.file.clone(), line: self.line, what: what.to_string() }
    }

    fn id(&self) -> &str {
        self.policy.id().as_ref()
    }

    /// The fault at the place that a diagnostic names, else at the policy.
    fn diagnosed(&self, error: &dyn Diagnostic) -> Fault {
        let line = place(error).map_or(self.line, |offset| line_of(&self.text, offset));
        Fault { line, ..self.fault(explained(error)) }
    }
}

/// Every `*.cedar` file of the folder, in the order of their names; other files are left alone.
pub fn read(folder: &Path) -> Result<Additions, PolicyError> {
    let failed = |path: &Path, error: std::io::Error| PolicyError::of(&path.display().to_string(), error);
    let mut files: Vec<PathBuf> = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(|error| failed(folder, error))? {
        let path = entry.map_err(|error| failed(folder, error))?.path();
        let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if !hidden && path.extension().is_some_and(|extension| extension == "cedar") && path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    let (mut added, mut faults) = (Vec::new(), Vec::new());
    for path in files {
        let size = std::fs::metadata(&path).map_err(|error| failed(&path, error))?.len();
        if size > LARGEST {
            return Err(PolicyError::of(&path.display().to_string(), "the file is larger than 1 MiB"));
        }
        let text = std::fs::read_to_string(&path).map_err(|error| failed(&path, error))?;
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        parse(&name, &text, &mut added, &mut faults);
    }
    if faults.is_empty() { Ok(Additions(added)) } else { Err(PolicyError(faults)) }
}

/// The policies of one file, or its faults.
fn parse(file: &str, text: &str, added: &mut Vec<Added>, faults: &mut Vec<Fault>) {
    let at = |line: usize, what: String| Fault { file: file.to_owned(), line, what };
    let set = match PolicySet::from_str(text) {
        Ok(set) => set,
        Err(errors) => {
            let line = |error: &dyn Diagnostic| place(error).map_or(0, |offset| line_of(text, offset));
            faults.extend(errors.iter().map(|error| at(line(error), explained(error))));
            return;
        }
    };
    if set.num_of_templates() > 0 {
        faults.push(at(0, "templates (?principal, ?resource) have no meaning here".to_owned()));
    }
    let shared: std::sync::Arc<str> = text.into();
    for policy in set.policies() {
        let line = text.find(&policy.to_string()).map_or(0, |offset| line_of(text, offset));
        match policy.annotation("id").filter(|id| is_id(id)) {
            Some(id) => added.push(Added {
                policy: policy.new_id(PolicyId::new(id)),
                file: file.to_owned(),
                line,
                text: shared.clone(),
            }),
            None => faults.push(at(
                line,
                "a policy needs @id(\"…\") of 1 to 64 characters a-z, 0-9 and -: the audit log names it"
                    .to_owned(),
            )),
        }
    }
    added.sort_by(|a, b| (&a.file, a.line).cmp(&(&b.file, b.line)));
}

fn is_id(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

impl Additions {
    pub fn iter(&self) -> impl Iterator<Item = &Added> {
        self.0.iter()
    }

    pub fn ids(&self) -> Vec<String> {
        self.0.iter().map(|added| added.id().to_owned()).collect()
    }

    /// The shipped set with these.
    pub fn join(&self, shipped: &PolicySet, schema: &Schema) -> Result<PolicySet, PolicyError> {
        let (mut all, mut faults) = (shipped.clone(), Vec::new());
        let mut seen: BTreeMap<&str, &Added> = BTreeMap::new();
        let validator = Validator::new(schema.clone());
        for added in &self.0 {
            let id = added.id();
            if shipped.policy(added.policy.id()).is_some() {
                faults
                    .push(added.fault(format!("Keywright ships a policy with the id {id}: choose another")));
                continue;
            }
            if let Some(first) = seen.insert(id, added) {
                let place = format!("{}:{}", first.file, first.line);
                faults.push(added.fault(format!("the id {id} is taken by {place}: choose another")));
                continue;
            }
            faults.extend(invalid(added, &validator));
            faults.extend(words::unknown(&added.policy).into_iter().map(|what| added.fault(what)));
            if let Err(error) = all.add(added.policy.clone()) {
                faults.push(added.fault(error));
            }
        }
        if faults.is_empty() { Ok(all) } else { Err(PolicyError(faults)) }
    }

    /// Every tenant that an addition speaks of, and one that stands for the others. None where nothing is added.
    pub fn tenants(&self) -> Vec<String> {
        if self.0.is_empty() {
            return Vec::new();
        }
        let texts: BTreeSet<&str> = self.0.iter().map(|added| &*added.text).collect();
        let named =
            texts.into_iter().flat_map(|text| text.match_indices("ten_").map(move |(at, _)| (text, at)));
        let named = named.filter_map(|(text, at)| text.get(at..at.checked_add(SOME_TENANT.len())?));
        let tenants: BTreeSet<String> = named.chain([SOME_TENANT]).map(str::to_owned).collect();
        tenants.into_iter().collect()
    }
}

/// What the validator says of one policy; a policy that can never hold is a mistake too.
fn invalid(added: &Added, validator: &Validator) -> Vec<Fault> {
    let mut alone = PolicySet::new();
    if let Err(error) = alone.add(added.policy.clone()) {
        return vec![added.fault(error)];
    }
    let outcome = validator.validate(&alone, ValidationMode::Strict);
    let errors = outcome.validation_errors().map(|error| added.diagnosed(error));
    errors.chain(outcome.validation_warnings().map(|warning| added.diagnosed(warning))).collect()
}

/// Where in its file something is wrong.
fn place(error: &dyn Diagnostic) -> Option<usize> {
    Some(error.labels()?.next()?.offset())
}

fn explained(error: &dyn Diagnostic) -> String {
    match error.help() {
        Some(help) => format!("{error} ({help})"),
        None => error.to_string(),
    }
}
