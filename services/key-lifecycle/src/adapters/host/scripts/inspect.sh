# Facts about the host and the account, and the account's key files; changes nothing.
# Parameters: account, from (our address as the host may see it), epoch (our clock), until (epoch or empty), greeting (yes
# where the server's own told its version), token (comes before what the account's uid reads; empty if nothing is to be
# read). read_file is what reads.
guard 30
lookup
if [ -z "$passwd" ]; then
  echo exists=no
else
  choose_drop
  printf 'exists=yes\nuid=%s\ngid=%s\nhome=%s\nshell=%s\ndrop=%s\n' "$uid" "$gid" "$home" "$shell" "$drop"
  printf 'password=%s\n' "$(password_state)"
fi

find_server
printf 'server=%s\nseen=%s\n' "$server" "$seen"
patterns='.ssh/authorized_keys .ssh/authorized_keys2'
if [ "$server" = dropbear ]; then
  patterns=.ssh/authorized_keys
  # Keys are added to the first, and removed from both.
  [ -z "$passwd" ] || [ "$uid" != 0 ] || patterns="${reads_roots:+$reads_roots }$patterns"
  printf 'reads=%s\n' "$patterns"
fi
if [ -n "$sshd" ]; then
  [ "$greeting" = yes ] || "$sshd" -V 2>&1 </dev/null | tr ' ,' '\n\n' | while IFS= read -r word; do
    case $word in OpenSSH_*) printf 'sshd_version=%s\n' "$word" && break ;; esac
  done
  if settings=$(effective_settings "${seen:-$from}"); then
    echo settings=yes
    # One program: a shell that goes through all of them letter by letter takes longer.
    wanted='authorizedkeysfile\|authorizedkeyscommand\|trustedusercakeys\|revokedkeys\|strictmodes\|usepam'
    wanted=$wanted'\|passwordauthentication\|kbdinteractiveauthentication\|challengeresponseauthentication\|permitemptypasswords'
    settings=$(printf '%s\n' "$settings" | sed -n "s/^\\($wanted\\) /sshd_\\1=/p")
    printf '%s\n' "$settings"
    case $settings in
      *sshd_authorizedkeysfile=*)
        patterns=${settings#*sshd_authorizedkeysfile=} patterns=${patterns%%"$line_end"*}
        ;;
    esac
  fi
fi

now=$(date +%s)
printf 'now=%s\n' "$now"
if [ -n "$until" ]; then
  # The end in the host's time: the skew, rounded up, is added.
  end=$((until + now + 1 - epoch))
  if text=$(date -d "@$end" '+%Y-%m-%d %H:%M:%S' 2>/dev/null); then
    printf 'local_of=%s\n' "$end"
    IFS=' :-'
    printf 'local=%s%s%s%s%s%s\n' $text
    unset IFS
    # Where the clocks change, a local time may mean another instant.
    printf 'local_back=%s\n' "$(date -d "$text" +%s 2>/dev/null)"
  fi
fi
if [ -n "$token" ] && [ -n "$passwd" ] && [ "$drop" != none ]; then
  find_key_files "$patterns"
  # Those in one directory together: it decides under which uid they are read.
  rest=$key_files
  while [ -n "$rest" ]; do
    file=${rest%%"$line_end"*} rest=${rest#*"$line_end"}
    directory=${file%/*}
    set -- "$file"
    while [ -n "$rest" ]; do
      file=${rest%%"$line_end"*}
      [ "${file%/*}" = "$directory" ] || break
      set -- "$@" "$file"
      rest=${rest#*"$line_end"}
    done
    printf '%s=%s\n' "$token" "$directory"
    read_key_files "$@"
    printf '\n%s=\n' "$token"
  done
fi
result done
