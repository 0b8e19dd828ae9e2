//! Running the other tools in a directory of its own.

use crate::key::{Intake, KdfCaps, KeyError, intake};
use crate::secret::Secret;
use std::process::Command;
use tempfile::TempDir;

pub(super) const PASSPHRASE: &str = "correct horse";
const CORPUS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../tests/fuzz/corpus/key_intake");

pub(super) struct Dir(TempDir);

impl Dir {
    pub(super) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// Runs `line` split at blanks, in the directory; `@` stands for the passphrase. Gives standard output.
    pub(super) fn run(&self, line: &str) -> String {
        let mut words = line.split(' ').map(|word| word.replace('@', PASSPHRASE));
        let program = words.next().unwrap();
        let output = Command::new(&program)
            .args(words.map(|word| if word == "''" { String::new() } else { word }))
            .current_dir(self.0.path())
            .output()
            .unwrap_or_else(|error| {
                panic!("{program}: {error} (apt-get install openssh-client openssl putty-tools)")
            });
        assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Runs shell code in the directory: `$P` is the passphrase, `pass` a file that holds it, `empty` one that holds
    /// nothing, `$CORPUS` the files kept from tools that are not here. Gives standard output.
    pub(super) fn sh(&self, code: &str) -> String {
        self.write("pass", PASSPHRASE.as_bytes());
        self.write("empty", b"");
        let output = Command::new("sh")
            .args(["-eu", "-c", code])
            .env("P", PASSPHRASE)
            .env("CORPUS", CORPUS)
            .current_dir(self.0.path())
            .output()
            .unwrap();
        assert!(output.status.success(), "{code}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    pub(super) fn write(&self, name: &str, bytes: &[u8]) {
        use std::io::Write;
        use std::os::unix::fs::OpenOptionsExt;
        let path = self.0.path().join(name);
        let mut file = std::fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(path)
            .unwrap();
        file.write_all(bytes).unwrap();
    }

    pub(super) fn path(&self, name: &str) -> std::path::PathBuf {
        self.0.path().join(name)
    }

    pub(super) fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.0.path().join(name)).unwrap()
    }

    /// `ssh-keygen -lf`: bits and fingerprint.
    pub(super) fn fingerprint(&self, name: &str) -> (u32, String) {
        let line = self.run(&format!("ssh-keygen -lf {name}"));
        let mut words = line.split(' ');
        (words.next().unwrap().parse().unwrap(), words.next().unwrap().to_owned())
    }

    /// Makes `k` and `k.pub` and converts `k` in place by the further commands.
    pub(super) fn make(options: &str, conversions: &[&str]) -> Self {
        let dir = Self::new();
        dir.run(&format!("ssh-keygen -q -C c -f k {options}"));
        for line in conversions {
            dir.run(line);
        }
        dir
    }
}

pub(super) fn take(bytes: &[u8], passphrase: Option<&str>) -> Result<Intake, KeyError> {
    let passphrase = passphrase.map(|text| Secret::from_text(text.to_owned()));
    intake(&Secret::new(bytes.to_vec()), passphrase.as_ref(), &KdfCaps::default())
}
