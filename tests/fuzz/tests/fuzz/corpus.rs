//! The files of a target, and their replay.

use crate::watch::watched;
use keywright_fuzz::{LABELS, TARGETS, Target};
use std::path::{Path, PathBuf};

pub(crate) struct Sample {
    pub(crate) name: String,
    pub(crate) accepted: bool,
    pub(crate) bytes: Vec<u8>,
}

pub(crate) fn target(name: &str) -> &'static Target {
    TARGETS.iter().find(|target| target.name == name).unwrap()
}

/// Sorted, so that a seed means the same everywhere.
pub(crate) fn samples(target: &str) -> Vec<Sample> {
    if target == "key_inside" {
        return samples("key_intake").into_iter().filter_map(inside).collect();
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
    let mut paths: Vec<PathBuf> = ["accepted", "refused"]
        .iter()
        .filter_map(|verdict| std::fs::read_dir(root.join(verdict)).ok())
        .flat_map(|entries| entries.map(|entry| entry.unwrap().path()))
        .collect();
    paths.sort();
    assert!(!paths.is_empty(), "no corpus for {target}");
    let read = |path: PathBuf| Sample {
        name: path.file_name().unwrap().to_string_lossy().into_owned(),
        accepted: path.parent().unwrap().ends_with("accepted"),
        bytes: std::fs::read(&path).unwrap(),
    };
    paths.into_iter().map(read).collect()
}

/// The bytes under the armor, behind a byte for its label; none for a form that has more than one armor of headers.
fn inside(sample: Sample) -> Option<Sample> {
    let text = String::from_utf8(sample.bytes).ok()?;
    let mut lines = text.lines();
    let first = lines.next()?;
    let choice = LABELS.iter().position(|label| first == format!("-----BEGIN {label}-----"))?;
    let body: String = lines.take_while(|line| !line.starts_with('-')).collect();
    let mut bytes = vec![u8::try_from(choice).unwrap()];
    bytes.extend(data_encoding::BASE64.decode(body.as_bytes()).ok()?);
    Some(Sample { name: sample.name, accepted: sample.accepted, bytes })
}

#[test]
fn every_file_is_answered_as_its_directory_says() {
    for target in TARGETS {
        let samples = samples(target.name);
        for sample in &samples {
            let accepted = watched(target, &sample.bytes);
            assert_eq!(accepted, sample.accepted, "{}/{}", target.name, sample.name);
        }
        let accepted = samples.iter().filter(|sample| sample.accepted).count();
        println!("{}: {accepted} accepted, {} refused", target.name, samples.len() - accepted);
    }
}

/// The corpus has a file of every target, and no file that no target reads.
#[test]
fn no_directory_is_left_out() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    for entry in std::fs::read_dir(root).unwrap() {
        let name = entry.unwrap().file_name().to_string_lossy().into_owned();
        assert!(name == "README.md" || TARGETS.iter().any(|target| target.name == name), "{name}");
    }
    assert!(TARGETS.iter().all(|target| samples(target.name).iter().any(|sample| sample.accepted)));
}
