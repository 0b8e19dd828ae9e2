//! What the contract owes its readers and the machines that iterate it. Everything here is read from the compiled
//! descriptor pool, options and comments included.

mod comments;
mod rules;
pub mod secrets;

use keywright_proto::{DESCRIPTOR_SET, pool};
use prost::Message;
use prost_reflect::{DescriptorPool, FileDescriptor, MessageDescriptor, MethodDescriptor};
use std::collections::BTreeMap;

/// Comments and lines of one file's elements, by their path in the descriptor.
pub struct Notes {
    file: String,
    by_path: BTreeMap<Vec<i32>, (String, usize)>,
}

impl Notes {
    pub fn of(file: &FileDescriptor) -> Self {
        let info = file.file_descriptor_proto().source_code_info.clone().unwrap_or_default();
        let note = |location: prost_types::source_code_info::Location| {
            let line =
                location.span.first().and_then(|line| usize::try_from(*line).ok()).map_or(0, |line| line + 1);
            (location.path, (location.leading_comments.unwrap_or_default().trim().to_owned(), line))
        };
        Self {
            file: format!("proto/{}", file.name()),
            by_path: info.location.into_iter().map(note).collect(),
        }
    }

    pub fn file(&self) -> &str {
        &self.file
    }

    pub fn all(&self) -> impl Iterator<Item = &str> {
        self.by_path.values().map(|(comment, _)| comment.as_str())
    }

    pub fn comment(&self, path: &[i32]) -> &str {
        self.by_path.get(path).map_or("", |(comment, _)| comment)
    }

    pub fn line(&self, path: &[i32]) -> usize {
        self.by_path.get(path).map_or(0, |(_, line)| *line)
    }
}

/// The product's own files, without what is taken from Google.
pub fn files(pool: &DescriptorPool) -> Vec<FileDescriptor> {
    pool.files().filter(|file| file.package_name().starts_with("keywright.")).collect()
}

pub fn rpcs(pool: &DescriptorPool) -> Vec<MethodDescriptor> {
    files(pool)
        .iter()
        .flat_map(|file| file.services().collect::<Vec<_>>())
        .flat_map(|s| s.methods().collect::<Vec<_>>())
        .collect()
}

pub fn messages(file: &FileDescriptor) -> Vec<MessageDescriptor> {
    fn with_children(message: MessageDescriptor) -> Vec<MessageDescriptor> {
        let children = message.child_messages().filter(|child| !child.is_map_entry()).flat_map(with_children);
        std::iter::once(message.clone()).chain(children).collect()
    }
    file.messages().flat_map(with_children).collect()
}

/// The contract as it would be without any option and any comment: what every check has to notice.
pub fn stripped() -> DescriptorPool {
    let mut set = prost_types::FileDescriptorSet::decode(DESCRIPTOR_SET).unwrap();
    set.file.iter_mut().for_each(|file| file.source_code_info = None);
    // The struct does not know our options: encoding it drops them.
    DescriptorPool::decode(set.encode_to_vec().as_slice()).unwrap()
}

#[test]
fn the_pool_holds_the_product() {
    assert!(rpcs(pool()).len() > 40);
    assert_eq!(rpcs(pool()).len(), rpcs(&stripped()).len());
}
