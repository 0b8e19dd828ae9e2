# Reads an account's key files, one path a line on standard input; runs with its uid. Links are followed here, as sshd
# does.
# Set before: U, W, encoder (plain: base64 needs no folding).
set -fu
umask 077
read_uid
[ "$me" = "$U" ] || exit 0
echo ready=yes
guard_pid=
encode() {
  if [ "$encoder" = plain ]; then
    printf 'base64=' && base64 -w 0
  elif command -v base64 >/dev/null 2>&1; then
    printf 'base64=' && base64 | tr -d ' \n'
  elif command -v od >/dev/null 2>&1; then
    printf 'hex=' && od -An -v -tx1 | tr -d ' \n'
  else
    printf 'hex=' && hexdump -v -e '1/1 "%02x"'
  fi
}
while IFS= read -r F; do
  if [ ! -e "$F" ]; then
    # What an account cannot search looks absent too.
    if [ -d "${F%/*}" ] && [ ! -x "${F%/*}" ]; then printf 'unreadable=owner %s\n' "$F"; fi
  elif [ ! -f "$F" ]; then
    printf 'unreadable=not_regular %s\n' "$F"
  elif [ ! -r "$F" ]; then
    printf 'unreadable=owner %s\n' "$F"
  else
    if [ -z "$guard_pid" ]; then
      guard 8
      trap end_guard EXIT
      trap 'exit 1' HUP INT TERM PIPE
    fi
    # One byte more than is judged, so that more is seen to be too much.
    printf 'file=%s\n' "$F"
    head -c 1048577 "$F" | encode
    echo
  fi
done
