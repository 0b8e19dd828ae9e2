//! Every form that is accepted and every one that is refused, as a table in the output: what is printed is asserted.

mod accepted;
mod refused;

use super::tools::{Dir, PASSPHRASE, take};
use crate::key::{KeyError, KeyFormat};
use std::process::Command;

/// One line of the table: `code` makes the file `f`, and `f.pub` where the key is not that of the directory.
struct Row {
    tool: Tool,
    form: &'static str,
    algorithm: &'static str,
    protection: String,
    code: String,
    verdict: Verdict,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tool {
    SshKeygen,
    OpenSsl,
    PuttyGen,
    Dropbear,
    /// Kept from a tool that is not here, or changed after it was made.
    File(&'static str),
}

#[derive(Debug, Clone, Copy)]
enum Verdict {
    Plain(KeyFormat),
    Encrypted(KeyFormat),
    /// With the passphrase at hand.
    Refused(KeyError),
}

/// The forms of the algorithm's key that conversions start from: `k` (OpenSSH), `m` (PEM) and `k.pub`.
const ALGORITHMS: [(&str, &str); 5] = [
    ("Ed25519", "openssl genpkey -algorithm ed25519 -out m"),
    ("ECDSA P-256", "ssh-keygen -q -t ecdsa -b 256 -C remark -N '' -f k"),
    ("ECDSA P-384", "ssh-keygen -q -t ecdsa -b 384 -C remark -N '' -f k"),
    ("ECDSA P-521", "ssh-keygen -q -t ecdsa -b 521 -C remark -N '' -f k"),
    ("RSA 2048", "ssh-keygen -q -t rsa -b 2048 -C remark -N '' -f k"),
];

/// Where rows of other algorithms are made, too.
const SOMEWHERE: usize = 1;

fn base(make: &str) -> Dir {
    let dir = Dir::new();
    if make == ALGORITHMS[0].1 {
        // OpenSSH does not write PEM of these keys, and OpenSSL's `m` is another key.
        dir.sh("ssh-keygen -q -t ed25519 -C remark -N '' -f k");
        dir.sh(make);
        dir.sh("{ printf '\\0\\0\\0\\013ssh-ed25519\\0\\0\\0\\040'
               openssl pkey -in m -pubout -outform DER | tail -c 32; } | base64 -w 0 >m.b64
             echo \"ssh-ed25519 $(cat m.b64)\" >m.pub");
    } else {
        dir.sh(make);
        dir.sh("cp k m; ssh-keygen -q -p -m PEM -P '' -N '' -f m");
    }
    dir
}

impl Row {
    /// Makes the file, reads it, and says what came of it.
    fn check(&self, dir: &Dir) -> String {
        dir.sh("rm -f f f.pub");
        dir.sh(&self.code);
        let bytes = dir.read("f");
        let context = || format!("{:?} {} {} {}", self.tool, self.form, self.algorithm, self.protection);
        let (format, encrypted) = match self.verdict {
            Verdict::Refused(wanted) => {
                let error = take(&bytes, Some(PASSPHRASE)).expect_err(&context());
                assert_eq!(error, wanted, "{}", context());
                return error.reason().as_str().to_owned();
            }
            Verdict::Plain(format) => (format, false),
            Verdict::Encrypted(format) => (format, true),
        };
        let taken = take(&bytes, Some(PASSPHRASE)).unwrap_or_else(|error| panic!("{}: {error}", context()));
        assert_eq!((taken.format, taken.encrypted_at_intake), (format, encrypted), "{}", context());
        let judge = if dir.path("f.pub").exists() { "f.pub" } else { "k.pub" };
        let public = taken.key.public();
        assert_eq!(
            (public.bits(), public.fingerprint().to_string()),
            dir.fingerprint(judge),
            "{}",
            context()
        );
        if encrypted {
            let refusal = |passphrase| take(&bytes, passphrase).expect_err(&context());
            assert_eq!(refusal(None), KeyError::PassphraseRequired, "{}", context());
            assert_eq!(refusal(Some("")), KeyError::PassphraseRequired, "{}", context());
            assert_eq!(refusal(Some("wrong")), KeyError::PassphraseIncorrect, "{}", context());
        } else {
            assert!(take(&bytes, None).is_ok(), "{}", context());
        }
        "accepted".into()
    }
}

/// What the tools say of themselves, wherever they say it.
fn versions() -> Vec<(Tool, String)> {
    let first_line = |program: &str, option: &str| {
        let output = Command::new(program).arg(option).output().unwrap();
        let text = [output.stdout, output.stderr].concat();
        String::from_utf8_lossy(&text).lines().next().unwrap_or_default().to_owned()
    };
    let word = |line: String, at: usize| line.split([' ', ',']).nth(at).unwrap_or_default().to_owned();
    vec![
        (Tool::SshKeygen, format!("ssh-keygen {}", word(first_line("ssh", "-V"), 0))),
        (Tool::OpenSsl, format!("openssl {}", word(first_line("openssl", "version"), 1))),
        (Tool::PuttyGen, format!("puttygen {}", word(first_line("puttygen", "--version"), 2))),
        (Tool::Dropbear, format!("dropbear {}", word(first_line("dropbear", "-V"), 1))),
    ]
}

#[test]
fn table_of_key_forms() {
    let versions = versions();
    let name = |tool| match tool {
        Tool::File(made) => made.to_owned(),
        tool => versions.iter().find(|(known, _)| *known == tool).unwrap().1.clone(),
    };
    println!(
        "| {:<28} | {:<24} | {:<17} | {:<40} | {:<21} |",
        "tool", "form", "algorithm", "cipher / key derivation", "verdict"
    );
    let rows: Vec<Row> = accepted::rows().into_iter().chain(refused::rows()).collect();
    let dirs: Vec<Dir> = ALGORITHMS.iter().map(|(_, make)| base(make)).collect();
    for row in &rows {
        let at = ALGORITHMS.iter().position(|(algorithm, _)| *algorithm == row.algorithm);
        let verdict = row.check(&dirs[at.unwrap_or(SOMEWHERE)]);
        println!(
            "| {:<28} | {:<24} | {:<17} | {:<40} | {:<21} |",
            name(row.tool),
            row.form,
            row.algorithm,
            row.protection,
            verdict
        );
    }
    let accepted = rows.iter().filter(|row| !matches!(row.verdict, Verdict::Refused(_))).count();
    println!("{} forms: {accepted} accepted, {} refused", rows.len(), rows.len() - accepted);
}
