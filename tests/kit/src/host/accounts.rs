//! The accounts of a test host: passwd, shadow, group and homes.
//!
//! Invariant: an account has the password field `*` (a locked `!` is refused by sshd), and its home, `.ssh` and
//! key file have the modes that StrictModes wants.

use std::fs::{OpenOptions, Permissions};
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};

use crate::error::{During, KitError};

/// First uid of accounts that a test adds; `useradd` inside goes on above the highest.
const FIRST_UID: u32 = 20_000;

/// One line of passwd.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    pub name: String,
    pub uid: u32,
    pub gid: u32,
    /// As the host sees it.
    pub home: PathBuf,
    pub shell: String,
}

impl Account {
    fn parse(line: &str) -> Option<Self> {
        let fields: Vec<&str> = line.split(':').collect();
        let [name, _, uid, gid, _, home, shell] = fields[..] else { return None };
        Some(Self {
            name: name.into(),
            uid: uid.parse().ok()?,
            gid: gid.parse().ok()?,
            home: home.into(),
            shell: shell.into(),
        })
    }
}

/// Keeps the machine's system accounts (servers need theirs), drops its people, and forgets every password.
pub(super) fn write_system_accounts(etc: &Path) -> Result<(), KitError> {
    let system = |uid: u32| uid < 1000 || uid == 65_534;
    let passwd = read(etc, "passwd")?;
    let kept: Vec<Account> = passwd.lines().filter_map(Account::parse).filter(|a| system(a.uid)).collect();
    let mut lines = String::new();
    let mut shadow = String::new();
    for account in &kept {
        let Account { name, uid, gid, home, shell } = account;
        lines += &format!("{name}:x:{uid}:{gid}::{}:{shell}\n", home.display());
        shadow += &format!("{name}:*:19000:0:99999:7:::\n");
    }
    let group = read(etc, "group")?;
    let group: String = group
        .lines()
        .filter(|line| line.split(':').nth(2).and_then(|gid| gid.parse().ok()).is_some_and(system))
        .map(|line| format!("{}:\n", line.rsplit_once(':').map_or(line, |(head, _)| head)))
        .collect();
    let gshadow: String =
        group.lines().map(|line| format!("{}:*::\n", line.split(':').next().unwrap_or(line))).collect();
    for (name, content, mode) in [
        ("passwd", &lines, 0o644),
        ("shadow", &shadow, 0o640),
        ("group", &group, 0o644),
        ("gshadow", &gshadow, 0o640),
    ] {
        std::fs::write(etc.join(name), content).during("writing a host's accounts")?;
        std::fs::set_permissions(etc.join(name), Permissions::from_mode(mode))
            .during("writing a host's accounts")?;
    }
    for name in ["passwd-", "shadow-", "group-", "gshadow-"] {
        let _ = std::fs::remove_file(etc.join(name));
    }
    Ok(())
}

pub(super) fn find(etc: &Path, name: &str) -> Option<Account> {
    read(etc, "passwd").ok()?.lines().filter_map(Account::parse).find(|account| account.name == name)
}

/// Adds an account with a group of its own; its home is made by [`make_home`].
pub(super) fn add(etc: &Path, name: &str, home: &Path) -> Result<Account, KitError> {
    assert!(find(etc, name).is_none(), "the account {name} exists already");
    let highest = read(etc, "passwd")?
        .lines()
        .filter_map(Account::parse)
        .map(|account| account.uid)
        .filter(|uid| *uid < 60_000)
        .max()
        .unwrap_or(0);
    let uid = (highest + 1).max(FIRST_UID);
    let account = Account { name: name.into(), uid, gid: uid, home: home.into(), shell: "/bin/sh".into() };
    append(etc, "passwd", &format!("{name}:x:{uid}:{uid}::{}:/bin/sh\n", home.display()))?;
    append(etc, "shadow", &format!("{name}:*:19000:0:99999:7:::\n"))?;
    append(etc, "group", &format!("{name}:x:{uid}:\n"))?;
    append(etc, "gshadow", &format!("{name}:*::\n"))?;
    Ok(account)
}

/// `home` is the path from outside.
pub(super) fn make_home(account: &Account, home: &Path) -> Result<(), KitError> {
    make_folder(account, home, 0o750)
}

/// Writes `.ssh/authorized_keys` below `home` (from outside), owned by the account.
pub(super) fn write_authorized_keys(account: &Account, home: &Path, content: &[u8]) -> Result<(), KitError> {
    let folder = home.join(".ssh");
    if !folder.is_dir() {
        make_folder(account, &folder, 0o700)?;
    }
    let file = folder.join("authorized_keys");
    std::fs::write(&file, content).during("writing authorized_keys")?;
    std::fs::set_permissions(&file, Permissions::from_mode(0o600)).during("writing authorized_keys")?;
    chown(&file, Some(account.uid), Some(account.gid)).during("writing authorized_keys")
}

fn make_folder(account: &Account, path: &Path, mode: u32) -> Result<(), KitError> {
    std::fs::create_dir_all(path).during("making a home")?;
    std::fs::set_permissions(path, Permissions::from_mode(mode)).during("making a home")?;
    chown(path, Some(account.uid), Some(account.gid)).during("making a home")
}

fn read(etc: &Path, name: &str) -> Result<String, KitError> {
    std::fs::read_to_string(etc.join(name)).during("reading a host's accounts")
}

fn append(etc: &Path, name: &str, line: &str) -> Result<(), KitError> {
    let mut file = OpenOptions::new().append(true).open(etc.join(name)).during("adding an account")?;
    file.write_all(line.as_bytes()).during("adding an account")
}
