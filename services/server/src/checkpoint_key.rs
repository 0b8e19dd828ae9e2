//! `checkpoint-key`: changes the file of the keys that sign the audit log's checkpoints. The running servers read it again
//! for each checkpoint, and the log says itself which keys began and ended.

use crate::args::{CheckpointKeyCommand, Settings};
use crate::error::StartError;
use crate::run::say;
use keywright_runtime::keys::{checkpoint_keys_file, new_checkpoint_key, replace_private};

pub fn run(command: &CheckpointKeyCommand, settings: &Settings) -> Result<(), StartError> {
    let path = checkpoint_keys_file(&settings.data_dir);
    let text =
        std::fs::read_to_string(&path).map_err(|source| StartError::File { path: path.clone(), source })?;
    let (text, said) = match command {
        CheckpointKeyCommand::Rotate => (
            format!("{}{text}", new_checkpoint_key()?),
            "A new key signs from the next checkpoint on, the older ones beside it. Give verifiers the new one: keywright audit keys",
        ),
        CheckpointKeyCommand::Retire => {
            let newest = text.lines().next().unwrap_or_default();
            (format!("{newest}\n"), "Only the newest key signs from the next checkpoint on.")
        }
    };
    replace_private(&path, text.as_bytes())?;
    say(&[said, "Other machines that run the audit service need the same file."]);
    Ok(())
}
