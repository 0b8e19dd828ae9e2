# What the sudoers rule allows: to look at key files; to change those of ordinary accounts, and of the account that asks.
ordinary() {
  [ "$uid" = "${SUDO_UID-}" ] && [ "$uid" != 0 ] && return 0
  [ "$uid" -ge 1000 ] && [ "$uid" -ne 65534 ] || result account_not_allowed
}
# By a group, or by a rule of sudo's.
may_become_root() {
  groups=$(id -Gn "$account" 2>/dev/null)
  [ -n "$groups" ] && [ "$gid" != 0 ] || return 0
  for group in $groups; do
    ! stands_for_rights "$group" || return 0
  done
  command -v sudo >/dev/null 2>&1 || return 1
  case $(sudo -n -l -U "$account" 2>&1 </dev/null) in *' is not allowed to run sudo '*) return 1 ;; esac
}
# Whether root says that this account may get keys though it may become root.
named_by_root() {
  list=/etc/keywright/privileged-accounts
  only_root_changes "${list%/*}" && [ -f "$list" ] && [ ! -L "$list" ] || return 1
  set -- $(ls -ldn "$list")
  case $1 in *+ | ?????w* | ????????w*) return 1 ;; esac
  [ "$3" = 0 ] && grep -qxF "$account" "$list"
}
allow() { reads_keys_from "$1" || result failed; }
allow_changes() {
  less=no
  ordinary && allow "$1"
  [ "$uid" = "${SUDO_UID-}" ] || ! may_become_root || named_by_root || less=yes
}
itself() { [ "$account" = "${SUDO_USER-}" ] || result account_not_allowed; }
