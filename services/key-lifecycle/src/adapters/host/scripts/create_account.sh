# Makes an ordinary account that logs in by key only. Nothing happens to one that exists and is not ours.
# Parameters: account.
guard 25
mark=keywright
allow_keys() {
  if command -v usermod >/dev/null 2>&1; then
    usermod -p '*' "$account" >/dev/null 2>&1
  else
    printf '%s:*\n' "$account" | chpasswd -e >/dev/null 2>&1
  fi
}
lookup
created=no
if [ -z "$passwd" ]; then
  login_shell=/bin/sh
  [ ! -x /bin/bash ] || login_shell=/bin/bash
  if command -v useradd >/dev/null 2>&1; then
    useradd -m -c "$mark" -s "$login_shell" -p '*' "$account" >/dev/null 2>&1 </dev/null ||
      useradd -m -c "$mark" -s "$login_shell" -p '*' -g "$account" "$account" >/dev/null 2>&1 </dev/null
  elif command -v adduser >/dev/null 2>&1; then
    adduser -D -g "$mark" -s "$login_shell" "$account" >/dev/null 2>&1 </dev/null
  else
    result failed
  fi
  lookup
  [ -n "$passwd" ] || result failed
  created=yes
fi
# OpenSSH refuses an account whose field starts with "!": adduser leaves it so.
if [ "$gecos" = "$mark" ] && [ "$(password_state)" = locked ]; then
  allow_keys
  [ "$(password_state)" != locked ] || result failed
fi
printf 'created=%s\nuid=%s\ngid=%s\nhome=%s\nshell=%s\n' "$created" "$uid" "$gid" "$home" "$shell"
result done
