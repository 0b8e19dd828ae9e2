//! Where the audit log is handed on to, as the settings name it.

use crate::args::Settings;
use crate::error::StartError;
use keywright_audit as audit;
use keywright_domain::secret::Secret;
use keywright_egress::Lines;

/// Places that whoever runs the server named: the rules of targets hold, but for `--allow-target` and loopback's.
pub fn forwarding(settings: &Settings) -> Result<audit::Forwarding, StartError> {
    let given = &settings.forwarding;
    let mut lines = Lines::anywhere_but(settings.targets.deny_target.clone(), vec![settings.listen]);
    if let Some(authority) = &given.audit_forward_ca {
        lines = lines.trusting(authority)?;
    }
    let secret = match &given.audit_forward_secret_file {
        None => None,
        Some(path) => {
            let text = std::fs::read_to_string(path)
                .map_err(|source| StartError::File { path: path.clone(), source })?;
            Some(Secret::from_text(text.lines().next().unwrap_or_default().trim().to_owned()))
        }
    };
    Ok(audit::Forwarding::new(audit::ForwardingSettings {
        urls: given.audit_forward.clone(),
        secret,
        checkpoint_file: given.audit_checkpoint_file.clone(),
        checkpoint_webhook: given.audit_checkpoint_webhook.clone(),
        lines,
    })?)
}
