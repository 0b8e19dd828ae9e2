//! The certificate that this program shows to the gateway, for tokens that are bound to one.

use std::path::PathBuf;

use reqwest::Identity;
use zeroize::Zeroizing;

use crate::error::{CliError, Result};

const CERTIFICATE: &str = "KEYWRIGHT_CLIENT_CERT";
const KEY: &str = "KEYWRIGHT_CLIENT_KEY";

/// What the environment names, if it names one.
pub fn of_environment() -> Result<Option<Identity>> {
    let path = |name| std::env::var_os(name).filter(|path| !path.is_empty()).map(PathBuf::from);
    match (path(CERTIFICATE), path(KEY)) {
        (None, None) => Ok(None),
        (Some(certificate), Some(key)) => {
            let mut pem = Zeroizing::new(read(CERTIFICATE, certificate)?);
            pem.push(b'\n');
            pem.extend_from_slice(&Zeroizing::new(read(KEY, key)?));
            Identity::from_pem(&pem).map(Some).map_err(|_| {
                CliError::Usage(format!(
                    "{CERTIFICATE} and {KEY} do not hold a certificate and its key in PEM"
                ))
            })
        }
        (Some(_), None) => Err(CliError::Usage(format!("{KEY} is missing: {CERTIFICATE} needs its key"))),
        (None, Some(_)) => {
            Err(CliError::Usage(format!("{CERTIFICATE} is missing: {KEY} needs its certificate")))
        }
    }
}

fn read(name: &str, path: PathBuf) -> Result<Vec<u8>> {
    std::fs::read(&path).map_err(|source| CliError::File {
        doing: format!("{} of {name} cannot be read", path.display()),
        source,
    })
}
