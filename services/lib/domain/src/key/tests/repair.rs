//! What editors, mail and web pages do to a key file does no harm.

use super::tools::{Dir, PASSPHRASE, take};

/// What can happen to any form.
fn variants(text: &str) -> Vec<(&'static str, Vec<u8>)> {
    let each = |change: &dyn Fn(&str) -> String| text.lines().map(change).collect::<String>();
    let wide = |order: fn(u16) -> [u8; 2]| {
        let units = "\u{feff}".encode_utf16().chain(text.encode_utf16());
        units.flat_map(order).collect::<Vec<u8>>()
    };
    vec![
        ("CRLF", text.replace('\n', "\r\n").into_bytes()),
        ("CR", text.replace('\n', "\r").into_bytes()),
        ("no final newline", text.trim_end().into()),
        ("blank lines around", format!("\n\n  \n\t\n{text}\n\n\n").into_bytes()),
        ("double spaced", text.replace('\n', "\n\n").into_bytes()),
        ("byte-order mark", format!("\u{feff}{text}").into_bytes()),
        ("UTF-16, little end first", wide(u16::to_le_bytes)),
        ("UTF-16, big end first", wide(u16::to_be_bytes)),
        (
            "prose around",
            format!("Here is the key: as agreed\n\n{text}\nRegards: A.\n-- \nA.\n").into_bytes(),
        ),
        ("its public key below", format!("{text}\nssh-ed25519 AAAAC3Nza remark\n").into_bytes()),
        ("indented", each(&|line| format!("   {line}  \n")).into_bytes()),
        ("indented by tabs", each(&|line| format!("\t{line}\t\r\n")).into_bytes()),
        ("quoted in a reply", each(&|line| format!("> {line}\n")).into_bytes()),
        ("quoted twice", each(&|line| format!(">> {line}\n")).into_bytes()),
    ]
}

/// What can happen to a form whose lines mean nothing.
fn armored(text: &str) -> Vec<(&'static str, Vec<u8>)> {
    let inside = |change: &dyn Fn(&str) -> String| {
        let change = |line: &str| if line.contains(['-', ':']) { line.to_owned() } else { change(line) };
        text.lines().map(|line| change(line) + "\n").collect::<String>().into_bytes()
    };
    vec![
        ("no-break spaces", inside(&|line| format!("\u{a0}{line}\u{a0}"))),
        ("spaces of no width", inside(&|line| line.replace('A', "A\u{200b}"))),
        ("other line lengths", inside(&|line| line.replace('b', "b\n").replace('Q', "Q \n"))),
    ]
}

#[test]
fn what_pasting_does_is_repaired() {
    let dir = Dir::make("-t ed25519 -N ''", &[]);
    let forms = [
        ("openssh", "cp k f"),
        ("openssh, encrypted", "cp k f; ssh-keygen -q -p -P '' -N \"$P\" -a 1 -f f"),
        ("ppk", "puttygen k -C 'two words' -O private -o f"),
        (
            "ppk, encrypted",
            "puttygen k -O private --new-passphrase pass --ppk-param memory=256,passes=1 -o f",
        ),
        ("pkcs1", "ssh-keygen -q -t rsa -m PEM -b 2048 -N '' -f f"),
        ("sec1, encrypted", "ssh-keygen -q -t ecdsa -m PEM -N \"$P\" -f f"),
        ("pkcs8", "ssh-keygen -q -t ecdsa -m PKCS8 -N '' -f f"),
    ];
    for (form, code) in forms {
        dir.sh(&format!("rm -f f f.pub; {code}"));
        let bytes = dir.read("f");
        let whole = take(&bytes, Some(PASSPHRASE)).unwrap();
        let text = String::from_utf8(bytes).unwrap();
        let mut all = variants(&text);
        if !form.starts_with("ppk") {
            all.extend(armored(&text));
        }
        if form == "openssh" {
            all.push(("one line", text.replace('\n', " ").into_bytes()));
        }
        for (variant, changed) in all {
            let taken =
                take(&changed, Some(PASSPHRASE)).unwrap_or_else(|error| panic!("{form}, {variant}: {error}"));
            assert_eq!(taken.key.public(), whole.key.public(), "{form}, {variant}");
            assert_eq!(taken.encrypted_at_intake, whole.encrypted_at_intake, "{form}, {variant}");
        }
    }
}
