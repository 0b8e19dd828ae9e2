# Facts about the host and the account; changes nothing.
# Set before: account, from (our address as the host may see it), epoch (our clock), until (epoch or empty).
guard 20
lookup
if [ -z "$passwd" ]; then
  echo exists=no
else
  choose_drop
  printf 'exists=yes\nuid=%s\ngid=%s\nhome=%s\nshell=%s\ndrop=%s\n' "$uid" "$gid" "$home" "$shell" "$drop"
  printf 'password=%s\n' "$(password_state)"
fi

# The SSH server that serves us, and its configuration file, are found among our ancestors.
server=unknown config= pid=$$ depth=0
while [ "$depth" -lt 24 ] && [ "${pid:-0}" -gt 0 ] && [ -r "/proc/$pid/status" ]; do
  name= parent=0
  while read -r key value; do
    case $key in
      Name:) name=$value ;;
      PPid:) parent=$value && break ;;
    esac
  done <"/proc/$pid/status"
  case $name in
    sshd | sshd-*)
      server=openssh
      title=$(tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null)
      case $title in *' -f '*) config=${title#* -f } config=${config%% *} ;; esac
      ;;
    dropbear*) server=dropbear ;;
  esac
  pid=$parent depth=$((depth + 1))
done
printf 'server=%s\n' "$server"

sshd=
if [ "$server" != dropbear ]; then
  for candidate in "$(command -v sshd)" /usr/sbin/sshd /usr/local/sbin/sshd /usr/lib/ssh/sshd; do
    [ -n "$candidate" ] && [ -x "$candidate" ] && sshd=$candidate && break
  done
fi
if [ -n "$sshd" ]; then
  "$sshd" -V 2>&1 </dev/null | tr ' ,' '\n\n' | while IFS= read -r word; do
    case $word in OpenSSH_*) printf 'sshd_version=%s\n' "$word" && break ;; esac
  done
  if settings=$("$sshd" -T ${config:+-f "$config"} -C "user=$account,host=$from,addr=$from" 2>/dev/null); then
    echo settings=yes
    printf '%s\n' "$settings" | while read -r key value; do
      case $key in
        authorizedkeysfile | authorizedkeyscommand | trustedusercakeys | passwordauthentication | usepam | \
          kbdinteractiveauthentication | challengeresponseauthentication | permitemptypasswords)
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
