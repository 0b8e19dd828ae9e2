//! Reads the shipped policies and checks an operator's own, without a start.

use crate::args::PolicyCommand;
use crate::error::StartError;
use keywright_policy::Policy;

#[allow(clippy::print_stdout, reason = "what was asked for")]
pub fn run(command: &PolicyCommand) -> Result<(), StartError> {
    match command {
        PolicyCommand::Print => print!("{}", Policy::text()),
        PolicyCommand::Check { folder } => {
            let policy = Policy::with_additions(folder)?;
            match policy.added() {
                [] => println!("{} holds no *.cedar file with a policy.", folder.display()),
                added => println!("{} of your policies are valid: {}", added.len(), added.join(", ")),
            }
        }
    }
    Ok(())
}
