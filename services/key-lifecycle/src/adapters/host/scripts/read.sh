# Reads one file; runs with the uid that may. Links are followed here (sshd does) and reported.
# Set before: U, W, F.
set -fu
umask 077
[ "$(id -u)" = "$U" ] || { echo state=drop_failed && exit 0; }
guard 20
trap 'kill "$guard_pid" 2>/dev/null' EXIT
trap 'exit 1' HUP INT TERM PIPE
echo "as=$W"
link=no
if [ -L "$F" ] || [ -L "${F%/*}" ]; then link=yes; fi
echo "link=$link"
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
