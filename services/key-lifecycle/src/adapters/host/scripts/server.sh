# The SSH server that serves us: its kind, its settings for the account, the key files it reads.

# Sets server, config (its configuration file, where it was named) and seen (our address as the server knows it), from
# our ancestors. To root only a process of root's is a server: an account may call its own program sshd, and name it a
# configuration of its own.
find_server() {
  server=unknown config= seen= pid=$$ depth=0
  while [ "$depth" -lt 24 ] && [ "${pid:-0}" -gt 0 ] && [ -r "/proc/$pid/status" ]; do
    name= parent=0
    while read -r key value; do
      case $key in
        Name:) name=$value ;;
        PPid:) parent=$value ;;
        Uid:)
          [ "$me" != 0 ] || [ "${value%%[!0-9]*}" = 0 ] || name=
          break
          ;;
      esac
    done <"/proc/$pid/status"
    if [ -z "$seen" ]; then
      seen=$(tr '\0' '\n' 2>/dev/null <"/proc/$pid/environ" | sed -n 's/^SSH_CONNECTION=\([0-9a-fA-F.:]\{1,45\}\) .*/\1/p')
    fi
    case $name in
      sshd | sshd-*)
        server=openssh
        title=$(tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null)
        case $title in *' -f '*) config=${title#* -f } config=${config%% *} ;; esac
        ;;
      dropbear*) server=dropbear ;;
    esac
    pid=$parent depth=$((depth + 1))
  done 2>/dev/null
  sshd=
  [ "$server" != dropbear ] || return 0
  for candidate in "$(command -v sshd)" /usr/sbin/sshd /usr/local/sbin/sshd /usr/lib/ssh/sshd; do
    [ -n "$candidate" ] && [ -x "$candidate" ] && sshd=$candidate && break
  done
}

# What sshd says of its settings for the account at an address. Without root the host keys cannot be read, and before
# OpenSSH 9.3 sshd wants some: it gets one of its own.
effective_settings() {
  [ -n "$sshd" ] || return 1
  whom="user=$account,host=$1,addr=$1"
  if [ "$me" = 0 ]; then
    "$sshd" -T ${config:+-f "$config"} -C "$whom" 2>/dev/null </dev/null
    return
  fi
  "$sshd" -G ${config:+-f "$config"} -C "$whom" 2>/dev/null </dev/null && return
  folder=$(mktemp -d 2>/dev/null) || return 1
  said=1
  if ssh-keygen -q -t ed25519 -N '' -f "$folder/key" >/dev/null 2>&1 </dev/null; then
    "$sshd" -T ${config:+-f "$config"} -h "$folder/key" -C "$whom" 2>/dev/null </dev/null
    said=$?
  fi
  rm -f "$folder/key" "$folder/key.pub"
  rmdir "$folder"
  return "$said"
}

# Sets key_files: what the server reads keys of the account from, as it is written here, each on a line. $1: the patterns
# of its settings, with spaces between them. A path that does not stay where it says is left out.
find_key_files() {
  key_files=
  for pattern in $1; do
    [ "$pattern" != none ] || continue
    expanded=
    while [ -n "$pattern" ]; do
      case $pattern in
        %%*) expanded=$expanded% ;;
        %h*) expanded=$expanded$home ;;
        %u*) expanded=$expanded$account ;;
        %U*) expanded=$expanded$uid ;;
        %*) continue 2 ;;
        *)
          part=${pattern%%"%"*}
          expanded=$expanded$part pattern=${pattern#"$part"}
          continue
          ;;
      esac
      pattern=${pattern#??}
    done
    case $expanded in /*) ;; *) expanded=$home/$expanded ;; esac
    case $expanded in
      */../* | */.. | *[[:cntrl:]\']*) continue ;;
      # Without empty parts and `.`.
      *//* | */./*) expanded=$(printf '%s\n' "$expanded" | sed 's#//*#/#g; s#/\(\./\)\{1,\}#/#g') ;;
    esac
    case $key_files in "$expanded$line_end"* | *"$line_end$expanded$line_end"*) continue ;; esac
    key_files=$key_files$expanded$line_end
  done
}

# Whether the server reads keys of the account from $1.
reads_keys_from() {
  find_server
  if settings=$(effective_settings "${seen:-127.0.0.1}"); then
    find_key_files "$(printf '%s\n' "$settings" | sed -n 's/^authorizedkeysfile //p')"
  else
    find_key_files '.ssh/authorized_keys .ssh/authorized_keys2'
  fi
  case $line_end$key_files in *"$line_end$1$line_end"*) return 0 ;; esac
  return 1
}
