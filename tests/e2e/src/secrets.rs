//! Where a secret may not stand: what the server printed, what it stored, what it answered.

use std::path::Path;

use keywright_kit::Keywright;
use tokio::process::Command;

use crate::world::files_below;

/// Things to look for, each as it is and in hexadecimal (as a database's dump writes bytes).
#[derive(Debug, Default)]
pub struct Needles {
    needles: Vec<(String, Vec<u8>)>,
}

impl Needles {
    pub fn add(&mut self, what: &str, secret: impl AsRef<[u8]>) {
        let secret = secret.as_ref();
        assert!(secret.len() >= 12, "{what} is too short to be told from chance");
        self.needles.push((what.into(), secret.to_vec()));
        self.needles
            .push((format!("{what}, hexadecimal"), data_encoding::HEXLOWER.encode(secret).into_bytes()));
    }

    pub fn add_all(&mut self, what: &str, secrets: impl IntoIterator<Item = Vec<u8>>) {
        secrets.into_iter().for_each(|secret| self.add(what, secret));
    }

    /// Panics with the name of the secret and of the place, never with the secret.
    pub fn assert_absent(&self, place: &str, haystack: &[u8]) {
        for (what, needle) in &self.needles {
            let found = memchr::memmem::find(haystack, needle).is_some();
            assert!(!found, "{what} stands in {place}");
        }
    }

    /// Every file of the data folder but those that are there to hold a secret: the operator's token.
    pub fn assert_absent_from_data(&self, folder: &Path) {
        let files = files_below(folder);
        assert!(!files.is_empty(), "nothing is stored at all");
        for file in files.iter().filter(|file| !file.ends_with("operator.token")) {
            self.assert_absent(&file.display().to_string(), &std::fs::read(file).unwrap());
        }
    }
}

/// The whole audit log as the operator reads it, page by page.
pub async fn audit_log(keywright: &Keywright) -> Vec<serde_json::Value> {
    let (mut events, mut page) = (Vec::new(), String::new());
    loop {
        let answer =
            keywright.get(&format!("/api/audit/events?pageSize=50&pageToken={page}")).await.success();
        events.extend(answer["items"].as_array().unwrap().iter().cloned());
        page = answer["nextPageToken"].as_str().unwrap().to_owned();
        if page.is_empty() {
            return events;
        }
    }
}

/// All rows of a PostgreSQL database as text.
pub async fn dump(database: &str) -> Vec<u8> {
    let folder = Path::new("/usr/lib/postgresql/15/bin/pg_dump");
    let program = if folder.is_file() { folder } else { Path::new("pg_dump") };
    let output = Command::new(program).args(["--inserts", database]).output().await.unwrap();
    assert!(output.status.success(), "pg_dump: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}
