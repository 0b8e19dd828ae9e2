//! What is refused, and by which name.

use super::{Row, Tool, Verdict};
use crate::key::KeyError;

const KEPT: Tool = Tool::File("kept in the corpus");
const WRITTEN: Tool = Tool::File("written by hand");

pub(super) fn rows() -> Vec<Row> {
    let groups = [unsupported_keys(), unsupported_forms(), weak(), costly(), other_things(), broken()];
    groups.into_iter().flatten().collect()
}

fn row(
    tool: Tool,
    form: &'static str,
    algorithm: &'static str,
    protection: &str,
    code: &str,
    error: KeyError,
) -> Row {
    Row {
        tool,
        form,
        algorithm,
        protection: protection.to_owned(),
        code: code.to_owned(),
        verdict: Verdict::Refused(error),
    }
}

fn unsupported_keys() -> Vec<Row> {
    let make =
        |tool, form, algorithm, code: &str| row(tool, form, algorithm, "none", code, KeyError::Unsupported);
    let curve = |form, algorithm, name: &str, options: &str| {
        let code = format!("openssl ecparam -name {name} {options} -genkey -out f");
        make(Tool::OpenSsl, form, algorithm, &code)
    };
    let openssl = |algorithm, options: &str| {
        make(Tool::OpenSsl, "PKCS#8", algorithm, &format!("openssl genpkey {options} -out f"))
    };
    let putty = "puttygen -q --random-device /dev/urandom --new-passphrase empty -O private -o f";
    vec![
        make(Tool::SshKeygen, "OpenSSH", "DSA", "ssh-keygen -q -t dsa -N '' -f f"),
        make(Tool::SshKeygen, "PEM", "DSA", "ssh-keygen -q -t dsa -m PEM -N '' -f f"),
        make(Tool::SshKeygen, "PKCS#8", "DSA", "ssh-keygen -q -t dsa -m PKCS8 -N '' -f f"),
        make(Tool::PuttyGen, "PPK 3", "DSA", &format!("{putty} -t dsa")),
        make(Tool::PuttyGen, "PPK 3", "Ed448", &format!("{putty} -t ed448")),
        make(KEPT, "OpenSSH", "sk-ed25519", "cp $CORPUS/refused/openssh_sk_ed25519 f"),
        make(KEPT, "OpenSSH", "sk-ecdsa", "cp $CORPUS/refused/openssh_sk_ecdsa f"),
        make(KEPT, "OpenSSH, encrypted", "sk-ed25519", "cp $CORPUS/refused/openssh_sk_encrypted f"),
        curve("SEC 1", "secp256k1", "secp256k1", ""),
        curve("SEC 1", "ECDSA P-192", "prime192v1", ""),
        curve("SEC 1", "ECDSA P-224", "secp224r1", ""),
        curve("SEC 1", "brainpoolP256r1", "brainpoolP256r1", ""),
        curve("SEC 1, curve spelled out", "ECDSA P-256", "prime256v1", "-param_enc explicit"),
        openssl("ECDSA P-224", "-algorithm EC -pkeyopt ec_paramgen_curve:P-224"),
        openssl("secp256k1", "-algorithm EC -pkeyopt ec_paramgen_curve:secp256k1"),
        openssl("Ed448", "-algorithm ed448"),
        openssl("X25519", "-algorithm x25519"),
        openssl("RSA-PSS", "-algorithm RSA-PSS"),
        openssl("RSA, 3 primes", "-algorithm RSA -pkeyopt rsa_keygen_primes:3"),
        openssl("RSA, e = 2^33 + 1", "-algorithm RSA -pkeyopt rsa_keygen_pubexp:8589934593"),
    ]
}

fn unsupported_forms() -> Vec<Row> {
    let openssl = |form, protection, command: &str| {
        let legacy = "-provider legacy -provider default -passout env:P -out f";
        row(
            Tool::OpenSsl,
            form,
            "RSA 2048",
            protection,
            &format!("{command} {legacy}"),
            KeyError::Unsupported,
        )
    };
    let foreign =
        |tool, form, algorithm, code| row(tool, form, algorithm, "none", code, KeyError::ForeignForm);
    vec![
        openssl("PKCS#1", "CAMELLIA-128-CBC, DEK-Info MD5", "openssl rsa -traditional -in m -camellia128"),
        openssl("PKCS#1", "DES-CBC, DEK-Info MD5", "openssl rsa -traditional -in m -des"),
        openssl("PKCS#8", "Camellia-256, PBKDF2", "openssl pkcs8 -topk8 -in m -v2 camellia256"),
        openssl("PKCS#8", "DES-CBC, PBKDF2", "openssl pkcs8 -topk8 -in m -v2 des"),
        openssl(
            "PKCS#8",
            "AES-256-CBC, PBKDF2 HMAC-SHA-512/256",
            "openssl pkcs8 -topk8 -in m -v2 aes256 -v2prf hmacWithSHA512-256",
        ),
        openssl("PKCS#8", "PKCS#12 SHA-1, RC2-40-CBC", "openssl pkcs8 -topk8 -in m -v1 PBE-SHA1-RC2-40"),
        openssl("PKCS#8", "PKCS#12 SHA-1, RC4-128", "openssl pkcs8 -topk8 -in m -v1 PBE-SHA1-RC4-128"),
        openssl("PKCS#8", "PBES1 MD5, RC2-CBC", "openssl pkcs8 -topk8 -in m -v1 PBE-MD5-RC2-64"),
        foreign(Tool::PuttyGen, "ssh.com", "RSA 2048", "puttygen k -O private-sshcom -o f"),
        foreign(
            Tool::PuttyGen,
            "SSH-1",
            "RSA 1024",
            "puttygen -q -t rsa1 -b 1024 --random-device /dev/urandom --new-passphrase empty -O private -o f",
        ),
        foreign(Tool::Dropbear, "Dropbear's own", "ECDSA P-256", "dropbearconvert openssh dropbear k f"),
        foreign(KEPT, "age", "X25519", "cp $CORPUS/refused/age f"),
        foreign(KEPT, "OpenPGP", "Ed25519", "cp $CORPUS/refused/pgp_private f"),
        foreign(KEPT, "JSON Web Key", "Ed25519", "cp $CORPUS/refused/jwk_private f"),
    ]
}

fn weak() -> Vec<Row> {
    let make =
        |tool, form, protection, code| row(tool, form, "RSA 1024", protection, code, KeyError::TooWeak);
    let openssl = "openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits";
    vec![
        make(Tool::SshKeygen, "OpenSSH", "none", "ssh-keygen -q -t rsa -b 1024 -N '' -f f"),
        make(
            Tool::SshKeygen,
            "OpenSSH",
            "aes256-ctr, bcrypt",
            "ssh-keygen -q -t rsa -b 1024 -a 2 -N \"$P\" -f f",
        ),
        make(Tool::SshKeygen, "PKCS#1", "none", "ssh-keygen -q -t rsa -b 1024 -m PEM -N '' -f f"),
        make(Tool::OpenSsl, "PKCS#8", "none", &format!("{openssl}:1024 -out f")),
        make(
            Tool::OpenSsl,
            "PKCS#8",
            "AES-256-CBC, PBKDF2 HMAC-SHA-256",
            &format!("{openssl}:1024 -aes256 -pass env:P -out f"),
        ),
        row(
            Tool::OpenSsl,
            "PKCS#8",
            "RSA 2047",
            "none",
            &format!("{openssl}:2047 -out f"),
            KeyError::TooWeak,
        ),
        make(
            Tool::PuttyGen,
            "PPK 3",
            "none",
            "ssh-keygen -q -t rsa -b 1024 -N '' -f f; puttygen f -O private -o p; mv p f",
        ),
    ]
}

fn costly() -> Vec<Row> {
    let make = |tool, form, protection, code| {
        row(tool, form, "ECDSA P-256", protection, code, KeyError::KdfTooExpensive)
    };
    let edited = Tool::File("puttygen, edited");
    let putty = "puttygen k -O private --new-passphrase pass --ppk-param passes=1,memory";
    vec![
        make(
            Tool::SshKeygen,
            "OpenSSH",
            "aes256-ctr, bcrypt 257 rounds",
            "cp k f; ssh-keygen -q -p -P '' -N \"$P\" -a 257 -f f",
        ),
        make(
            Tool::OpenSsl,
            "PKCS#8",
            "AES-256-CBC, PBKDF2 10,000,001 rounds",
            "openssl pkcs8 -topk8 -in m -iter 10000001 -v2 aes256 -v2prf hmacWithSHA1 -passout env:P -out f",
        ),
        make(
            Tool::OpenSsl,
            "PKCS#8",
            "PBES1 SHA-1, DES-CBC 10,000,001 rounds",
            "openssl pkcs8 -topk8 -in m -iter 10000001 -v1 PBE-SHA1-DES -provider legacy -provider default \
             -passout env:P -out f",
        ),
        make(
            Tool::File("openssl, edited"),
            "PKCS#8",
            "AES-256-CBC, scrypt 508 MiB",
            "openssl pkcs8 -topk8 -in m -scrypt -scrypt_N 16384 -scrypt_r 8 -passout env:P -out e
             echo '-----BEGIN ENCRYPTED PRIVATE KEY-----' >f
             sed '/^-----/d' e | base64 -d |
               LC_ALL=C sed 's/\\x02\\x02\\x40\\x00\\x02\\x01\\x08/\\x02\\x02\\x7f\\xff\\x02\\x01\\x7f/' |
               base64 >>f
             echo '-----END ENCRYPTED PRIVATE KEY-----' >>f",
        ),
        make(Tool::PuttyGen, "PPK 3", "aes256-cbc, argon2id 293 MiB", &format!("{putty}=300000 -o f")),
        make(
            edited,
            "PPK 3",
            "aes256-cbc, argon2id 4 billion passes",
            &format!("{putty}=1024 -o p; sed 's/Passes: 1/Passes: 4000000000/' p >f"),
        ),
        make(
            edited,
            "PPK 3",
            "aes256-cbc, argon2id 65 lanes",
            &format!("{putty}=1024 -o p; sed 's/Parallelism: 1/Parallelism: 65/' p >f"),
        ),
        make(
            edited,
            "PPK 3",
            "aes256-cbc, argon2id 95 TiB",
            &format!("{putty}=1024 -o p; sed 's/Memory: 1024/Memory: 99999999999/' p >f"),
        ),
    ]
}

fn other_things() -> Vec<Row> {
    let make = |tool, form, code, error| row(tool, form, "ECDSA P-256", "none", code, error);
    let public = |tool, form, code| make(tool, form, code, KeyError::PublicKeyGiven);
    let certificate = |tool, form, code| make(tool, form, code, KeyError::CertificateGiven);
    let nothing = |tool, form, code| make(tool, form, code, KeyError::Unparsable);
    let sign = "ssh-keygen -q -t ed25519 -N '' -f ca; ssh-keygen -q -s ca -I i -n u k.pub; rm ca ca.pub";
    let request = "openssl req -new -key m -subj /CN=corpus";
    vec![
        public(Tool::SshKeygen, "public key", "cp k.pub f"),
        public(Tool::SshKeygen, "RFC 4716 public key", "ssh-keygen -e -f k.pub >f"),
        public(Tool::SshKeygen, "PEM public key", "ssh-keygen -e -m PKCS8 -f k.pub >f"),
        public(Tool::SshKeygen, "authorized_keys line", "echo \"restrict,pty $(cat k.pub)\" >f"),
        public(Tool::SshKeygen, "known_hosts line", "echo \"[example.net]:22 $(cat k.pub)\" >f"),
        public(Tool::PuttyGen, "RFC 4716 public key", "puttygen k -O public -o f"),
        public(KEPT, "JSON Web Key, public", "cp $CORPUS/refused/jwk_public f"),
        certificate(Tool::SshKeygen, "OpenSSH certificate", &format!("{sign}; cp k-cert.pub f")),
        certificate(
            Tool::PuttyGen,
            "PPK 3 with certificate",
            &format!("{sign}; puttygen k -O private --certificate k-cert.pub -o f"),
        ),
        certificate(Tool::OpenSsl, "X.509 certificate", &format!("{request} -x509 -days 1 -out f")),
        nothing(Tool::OpenSsl, "certificate request", &format!("{request} -out f")),
        nothing(Tool::OpenSsl, "DER", "openssl ec -in m -outform DER -out f"),
        nothing(Tool::SshKeygen, "SSH signature", "echo a >s; ssh-keygen -q -Y sign -n a -f k s; mv s.sig f"),
        nothing(WRITTEN, "nothing", ": >f"),
        nothing(WRITTEN, "a sentence", "echo 'ssh-keygen -t ed25519 makes a key' >f"),
        nothing(WRITTEN, "HTML", "echo '<html><body>404 not found</body></html>' >f"),
        nothing(WRITTEN, "JSON", "echo '{\"privateKey\": null}' >f"),
        make(Tool::SshKeygen, "two keys", "cat k k >f", KeyError::MultipleKeys),
        make(Tool::PuttyGen, "two keys", "puttygen k -O private -o p; cat p k >f", KeyError::MultipleKeys),
    ]
}

fn broken() -> Vec<Row> {
    let make = |form, code, error| row(Tool::File("cut or edited"), form, "ECDSA P-256", "none", code, error);
    let cut = |form, code| make(form, code, KeyError::Truncated);
    vec![
        cut("OpenSSH, half", "head -c 200 k >f"),
        cut("OpenSSH, no last line", "sed '$d' k >f"),
        cut("OpenSSH, no first line", "sed 1d k >f"),
        cut("OpenSSH, no 3rd line", "sed 3d k >f"),
        cut("SEC 1, no 3rd line", "sed 3d m >f"),
        cut("PPK 3, no last line", "puttygen k -O private -o p; sed '$d' p >f"),
        cut("PPK 3, half", "puttygen k -O private -o p; head -c 200 p >f"),
        make(
            "PPK 3, changed comment",
            "puttygen k -O private -C a -o p; sed 's/: a$/: b/' p >f",
            KeyError::Inconsistent,
        ),
        make("unknown label", "sed 's/OPENSSH/SOME/' k >f", KeyError::Unsupported),
        make("PPK 1", "puttygen k -O private -o p; sed 's/File-3/File-1/' p >f", KeyError::Unsupported),
    ]
}
