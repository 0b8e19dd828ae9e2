# The RevokedKeys file of the SSH server that serves us, where it is Keywright's: tells what it holds, or replaces it.
# Parameters: account (root: the setting is the server's, not an account's), mode (look or write); with write token,
# size, sha, and the list follows on standard input.
guard 30
find_server
settings=$(effective_settings "${seen:-127.0.0.1}") || { echo found=none && result done; }
file=$(printf '%s\n' "$settings" | sed -n 's/^revokedkeys //p' | head -n 1)
case $file in
  */../* | */./* | *//* | */) file= ;;
  /?*/?*) ;;
  *) file= ;;
esac
[ -n "$file" ] || { echo found=none && result done; }
# Ours is what lies in our folder, or a list that says so in its comment.
folder=${file%/*} base=${file##*/} ours=no
case $file in
  /etc/ssh/keywright/*) ours=yes ;;
  *)
    if [ -f "$file" ] && [ ! -L "$file" ]; then
      case $(head -c 96 "$file" | tr -cd 'A-Za-z:') in SSHKRL*keywright:*) ours=yes ;; esac
    fi
    ;;
esac
[ "$ours" = yes ] || { echo found=none && result done; }
printf 'found=yes\nfile=%s\n' "$file"
digest() {
  if command -v sha256sum >/dev/null 2>&1; then
    set -- $(sha256sum <"$1")
    printf '%s' "${1-}"
  fi
}
# Whoever is not root alone there could put his own list, or none, in its place: sshd refuses such a file anyway.
only_root_changes "$folder" || result owner
[ ! -L "$file" ] || result symlink
if [ -e "$file" ]; then
  [ -f "$file" ] || result not_regular
  printf 'holds=%s\n' "$(digest "$file")"
fi
[ "$mode" = write ] || result done

cd "$folder" || result failed
set +f
rm -f ".$base.keywright-new."*
set -f
temporary=.$base.keywright-new.$token
give_up() {
  rm -f "$temporary"
  result "$1"
}
by() {
  case $1 in
    *'o space'* | *uota*) give_up disk_full ;;
    *'ead-only'* | *'not permitted'*) give_up read_only ;;
    *) give_up failed ;;
  esac
}
# Complete, readable by sshd and on disk before the name leads to it.
said=$( { set -C && : >"$temporary"; } 2>&1) || by "$said"
said=$( { cat >>"$temporary"; } 2>&1) || by "$said"
[ "$(wc -c <"$temporary" | tr -d ' ')" = "$size" ] || give_up incomplete
held=$(digest "$temporary")
[ -z "$held" ] || [ "$held" = "$sha" ] || give_up incomplete
chown 0:0 "$temporary" && chmod 0644 "$temporary" || give_up failed
if command -v ssh-keygen >/dev/null 2>&1; then
  ssh-keygen -Q -f "$temporary" >/dev/null 2>&1 </dev/null || give_up unreadable
fi
[ ! -e "$file" ] || chcon --reference="$base" "$temporary" 2>/dev/null
sync "$temporary" 2>/dev/null || sync
said=$(mv -f "$temporary" "$base" 2>&1) || by "$said"
sync . 2>/dev/null || sync
result done
