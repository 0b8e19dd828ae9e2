# The SSH server that serves us: its kind, its settings for the account, the key files it reads.

# Whether the program of a process of root's, which is called $2, is a server by its own name. Who calls sudo may call it
# sshd: what runs with root's uid for him is a program that gives it away, which no server is.
is_server() {
  case $2 in sshd | sshd-* | dropbear*) ;; *) return 1 ;; esac
  case $(readlink "/proc/$1/exe") in
    */sshd | */sshd-* | */sshd\ * | */dropbear*) [ ! -u "/proc/$1/exe" ] && [ ! -g "/proc/$1/exe" ] ;;
    *) return 1 ;;
  esac
}

# Takes config and options (each on a line) from the arguments of a listening server, of which there may be only the text
# that it shows: a value reaches to the next word that begins with "-".
take_arguments() {
  title=$(tr '\0' ' ' 2>/dev/null <"/proc/$1/cmdline") flag= value=
  case $title in
    "sshd: /"*' [listener]'* | "sshd: sshd "*' [listener]'*) title=${title%%' [listener]'*} ;;
    sshd:* | sshd-*:*) return 0 ;;
  esac
  for word in $title -; do
    case $word in
      -*)
        case $flag in f) config=$value ;; o) options=$options$value$line_end ;; esac
        flag= value=
        case $word in
          -f | -[46Ddeiqrt]*f) flag=f ;;
          -o | -[46Ddeiqrt]*o) flag=o ;;
          -f*) flag=f value=${word#-f} ;;
          -o*) flag=o value=${word#-o} ;;
        esac
        ;;
      *) [ -z "$flag" ] || value=${value:+$value }$word ;;
    esac
  done
}

# Sets seen and to from what a server says of a connection: address and port of either end.
take_connection() {
  [ "$#" = 4 ] || return 0
  case $1$3 in *[!0-9a-fA-F.:]*) return 0 ;; esac
  case $4 in *[!0-9]* | ??????*) return 0 ;; esac
  seen=$1 to=",laddr=$3,lport=$4"
}

# Sets server, config (its configuration file, where it was named), options (others that it was started with) and, of the
# connection, seen (our address as the server knows it), to (its own address and port) from our ancestors. To root only a
# process of root's is a server: an account may call its own program sshd, and name it a configuration of its own.
find_server() {
  server=unknown config= options= seen= to= reads_roots= pid=$$ depth=0
  while [ "$depth" -lt 24 ] && [ "${pid:-0}" -gt 0 ] && [ -r "/proc/$pid/status" ]; do
    name= parent=0
    while read -r key value; do
      case $key in
        Name:) name=$value ;;
        PPid:) parent=$value ;;
        Uid:)
          [ "$me" != 0 ] || { [ "${value%%[!0-9]*}" = 0 ] && is_server "$pid" "$name"; } || name=
          break
          ;;
      esac
    done <"/proc/$pid/status"
    if [ "$pid" = $$ ]; then
      # What we were given ourselves costs no look; where it is gone, as sudo has it, one above us was given it.
      take_connection ${SSH_CONNECTION-}
    elif [ -z "$seen" ]; then
      take_connection $(tr '\0' '\n' 2>/dev/null <"/proc/$pid/environ" | sed -n 's/^SSH_CONNECTION=//p')
    fi
    case $name in
      sshd | sshd-*) server=openssh && take_arguments "$pid" ;;
      dropbear*)
        server=dropbear
        # As OpenWrt builds it: root's keys are not in his home.
        ! grep -q /etc/dropbear/authorized_keys "/proc/$pid/exe" || reads_roots=/etc/dropbear/authorized_keys
        ;;
      # Above the listener: who started it serves nobody.
      *) [ "$server" = unknown ] || break ;;
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
  address=$1
  said=$(ask_sshd "$address") || return 1
  case $line_end$said$line_end in
    *"${line_end}usedns yes$line_end"*)
      # The name that the server matches: one that leads back to the address.
      set -- $(getent hosts "$address" 2>/dev/null </dev/null)
      case ${2-} in
        '' | *[!a-zA-Z0-9._-]*) ;;
        *) ! getent ahosts "$2" 2>/dev/null </dev/null | grep -qF "$address " || said=$(ask_sshd "$2") || return 1 ;;
      esac
      ;;
  esac
  printf '%s\n' "$said"
}
# $1: the name at the other end of the connection.
ask_sshd() {
  whom="user=$account,host=$1,addr=$address$to"
  set -- ${config:+-f "$config"}
  IFS=$line_end
  for option in $options; do set -- "$@" -o "$option"; done
  unset IFS
  if [ "$me" = 0 ]; then
    "$sshd" -T "$@" -C "$whom" 2>/dev/null </dev/null
    return
  fi
  "$sshd" -G "$@" -C "$whom" 2>/dev/null </dev/null && return
  folder=$(mktemp -d 2>/dev/null) || return 1
  told=1
  if ssh-keygen -q -t ed25519 -N '' -f "$folder/key" >/dev/null 2>&1 </dev/null; then
    "$sshd" -T "$@" -h "$folder/key" -C "$whom" 2>/dev/null </dev/null
    told=$?
  fi
  rm -f "$folder/key" "$folder/key.pub"
  rmdir "$folder"
  return "$told"
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
