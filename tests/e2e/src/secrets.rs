//! Where a secret may not stand: what the server printed, what it stored, what it answered, what lies about on the
//! machine and on hosts.

use std::collections::HashMap;
use std::path::Path;

use data_encoding::{BASE64_NOPAD, BASE64URL_NOPAD, Encoding, HEXLOWER, HEXUPPER};
use keywright_kit::TestHost;
use tokio::process::Command;

use crate::World;
use crate::world::files_below;

/// What a private key in one of the usual forms begins with.
const FORMS: [&str; 3] = ["OPENSSH PRIVATE KEY", "openssh-key-v1\0", "PuTTY-User-Key-File-"];
/// Folders of a host that a script of ours could write to. Its own host keys lie in none of them.
const OF_HOST: [&str; 9] =
    ["/home", "/root", "/tmp", "/run/lock", "/var/tmp", "/var/log", "/var/mail", "/var/spool", "/srv"];
/// What the kit and tests make in the machine's /tmp, some of it with keys in it.
const OF_TESTS: [&str; 12] =
    ["agent", "apart", "bao", "ca", "clock", "disk", "host", "key", "oidc", "postgres", "server", "tour"];

/// Things to look for, each as it is, in hexadecimal (as a database's dump writes bytes) and in base64, wherever in the
/// encoded text it may begin.
#[derive(Debug, Default)]
pub struct Needles {
    needles: Vec<(String, Vec<u8>)>,
    /// By the first bytes.
    beginning: HashMap<[u8; 8], Vec<usize>>,
    /// Which [`slot`]s any of them begins in.
    slots: Vec<bool>,
}

impl Needles {
    pub fn add(&mut self, what: &str, secret: impl AsRef<[u8]>) {
        let secret = secret.as_ref();
        assert!(secret.len() >= 12, "{what} is too short to be told from chance");
        self.insert(what.into(), secret.to_vec());
        for encoding in [&HEXLOWER, &HEXUPPER] {
            self.insert(format!("{what}, hexadecimal"), encoding.encode(secret).into_bytes());
        }
        for encoding in [&BASE64_NOPAD, &BASE64URL_NOPAD] {
            for text in inside_base64(secret, encoding) {
                self.insert(format!("{what}, base64"), text);
            }
        }
    }

    pub fn add_all(&mut self, what: &str, secrets: impl IntoIterator<Item = Vec<u8>>) {
        secrets.into_iter().for_each(|secret| self.add(what, secret));
    }

    /// Any private key at all, in the forms that hold one unencrypted.
    pub fn add_any_private_key(&mut self) {
        FORMS.iter().for_each(|form| self.add("a private key", form));
    }

    fn insert(&mut self, what: String, needle: Vec<u8>) {
        let begins: [u8; 8] = needle[..8].try_into().unwrap();
        self.slots.resize(SLOTS, false);
        self.slots[slot(&begins)] = true;
        self.beginning.entry(begins).or_default().push(self.needles.len());
        self.needles.push((what, needle));
    }

    /// Panics with the name of the secret and of the place, never with the secret.
    pub fn assert_absent(&self, place: &str, haystack: &[u8]) {
        if let Some(what) = self.found_in(haystack) {
            panic!("{what} stands in {place}");
        }
    }

    /// All at once in one pass: there may be hundreds.
    pub fn found_in(&self, haystack: &[u8]) -> Option<&str> {
        for (at, begins) in haystack.windows(8).enumerate() {
            if !self.slots.is_empty() && self.slots[slot(begins)] {
                let candidates = self.beginning.get(begins).into_iter().flatten();
                let mut candidates = candidates.map(|number| &self.needles[*number]);
                if let Some((what, _)) = candidates.find(|(_, needle)| haystack[at..].starts_with(needle)) {
                    return Some(what);
                }
            }
        }
        None
    }

    /// Every file of the data folder but those that are there to hold a secret: the operator's token.
    pub fn assert_absent_from_data(&self, folder: &Path) {
        let files = files_below(folder);
        assert!(!files.is_empty(), "nothing is stored at all");
        for file in files.iter().filter(|file| !file.ends_with("operator.token")) {
            self.assert_absent_from_file(file);
        }
    }

    /// What is gone meanwhile holds nothing.
    fn assert_absent_from_file(&self, file: &Path) {
        match std::fs::read(file) {
            Ok(bytes) => self.assert_absent(&file.display().to_string(), &bytes),
            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::NotFound, "{}", file.display()),
        }
    }

    /// Nowhere that Keywright or a script of ours could have put it: its folders, what it printed, its database, the
    /// machine's temporary files, the hosts.
    pub async fn assert_nowhere(&self, world: &World, hosts: &[&TestHost]) {
        let keywright = &world.keywright;
        self.assert_absent_from_data(&keywright.data_dir());
        self.assert_absent("what the server printed", keywright.logs().as_bytes());
        for folder in [keywright.work_dir(), keywright.tmp_dir(), keywright.home()] {
            files_below(&folder).iter().for_each(|file| self.assert_absent_from_file(file));
        }
        if let Some(database) = &world.database {
            self.assert_absent("the database", &dump(database).await);
        }
        for host in hosts {
            for folder in OF_HOST.map(|folder| host.outside(folder)) {
                files_below(&folder).iter().for_each(|file| self.assert_absent_from_file(file));
            }
            self.assert_absent("a host's log", host.log().as_bytes());
        }
        let of_tests = |name: &str| OF_TESTS.iter().any(|of| name.starts_with(&format!("keywright-{of}-")));
        for entry in std::fs::read_dir(std::env::temp_dir()).unwrap().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.starts_with("keywright") && !of_tests(&name) {
                let path = entry.path();
                let files = if path.is_dir() { files_below(&path) } else { vec![path] };
                files.iter().for_each(|file| self.assert_absent_from_file(file));
            }
        }
    }
}

const SLOTS: usize = 1 << 20;

/// A number for the first four bytes.
fn slot(begins: &[u8]) -> usize {
    let four = u32::from_le_bytes([begins[0], begins[1], begins[2], begins[3]]);
    usize::try_from(four.wrapping_mul(0x9E37_79B1) >> 12).unwrap()
}

/// What of the secret's own stands in the base64 of a longer text, after a multiple of three bytes, one more, two more.
fn inside_base64(secret: &[u8], encoding: &Encoding) -> [Vec<u8>; 3] {
    [0, 1, 2].map(|before| {
        let text = encoding.encode(&[&[0; 2][..before], secret].concat()).into_bytes();
        let first = (before * 8).div_ceil(6);
        let whole = (before + secret.len()) * 8 / 6;
        text[first..whole].to_vec()
    })
}

/// All rows of a PostgreSQL database as text.
pub async fn dump(database: &str) -> Vec<u8> {
    let folder = Path::new("/usr/lib/postgresql/15/bin/pg_dump");
    let program = if folder.is_file() { folder } else { Path::new("pg_dump") };
    let output = Command::new(program).args(["--inserts", database]).output().await.unwrap();
    assert!(output.status.success(), "pg_dump: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}
