//! The mail server, as the settings name it.

use crate::args::MailSettings;
use crate::error::StartError;
use keywright_domain::secret::Secret;
use keywright_key_lifecycle as lifecycle;

/// None where nobody is told by e-mail.
pub fn settings(given: &MailSettings) -> Result<Option<lifecycle::MailSettings>, StartError> {
    let Some(url) = &given.smtp_url else { return Ok(None) };
    let from = given.smtp_from.clone().ok_or(StartError::NoSender)?;
    let password = match (&given.smtp_password, &given.smtp_password_file) {
        (_, Some(path)) => {
            let text = std::fs::read_to_string(path)
                .map_err(|source| StartError::File { path: path.clone(), source })?;
            Some(Secret::from_text(text.lines().next().unwrap_or_default().to_owned()))
        }
        (Some(password), None) => Some(Secret::from_text(password.clone())),
        (None, None) => None,
    };
    Ok(Some(lifecycle::MailSettings { url: url.clone(), from, password }))
}
