# Ends open SSH sessions of an account, by the fingerprint that opened them or all of them.
# Parameters: account, all (yes or no), fingerprints (separated by blanks).
guard 25
set +f
lookup
[ -n "$passwd" ] || result account_missing
ordinary
choose_drop

field_of() { sed -n "s/^$2:[[:space:]]*\([^[:space:]]*\).*/\1/p" "/proc/$1/status" 2>/dev/null | head -n 1; }
children_of() {
  for status in $(grep -l "^PPid:[[:space:]]*$1\$" /proc/[0-9]*/status 2>/dev/null); do
    status=${status#/proc/}
    echo "${status%/status}"
  done
}
tree_of() {
  for child in $(children_of "$1"); do
    echo "$child"
    (tree_of "$child")
  done
}
of_account() {
  for status in $(grep -l "^Uid:[[:space:]]*$uid[[:space:]]" /proc/[0-9]*/status 2>/dev/null); do
    status=${status#/proc/}
    echo "${status%/status}"
  done
}
# Our own connection, and all that leads to it, is never ended.
spared=' ' pid=$$
while [ "${pid:-0}" -gt 0 ]; do
  spared="$spared$pid "
  pid=$(field_of "$pid" PPid)
done
is_spared() { case $spared in *" $1 "*) return 0 ;; *) return 1 ;; esac; }
# Another script of ours may be at the account's files: what runs below a shell of root's with our line is not the
# account's own. A program that an account may run as root is no such shell, whatever its arguments.
shell_program=$(readlink "/proc/$$/exe")
is_ours() {
  above=$1
  while [ "${above:-0}" -gt 1 ]; do
    if [ "$(field_of "$above" Uid)" = 0 ] && [ "$(readlink "/proc/$above/exe")" = "$shell_program" ]; then
      case $(tr '\0' ' ' <"/proc/$above/cmdline" 2>/dev/null) in
        *'read -r s;eval "$(printf %b "$s")"'* | *' /usr/local/libexec/keywright-host '*) return 0 ;;
      esac
    fi
    above=$(field_of "$above" PPid)
  done
  return 1
}

# The process of each open session that is root's: its title cannot be the account's invention.
# Dropbear has no titles: its process for a connection is known by the log or by what runs below it.
sessions= listeners=
for status in $(grep -lE '^Name:[[:space:]]*(sshd|sshd-session|dropbear)$' /proc/[0-9]*/status 2>/dev/null); do
  pid=${status#/proc/} pid=${pid%/status}
  [ "$(field_of "$pid" Uid)" = 0 ] || continue
  title=$(tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null)
  case $title in
    "sshd: $account [priv]"* | "sshd-session: $account [priv]"*) ;;
    # Of root's uid only without a monitor above it: root's own sessions.
    "sshd: $account@"* | "sshd-session: $account@"*) ;;
    *dropbear*)
      case $(field_of "$(field_of "$pid" PPid)" Name) in
        dropbear) ;;
        *) listeners="$listeners $pid" && continue ;;
      esac
      ;;
    *'[listener]'* | */sshd\ *) listeners="$listeners $pid" && continue ;;
    *) continue ;;
  esac
  is_spared "$pid" || sessions="$sessions $pid"
done

# The ports at the other end of a process's connections.
peer_ports() {
  ls -l "/proc/$1/fd" 2>/dev/null | sed -n 's/.*socket:\[\([0-9]*\)\]$/\1/p' | while read -r inode; do
    cat "/proc/$1/net/tcp" "/proc/$1/net/tcp6" 2>/dev/null | while read -r slot local remote state q t r owner to node rest; do
      [ "$node" = "$inode" ] && printf '%d\n' "0x${remote##*:}"
    done
  done
}
# What the server logged: files, and the standard error of a server that was told to write there.
log_files=
for file in /var/log/auth.log.1 /var/log/auth.log /var/log/secure /var/log/messages; do
  [ -f "$file" ] && log_files="$log_files $file"
done
for pid in $listeners; do
  for descriptor in /proc/"$pid"/fd/2 /proc/"$pid"/fd/[3-9]; do
    file=$(readlink "$descriptor") || continue
    case $file in /*[!a-zA-Z0-9/._-]* | /dev/*) continue ;; /*) ;; *) continue ;; esac
    [ -f "$file" ] && case " $log_files " in *" $file "*) ;; *) log_files="$log_files $file" ;; esac
  done
done
# The beginning of a line up to the message: nothing, or a log's own words up to the first bracket. A name that a
# stranger tried to log in with cannot stand there.
before='\([^]]*\]: \)\{0,1\}'
before_dropbear='\([^]]*\]:\{0,1\} \([A-Z][a-z][a-z] [0-9 ][0-9] [0-9:]* \)\{0,1\}\)\{0,1\}'
# The last line that says how the session of process $1 was opened: "SHA256:..." or "other", or nothing.
opened_by() {
  lines=
  if command -v journalctl >/dev/null 2>&1; then
    lines=$(journalctl -q -b --no-pager -o cat "_PID=$1" 2>/dev/null </dev/null |
      grep -E "^(Accepted [a-z/-]* for $account from |(Pubkey|Password) auth succeeded for '$account')" | tail -n 1)
  fi
  if [ -z "$lines" ] && [ -n "$log_files" ]; then
    lines=$(cat $log_files 2>/dev/null |
      grep "^[^]]*\[$1\]:\{0,1\} .*auth succeeded for '$account' " | grep "^$before_dropbear[PK][a-z]* auth succeeded" | tail -n 1)
    for port in $(peer_ports "$1"); do
      [ -z "$lines" ] || break
      lines=$(cat $log_files 2>/dev/null |
        grep "^${before}Accepted [a-z/-]* for $account from [0-9a-fA-F.:%a-z]* port $port ssh2" | tail -n 1)
    done
  fi
  [ -n "$lines" ] || return 0
  found=$(printf '%s\n' "$lines" |
    sed -n 's/.*\(Accepted publickey for\|Pubkey auth succeeded for\) .*[ ]\(SHA256:[A-Za-z0-9+/]\{43\}\).*/\2/p')
  echo "${found:-other}"
}

# Whether the login of this connection is still going on: its child speaks to the network without rights.
is_before_login() {
  for child in $(children_of "$1"); do
    case $(tr '\0' ' ' <"/proc/$child/cmdline" 2>/dev/null) in *'[net]'*) return 0 ;; esac
  done
  return 1
}
ended=0 unknown=0 doomed=
for pid in $sessions; do
  by=
  if is_before_login "$pid"; then
    # No session yet. Ended with all the rest, lest it become one.
    [ "$all" = no ] || doomed="$doomed $pid"
    continue
  fi
  title=$(tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null)
  case $title in
    *dropbear*)
      by=$(opened_by "$pid")
      if [ -z "$by" ]; then
        mine=no
        for child in $(children_of "$pid"); do
          [ "$(field_of "$child" Uid)" != "$uid" ] || mine=yes
        done
        [ "$mine" = yes ] || continue
      fi
      ;;
    *) [ "$all" = yes ] || by=$(opened_by "$pid") ;;
  esac
  if [ "$all" = no ]; then
    case " $fingerprints " in
      *" ${by:-unknown} "*) ;;
      *)
        [ -n "$by" ] || unknown=$((unknown + 1))
        continue
        ;;
    esac
  fi
  doomed="$doomed $pid"
  ended=$((ended + 1))
done
victims=
for pid in $doomed; do
  victims="$victims $pid $(tree_of "$pid")"
done
alive() {
  left=
  for pid in $victims; do
    case $(field_of "$pid" State) in '' | Z | X) ;; *) is_spared "$pid" || left="$left $pid" ;; esac
  done
  [ -n "$left" ]
}
if alive; then
  kill -TERM $left 2>/dev/null
  round=0
  while alive && [ "$round" -lt 20 ]; do
    sleep 0.1 2>/dev/null || sleep 1
    round=$((round + 1))
  done
  alive && kill -KILL $left 2>/dev/null
fi
# With the account's own uid, so that nothing else can be hit and nothing of it can slip through by forking.
own=no
for pid in $spared; do
  [ "$(field_of "$pid" Uid)" != "$uid" ] || own=yes
done
if [ "$all" = yes ] && [ "$own" = no ] && [ "$uid" != 0 ] && [ "$drop" != none ]; then
  as_account 'kill -KILL -1' >/dev/null 2>&1 </dev/null
fi
printf 'ended=%s\nunknown=%s\n' "$ended" "$unknown"

shown=0
for pid in $(of_account); do
  case $(field_of "$pid" State) in '' | Z | X) continue ;; esac
  is_spared "$pid" && continue
  [ "$shown" -ge 50 ] || ! is_ours "$pid" || continue
  shown=$((shown + 1))
  [ "$shown" -le 50 ] || continue
  printf 'process=%s %s\n' "$pid" "$(field_of "$pid" Name | tr -cd 'a-zA-Z0-9._:/+-')"
done
printf 'processes=%s\n' "$shown"
crontab=no
for folder in /var/spool/cron/crontabs /var/spool/cron /var/cron/tabs /etc/crontabs; do
  [ ! -s "$folder/$account" ] || crontab=yes
done
printf 'crontab=%s\n' "$crontab"
result done
