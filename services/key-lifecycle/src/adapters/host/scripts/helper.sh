# What the sudoers rule allows: to look at key files; to change those of ordinary accounts, and of the account that asks.
ordinary() {
  [ "$uid" = "${SUDO_UID-}" ] && [ "$uid" != 0 ] && return 0
  [ "$uid" -ge 1000 ] && [ "$uid" -ne 65534 ] || result account_not_allowed
}
allow() { reads_keys_from "$1" || result failed; }
allow_changes() { ordinary && allow "$1"; }
itself() { [ "$account" = "${SUDO_USER-}" ] || result account_not_allowed; }
