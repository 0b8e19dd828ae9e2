# Makes an ordinary account that logs in by key only. Nothing happens to one that exists and is not ours.
# Parameters: account.
guard 25
[ -n "$account" ] || result failed
mark=keywright
# Tells of an account that is being made: what was cut off is finished by whoever comes next. Only root can say so; the
# mark alone is in the hands of the account (chfn).
making=/etc/.keywright-making.$account
is_group() { getent group "$1" >/dev/null 2>&1 || grep -q "^$1:" /etc/group; }
has_group() { getent group "$1" >/dev/null 2>&1 || cut -d: -f3 /etc/group | grep -qx "$1"; }
allow_keys() {
  if command -v usermod >/dev/null 2>&1; then
    usermod -p '*' "$account" >/dev/null 2>&1 </dev/null
  else
    printf '%s:*\n' "$account" | chpasswd -e >/dev/null 2>&1
  fi
}
make_home() {
  case $home in *[[:cntrl:]]* | */../* | */..) return 0 ;; /?*/?*) ;; *) return 0 ;; esac
  [ ! -L "$home" ] && only_root_changes "${home%/*}" || return 0
  if [ ! -e "$home" ]; then
    if [ -d /etc/skel ]; then cp -R /etc/skel "$home"; else mkdir "$home"; fi
  elif [ -d "$home" ]; then
    set -- $(ls -ldn "$home")
    [ "$3" = 0 ] || return 0
  fi
  chmod 0750 "$home" && chown -hR "$uid:$gid" "$home"
}
complete() {
  if ! has_group "$gid"; then
    groupadd -g "$gid" "$account" || addgroup -g "$gid" "$account"
  fi >/dev/null 2>&1 </dev/null
  make_home >/dev/null 2>&1
  # OpenSSH refuses an account whose field starts with "!": adduser leaves it so.
  case $(password_state) in
    locked | unknown)
      allow_keys
      [ "$(password_state)" != locked ] || result failed
      ;;
  esac
}
lookup
created=no
if [ -z "$passwd" ]; then
  ! stands_for_rights "$account" && ! is_group "$account" || result account_not_allowed
  login_shell=/bin/sh
  [ ! -x /bin/bash ] || login_shell=/bin/bash
  rm -f "$making"
  ln -s "$mark" "$making" || result failed
  if command -v useradd >/dev/null 2>&1; then
    useradd -m -c "$mark" -s "$login_shell" -p '*' "$account" >/dev/null 2>&1 </dev/null
  elif command -v adduser >/dev/null 2>&1; then
    adduser -D -g "$mark" -s "$login_shell" "$account" >/dev/null 2>&1 </dev/null
  fi
  lookup
  [ -n "$passwd" ] || { rm -f "$making" && result failed; }
  created=yes
fi
[ "$uid" -ge 1000 ] && [ "$uid" -ne 65534 ] || result account_not_allowed
if [ -L "$making" ]; then
  [ "$gecos" != "$mark" ] || complete
  rm -f "$making"
fi
printf 'created=%s\nuid=%s\ngid=%s\nhome=%s\nshell=%s\n' "$created" "$uid" "$gid" "$home" "$shell"
result done
