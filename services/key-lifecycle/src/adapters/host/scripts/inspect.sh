# Facts about the host and the account; changes nothing.
# Parameters: account, from (our address as the host may see it), epoch (our clock), until (epoch or empty).
guard 20
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
if [ -n "$sshd" ]; then
  "$sshd" -V 2>&1 </dev/null | tr ' ,' '\n\n' | while IFS= read -r word; do
    case $word in OpenSSH_*) printf 'sshd_version=%s\n' "$word" && break ;; esac
  done
  if settings=$(effective_settings "${seen:-$from}"); then
    echo settings=yes
    printf '%s\n' "$settings" | while read -r key value; do
      case $key in
        authorizedkeysfile | authorizedkeyscommand | trustedusercakeys | revokedkeys | passwordauthentication | usepam | \
          strictmodes | kbdinteractiveauthentication | challengeresponseauthentication | permitemptypasswords)
          printf 'sshd_%s=%s\n' "$key" "$value"
          ;;
      esac
    done
  fi
fi

now=$(date +%s)
printf 'now=%s\n' "$now"
if [ -n "$until" ]; then
  # The end in the host's time: the skew, rounded up, is added.
  end=$((until + now + 1 - epoch))
  if text=$(date -d "@$end" '+%Y-%m-%d %H:%M:%S' 2>/dev/null); then
    printf 'local_of=%s\n' "$end"
    printf 'local=%s\n' "$(printf '%s' "$text" | tr -d ' :-')"
    # Where the clocks change, a local time may mean another instant.
    printf 'local_back=%s\n' "$(date -d "$text" +%s 2>/dev/null)"
  fi
fi
result done
