//! Names of Unix accounts that an access may use.

use crate::ids::TenantId;
use std::fmt;

/// `^[a-z_][a-z0-9_-]{0,31}$`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AccountName(String);

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an account name; use a lower-case letter or _, then at most 31 of a-z, 0-9, _ and -")]
pub struct BadAccountName;

/// Accounts of the system and of common services, and names of groups whose members become root: a tenant never gets a
/// key on one. Whatever has uid 0 or a system uid is refused on the host besides; this list speaks before a connection is
/// made.
const SYSTEM: &[&str] = &[
    "_apt",
    "_chrony",
    "_laurel",
    "abrt",
    "adm",
    "apache",
    "avahi",
    "backup",
    "bin",
    "caddy",
    "chrony",
    "cron",
    "daemon",
    "dbus",
    "dhcpcd",
    "disk",
    "dnsmasq",
    "docker",
    "etcd",
    "ftp",
    "games",
    "gdm",
    "git",
    "gnats",
    "google-sudoers",
    "grafana",
    "guest",
    "halt",
    "haproxy",
    "http",
    "incus",
    "incus-admin",
    "irc",
    "jenkins",
    "kmem",
    "kube",
    "kvm",
    "landscape",
    "libvirt",
    "libvirt-qemu",
    "lightdm",
    "list",
    "lp",
    "lxd",
    "mail",
    "man",
    "memcache",
    "messagebus",
    "mongodb",
    "munge",
    "mysql",
    "news",
    "nginx",
    "nobody",
    "ntp",
    "openvpn",
    "operator",
    "polkitd",
    "pollinate",
    "postfix",
    "postgres",
    "prometheus",
    "proxy",
    "pulse",
    "rabbitmq",
    "radvd",
    "redis",
    "root",
    "rpc",
    "rpcuser",
    "rtkit",
    "saned",
    "sashroot",
    "shadow",
    "shutdown",
    "smmsp",
    "squid",
    "sshd",
    "sssd",
    "statd",
    "stunnel",
    "sudo",
    "sudoers",
    "sync",
    "sys",
    "syslog",
    "tcpdump",
    "tomcat",
    "toor",
    "tss",
    "unbound",
    "usbmux",
    "uucp",
    "uuidd",
    "vcsa",
    "wheel",
    "www",
    "www-data",
    "zabbix",
];
const SYSTEM_PREFIXES: &[&str] = &["systemd-", "debian-", "_"];
const MAX: usize = 32;

impl AccountName {
    pub fn parse(text: &str) -> Result<Self, BadAccountName> {
        let mut bytes = text.bytes();
        let head = bytes.next().is_some_and(|byte| byte.is_ascii_lowercase() || byte == b'_');
        let tail =
            bytes.all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-".contains(&byte));
        if head && tail && text.len() <= MAX { Ok(Self(text.to_owned())) } else { Err(BadAccountName) }
    }

    /// `tenant-` and the first 8 characters of the id after its prefix.
    pub fn default_for(tenant: &TenantId) -> Self {
        Self(format!("tenant-{}", tenant.bare().get(..8).unwrap_or_default()))
    }

    /// True for an account that belongs to the system: `ACCOUNT_NOT_ALLOWED`.
    pub fn is_system(&self) -> bool {
        SYSTEM.contains(&self.0.as_str()) || SYSTEM_PREFIXES.iter().any(|prefix| self.0.starts_with(prefix))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for AccountName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for AccountName {
    type Error = BadAccountName;
    fn try_from(text: String) -> Result<Self, BadAccountName> {
        Self::parse(&text)
    }
}

impl From<AccountName> for String {
    fn from(name: AccountName) -> Self {
        name.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_pattern() {
        for good in ["a", "_x", "tenant-abcd2345", "a-b_c9", &"a".repeat(32)] {
            assert_eq!(AccountName::parse(good).unwrap().as_str(), good);
        }
        for bad in ["", "9a", "-a", "A", "a b", "a\n", "a$", "ä", "a/b", "a:b", "..", &"a".repeat(33)] {
            assert!(AccountName::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn the_default_is_allowed_and_tells_the_tenant() {
        let tenant = TenantId::random().unwrap();
        let name = AccountName::default_for(&tenant);
        assert_eq!(name.as_str(), format!("tenant-{}", &tenant.bare()[..8]));
        assert_eq!(AccountName::parse(name.as_str()).unwrap(), name);
        assert!(!name.is_system());
    }

    #[test]
    fn system_accounts_are_known() {
        for name in [
            "root",
            "daemon",
            "www-data",
            "systemd-network",
            "systemd-resolve",
            "sshd",
            "nobody",
            "_apt",
            "sudo",
        ] {
            assert!(AccountName::parse(name).unwrap().is_system(), "{name}");
        }
        assert!(!AccountName::parse("deploy").unwrap().is_system());
    }

    #[test]
    fn every_listed_name_is_a_name() {
        assert!(SYSTEM.iter().all(|name| AccountName::parse(name).is_ok()));
    }
}
