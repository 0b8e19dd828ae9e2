//! The comments of the contract, by descriptor path.

use prost_reflect::FileDescriptor;

/// The comment before the element at `path` in `file`, each line without its indentation.
pub fn comment(file: &FileDescriptor, path: &[i32]) -> String {
    let locations =
        file.file_descriptor_proto().source_code_info.as_ref().map(|info| info.location.as_slice());
    let location = locations.unwrap_or_default().iter().find(|location| location.path == path);
    let text = location.and_then(|location| location.leading_comments.as_deref()).unwrap_or_default();
    text.lines().map(str::trim).collect::<Vec<_>>().join("\n").trim().to_owned()
}

/// The first line without its full stop.
pub fn summary(comment: &str) -> &str {
    let line = comment.lines().next().unwrap_or_default();
    let sentence = line.split_once(". ").map_or(line, |(first, _)| first);
    sentence.trim_end_matches('.')
}
