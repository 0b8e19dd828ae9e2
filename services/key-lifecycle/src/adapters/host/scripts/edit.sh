# Replaces one file if it still is what the caller read; runs with the uid that may. The new bytes come by
# standard input. Every way out but "done" leaves the file as it was.
# Set before: private, less (yes: keys may go, none may come), U, W, F, sha, md5 (of the bytes read, or "absent"), new_sha, new_md5, tag, rev, overruled, token.
set -fu
umask 077
fail() {
  printf 'result=%s\n' "$1"
  exit 0
}
# By the words of the C library, in the C locale.
fail_by() {
  case $1 in
    *'No space'* | *uota*) fail disk_full ;;
    *'Read-only'* | *'ermission denied'* | *'not permitted'*) fail read_only ;;
    *) fail failed ;;
  esac
}
read_uid
[ "$me" = "$U" ] || fail drop_failed
dir=${F%/*} base=${F##*/}
lock=.$base.keywright-lock temporary= old= held=
clean() {
  [ -z "$held" ] || [ "$(readlink "$lock")" = "$held" ] || held=
  set -- ${temporary:+"$temporary"} ${old:+"$old"} ${held:+"$lock"}
  [ "$#" = 0 ] || rm -f "$@"
  [ -z "${guard_pid-}" ] || end_guard
}
guard 20
trap clean EXIT
trap 'exit 1' HUP INT TERM PIPE

if command -v sha256sum >/dev/null 2>&1; then
  expected=$sha new=$new_sha hash=sha256sum
else
  expected=$md5 new=$new_md5 hash=md5sum
fi
# Sets digest, of a file or of the first bytes of one.
digest_of() {
  digest=$("$hash" <"$1")
  digest=${digest%%[!0-9a-f]*}
}
digest_of_head() {
  digest=$(head -c "$1" "$2" | "$hash")
  digest=${digest%%[!0-9a-f]*}
}
flush() { sync "$1" 2>/dev/null || sync; }

# An account's directory is private; root's central one is read by sshd as the account.
if [ "$W" = root ] && [ "${private-no}" = no ]; then dir_mode=755 file_mode=644; else dir_mode=700 file_mode=600; fi
[ ! -L "$dir" ] || fail symlink
if [ ! -e "$dir" ]; then
  [ "$expected" = absent ] || fail changed
  line_end='
'
  above=${dir%/*} missing=$dir
  while [ -n "$above" ] && [ ! -e "$above" ] && [ ! -L "$above" ]; do
    missing=$above$line_end$missing above=${above%/*}
  done
  # Where all may write, somebody else may put another folder in its place.
  set -- $(ls -ldn "$above/.")
  case ${1-} in d???????w*) fail owner ;; esac
  IFS=$line_end
  for part in $missing; do
    unset IFS
    said=$(mkdir -m "$dir_mode" "$part" 2>&1) || [ -d "$part" ] || fail_by "$said"
    ! command -v restorecon >/dev/null 2>&1 || restorecon "$part" >/dev/null 2>&1
  done
  unset IFS
fi
[ -d "$dir" ] || fail not_regular
cd -P "$dir" 2>/dev/null || fail read_only
set -- $(ls -ldn .)
[ "${3-}" = "$U" ] || fail owner

# The lock is a dangling link that says since when: made at once or not at all. What is made in a directory, which
# somebody left in its place, is no lock.
waited=0
while :; do
  now=$(date +%s)
  if said=$(ln -s "$now.$token" "$lock" 2>&1) && [ ! -d "$lock" ]; then
    held=$now.$token
    break
  fi
  [ -L "$lock" ] || [ -e "$lock" ] || case $said in
    *'File exists'*) continue ;;
    *) fail_by "$said" ;;
  esac
  # Where nothing can be made or removed any more, no wait helps: it is not the other edit that is in the way.
  [ -w . ] || fail read_only
  other=$(readlink "$lock")
  since=${other%%.*}
  case $since in '' | *[!0-9]* | 0?* | ????????????????*) since=0 ;; esac
  if [ $((now - since)) -gt 60 ] || [ $((since - now)) -gt 60 ]; then
    # Stale. Of two that see it, one moves it away; who moved a fresh one puts it back.
    if mv -f "$lock" "$lock.$token" 2>/dev/null; then
      moved=$(readlink "$lock.$token")
      [ "$moved" = "$other" ] || ln -s "$moved" "$lock" 2>/dev/null
      rm -rf "./$lock.$token"
    fi
  elif [ "$waited" -ge 50 ]; then
    fail locked
  else
    sleep 0.1 2>/dev/null || sleep 1
  fi
  waited=$((waited + 1))
  [ "$waited" -le 60 ] || fail locked
done
# What a killed edit left behind.
set +f
for left in ".$base.keywright-new."* ".$base.keywright-old."*; do
  [ ! -e "$left" ] && [ ! -L "$left" ] || rm -f "$left"
done
set -f

[ ! -L "$base" ] || fail symlink
if [ -e "$base" ]; then
  [ -f "$base" ] || fail not_regular
  set -- $(ls -ldn "$base")
  mode=$1 owner=$3 group=$4 old_size=$5
  [ "$owner" = "$U" ] || [ "$W" = root ] || fail owner
  [ -r "$base" ] || fail read_only
  [ "$old_size" -le 1048576 ] || fail too_large
  digest_of "$base"
  [ "$digest" = "$expected" ] || fail changed
  for found in $(sed -n "s/^# keywright:$tag rev=\([0-9]\{1,18\}\)\([[:space:]].*\)\{0,1\}\$/\1/p" "$base"); do
    if [ "$found" -gt "$rev" ] && [ "$found" != "$overruled" ]; then
      printf 'found=%s\n' "$found"
      fail superseded
    fi
  done
elif [ "$expected" != absent ]; then
  fail changed
fi

# The new file, complete and on disk before anything points to it.
temporary=.$base.keywright-new.$token
said=$( { set -C && : >"$temporary"; } 2>&1) || fail_by "$said"
# Whoever takes the lock over removes what he finds first. So a file that was made while the lock was ours is gone once
# it no longer is: an edit that was held up for long, whatever the clock says since, has nothing to put in place.
[ "$(readlink "$lock")" = "$held" ] || fail changed
said=$( { cat >>"$temporary"; } 2>&1) || fail_by "$said"
taken_over() { [ -e "$temporary" ] || fail changed; }
digest_of "$temporary"
[ "$digest" = "$new" ] || { taken_over && fail incomplete; }
# Whether the new file has a line that the old one has not. A comment is no key.
adds_a_line() {
  [ "$(tr -d '\000' <"$temporary" | wc -c)" = "$(wc -c <"$temporary")" ] || return 0
  if [ "$expected" = absent ] || [ ! -s "$base" ]; then
    grep -qv '^#' "$temporary"
  else
    grep -v '^#' "$temporary" | grep -qvxF -f "$base"
  fi
}
[ "$less" = no ] || ! adds_a_line || fail account_not_allowed
if [ "$expected" = absent ]; then
  chmod "$file_mode" "$temporary" || { taken_over && fail failed; }
else
  if [ "$W" = root ]; then
    chown "$owner:$group" "$temporary" || { taken_over && fail failed; }
  else
    chgrp "$group" "$temporary" 2>/dev/null
  fi
  # Sets letters, of one of the three parts of a mode.
  letters_of() {
    letters=
    case $1 in r*) letters=r ;; esac
    case $1 in ?w*) letters=${letters}w ;; esac
    case $1 in ??x*) letters=${letters}x ;; esac
  }
  letters_of "${mode#?}" && user_may=$letters
  letters_of "${mode#????}" && group_may=$letters
  letters_of "${mode#???????}"
  # As which it was made.
  [ "$user_may:$group_may:$letters" = rw:: ] ||
    chmod "u=$user_may,g=$group_may,o=$letters" "$temporary" || { taken_over && fail failed; }
fi
# The security context of the file that it replaces, or the one that a new file has there.
keep_context() {
  if [ "$expected" = absent ]; then
    command -v restorecon >/dev/null 2>&1 || return 0
    restorecon "$temporary" >/dev/null 2>&1
  else
    { [ -e /sys/fs/selinux/enforce ] || selinuxenabled; } >/dev/null 2>&1 || return 0
    ! command -v chcon >/dev/null 2>&1 || chcon --reference="$base" "$temporary" >/dev/null 2>&1
  fi || ! selinuxenabled >/dev/null 2>&1
}
keep_context || { taken_over && fail failed; }
flush "$temporary"

if [ "$expected" = absent ]; then
  # A link, not a rename: it fails if somebody made the file meanwhile.
  said=$(ln "$temporary" "$base" 2>&1) || { [ -e "$base" ] || [ -L "$base" ] || fail_by "$said"; fail changed; }
  rm -f "$temporary"
  temporary=
  flush .
else
  # Who holds the old file open may still append to it: its inode is kept until it was looked at again.
  old=.$base.keywright-old.$token
  said=$(ln "$base" "$old" 2>&1) || { old= && fail_by "$said"; }
  [ ! -L "$old" ] && [ -f "$old" ] || fail changed
  digest_of "$old"
  [ "$digest" = "$expected" ] || fail changed
  said=$(mv -f "$temporary" "$base" 2>&1) || { taken_over && fail_by "$said"; }
  temporary=
  undo() {
    mv -f "$old" "$base"
    old=
    fail "$1"
  }
  look_again() {
    digest_of "$old"
    [ "$digest" != "$expected" ] || return 0
    total=$(echo $(($(wc -c <"$old"))))
    digest_of_head "$old_size" "$old"
    [ "$total" -gt "$old_size" ] && [ "$digest" = "$expected" ] || undo changed
    { tail -c "+$((old_size + 1))" "$old" | head -c "$((total - old_size))" >>"$base"; } 2>/dev/null || undo disk_full
    digest_of_head "$total" "$old"
    expected=$digest old_size=$total
    echo merged=yes
  }
  look_again
  flush .
  look_again
fi
# What the file holds at the end.
digest_of "$base"
[ "$digest" != "$new" ] || echo stands=yes
fail done
