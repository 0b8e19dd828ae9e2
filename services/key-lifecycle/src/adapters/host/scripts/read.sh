# Reads key files in one directory; runs with the uid that may. Links are followed here (sshd does) and reported.
# Set before: U, W, the files as parameters; and of the account N (name), A (uid), G (gid), H (home).
set -fu
umask 077
read_uid
[ "$me" = "$U" ] || { echo state=drop_failed && exit 0; }
guard 20
trap end_guard EXIT
trap 'exit 1' HUP INT TERM PIPE
# Whether nobody but the account is in a group.
is_own_group() {
  members=$({
    [ "$1" != "$G" ] || echo "$A"
    cut -d: -f3,4 /etc/passwd | sed -n "s/:$1\$//p"
    sed -n "s/^[^:]*:[^:]*:$1:\(..*\)/\1/p" /etc/group | sed "s/^$N\$/$A/"
  } | sort -u)
  [ "$members" = "$A" ]
}
# Who but root and the account may change what this line of `ls -ldn` tells of: what StrictModes of sshd refuses.
look_who_may_change() {
  case $3 in 0 | "$A") ;; *) loose=others ;; esac
  case $1 in
    ????????w*) loose=others ;;
    ?????w*) if is_own_group "$4"; then : "${loose:=own_group}"; else loose=others; fi ;;
  esac
}
encode() {
  if command -v base64 >/dev/null 2>&1; then
    printf 'base64=' && base64
  elif command -v od >/dev/null 2>&1; then
    printf 'hex=' && od -An -v -tx1
  else
    printf 'hex=' && hexdump -v -e '1/1 "%02x"'
  fi
}
# The directory, and those above it up to the home.
loose= part=${1%/*} parts= line_end='
'
while :; do
  parts=$parts$part/.$line_end
  [ -n "$part" ] && [ "$part" != "${H%/}" ] || break
  part=${part%/*}
done
IFS=$line_end
lines=$(ls -ldn $parts 2>/dev/null)
for line in $lines; do
  unset IFS
  look_who_may_change $line
done
unset IFS
loose_above=$loose

for F; do
  printf 'file=%s\nas=%s\n' "$F" "$W"
  link=no loose=$loose_above size=0
  if [ -L "$F" ] || [ -L "${F%/*}" ]; then link=yes; fi
  line=
  [ ! -e "$F" ] || line=$(ls -ldnL "$F" 2>/dev/null)
  if [ -n "$line" ]; then
    [ "$link" = yes ] || look_who_may_change $line
    set -- $line
    size=$5
  fi
  [ "$link" = yes ] || echo "loose=$loose"
  echo "link=$link"
  if [ ! -e "$F" ]; then
    # What an account cannot search looks absent too; only a directory that can be searched proves it.
    if [ -d "${F%/*}" ] && [ ! -x "${F%/*}" ]; then echo state=unreadable; else echo state=absent; fi
  elif [ ! -f "$F" ]; then
    echo state=not_regular
  elif [ ! -r "$F" ]; then
    echo state=unreadable
  elif [ "$size" -gt 1048576 ]; then
    echo state=too_large
  else
    echo state=regular
    dd if="$F" bs=4096 count=257 2>/dev/null | encode | tr -d ' \n'
    echo
  fi
done
