# Reads one file; runs with the uid that may. Links are followed here (sshd does) and reported.
# Set before: U, W, F; and of the account N (name), A (uid), G (gid), H (home).
set -fu
umask 077
[ "$(id -u)" = "$U" ] || { echo state=drop_failed && exit 0; }
guard 20
trap end_guard EXIT
trap 'exit 1' HUP INT TERM PIPE
echo "as=$W"
link=no
if [ -L "$F" ] || [ -L "${F%/*}" ]; then link=yes; fi
echo "link=$link"
# Whether nobody but the account is in a group.
is_own_group() {
  members=$({
    [ "$1" != "$G" ] || echo "$A"
    cut -d: -f3,4 /etc/passwd | sed -n "s/:$1\$//p"
    sed -n "s/^[^:]*:[^:]*:$1:\(..*\)/\1/p" /etc/group | sed "s/^$N\$/$A/"
  } | sort -u)
  [ "$members" = "$A" ]
}
# Who but root and the account may change $1: what StrictModes of sshd refuses.
look_who_may_change() {
  set -- $(ls -ldn "$1" 2>/dev/null)
  case ${3-0} in 0 | "$A") ;; *) loose=others ;; esac
  case ${1-} in
    ????????w*) loose=others ;;
    ?????w*) if is_own_group "$4"; then : "${loose:=own_group}"; else loose=others; fi ;;
  esac
}
loose=
if [ "$link" = no ]; then
  look_who_may_change "$F"
  part=${F%/*}
  while :; do
    look_who_may_change "$part/."
    [ -n "$part" ] && [ "$part" != "${H%/}" ] || break
    part=${part%/*}
  done
  echo "loose=$loose"
fi
if [ ! -e "$F" ]; then
  # What an account cannot search looks absent too; only a directory that can be searched proves it.
  if [ -d "${F%/*}" ] && [ ! -x "${F%/*}" ]; then echo state=unreadable; else echo state=absent; fi
elif [ ! -f "$F" ]; then
  echo state=not_regular
elif [ ! -r "$F" ]; then
  echo state=unreadable
else
  size=$(($(wc -c <"$F")))
  if [ "$size" -gt 1048576 ]; then
    echo state=too_large
  else
    encode() {
      if command -v base64 >/dev/null 2>&1; then
        printf 'base64=' && base64
      elif command -v od >/dev/null 2>&1; then
        printf 'hex=' && od -An -v -tx1
      else
        printf 'hex=' && hexdump -v -e '1/1 "%02x"'
      fi
    }
    echo state=regular
    dd if="$F" bs=4096 count=257 2>/dev/null | encode | tr -d ' \n'
    echo
  fi
fi
