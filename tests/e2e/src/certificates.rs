//! Certificates of an authority of the test's own, made by OpenSSL.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// An authority, and what it issued.
#[derive(Debug)]
pub struct Authority {
    folder: TempDir,
}

/// A certificate and its key, in PEM.
#[derive(Debug)]
pub struct Issued {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

impl Default for Authority {
    fn default() -> Self {
        Self::new()
    }
}

impl Authority {
    pub fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("keywright-ca-").tempdir().unwrap();
        openssl(
            folder.path(),
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=test-authority \
             -keyout ca.key -out ca.pem",
        );
        Self { folder }
    }

    /// The authority's own certificate.
    pub fn certificate(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// A certificate for 127.0.0.1 and the name, good for a server and for a client.
    pub fn issue(&self, name: &str) -> Issued {
        let folder = self.folder.path();
        let extensions = format!(
            "subjectAltName=IP:127.0.0.1,DNS:localhost,DNS:{name}\nextendedKeyUsage=serverAuth,clientAuth\n"
        );
        std::fs::write(folder.join("extensions"), extensions).unwrap();
        openssl(
            folder,
            &format!(
                "req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN={name} -keyout {name}.key \
                 -out {name}.csr"
            ),
        );
        openssl(
            folder,
            &format!(
                "x509 -req -in {name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile extensions \
                 -out {name}.pem"
            ),
        );
        Issued { certificate: folder.join(format!("{name}.pem")), key: folder.join(format!("{name}.key")) }
    }
}

impl Issued {
    /// Certificate and key in one text.
    pub fn pem(&self) -> String {
        [&self.certificate, &self.key].map(|path| std::fs::read_to_string(path).unwrap()).concat()
    }

    /// As OpenSSL prints it: in capitals, with colons.
    pub fn fingerprint(&self) -> String {
        let folder = self.certificate.parent().unwrap();
        let path = self.certificate.display();
        let line = openssl(folder, &format!("x509 -in {path} -noout -fingerprint -sha256"));
        line.trim().split_once('=').unwrap().1.to_owned()
    }
}

fn openssl(folder: &Path, arguments: &str) -> String {
    let output =
        Command::new("openssl").args(arguments.split_whitespace()).current_dir(folder).output().unwrap();
    assert!(output.status.success(), "openssl {arguments}\n{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}
