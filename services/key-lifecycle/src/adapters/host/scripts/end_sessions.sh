# Ends open SSH sessions of an account, by the fingerprint that opened them or all of them.
# Parameters: account, all (yes or no), fingerprints (separated by blanks).
guard 25
set +f
lookup
[ -n "$passwd" ] || result account_missing
ordinary
choose_drop

# Sets found, the first word of a field of a process; empty if it is gone. No program is started for it.
find_field() {
  found=
  while read -r key word rest; do
    [ "$key" != "$2:" ] || { found=$word && return 0; }
  done 2>/dev/null <"/proc/$1/status"
}
# `pid value` of a field of many processes, a few hundred files at a time: an argument list has an end, and a tool that
# is started for each of a thousand processes never comes to the last.
fields() {
  field=$1 some= number=0
  shift
  {
    for one; do
      some="$some /proc/$one/status" number=$((number + 1))
      [ "$number" -lt 400 ] || { grep -H "^$field:" $some 2>/dev/null; some= number=0; }
    done
    [ -z "$some" ] || grep -H "^$field:" $some 2>/dev/null
  } | sed -n "s|^/proc/\([0-9]*\)/status:$field:[[:space:]]*\(.*\)|\1 \2|p"
}
everybody() { (cd /proc && echo [0-9]*); }
# Who is whose child now: `of_LOOK_PID` holds the children of each.
looks=0
look() {
  looks=$((looks + 1))
  eval "$(fields PPid $(everybody) | sed -n "s/^\([0-9]*\) \([0-9]*\)\$/of_${looks}_\2=\"\${of_${looks}_\2-} \1\"/p")"
}
children_of() { eval "echo \${of_${looks}_$1-}"; }
# These and everything below them, in `victims`.
with_all_below() {
  victims=" $* "
  while [ $# -gt 0 ]; do
    next=
    for one; do
      # Once each, whatever a look that took its time may have seen.
      eval "below=\${of_${looks}_$one-} of_${looks}_$one="
      next="$next $below"
    done
    victims="$victims$next "
    set -- $next
  done
}
# Our own connection, and all that leads to it, is never ended.
spared=' ' pid=$$
while [ "${pid:-0}" -gt 0 ]; do
  spared="$spared$pid "
  find_field "$pid" PPid
  pid=$found
done
is_spared() { case $spared in *" $1 "*) return 0 ;; *) return 1 ;; esac; }
# Another script of ours may be at the account's files: what runs below a shell of root's with our line is not the
# account's own. A program that an account may run as root is no such shell, whatever its arguments.
shell_program=$(readlink "/proc/$$/exe")
is_ours() {
  above=$1
  while [ "${above:-0}" -gt 1 ]; do
    find_field "$above" Uid
    if [ "$found" = 0 ] && [ "$(readlink "/proc/$above/exe")" = "$shell_program" ]; then
      case $(tr '\0' ' ' <"/proc/$above/cmdline" 2>/dev/null) in
        *'read -r s;eval "$(printf %b "$s")"'* | *' /usr/local/libexec/keywright-host '*) return 0 ;;
      esac
    fi
    find_field "$above" PPid
    above=$found
  done
  return 1
}

# The process of each open session that is root's: its title cannot be the account's invention.
# Dropbear has no titles: its process for a connection is known by the log or by what runs below it.
sessions= listeners=
look
servers=$(fields Name $(everybody) | sed -n 's/^\([0-9]*\) \(sshd\|sshd-session\|dropbear\)$/\1/p')
for pid in $(fields Uid $servers | sed -n 's/^\([0-9]*\) 0[[:space:]].*/\1/p'); do
  title=$(tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null)
  case $title in
    "sshd: $account [priv]"* | "sshd-session: $account [priv]"*) ;;
    # Of root's uid only without a monitor above it: root's own sessions.
    "sshd: $account@"* | "sshd-session: $account@"*) ;;
    *dropbear*)
      find_field "$pid" PPid
      find_field "$found" Name
      [ "$found" = dropbear ] || { listeners="$listeners $pid" && continue; }
      ;;
    *'[listener]'* | */sshd\ *) listeners="$listeners $pid" && continue ;;
    *) continue ;;
  esac
  is_spared "$pid" || sessions="$sessions $pid"
done

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
# How the last login from each port was done, read once: `login_PORT`.
from="for $account from [0-9a-fA-F.:%a-z]* port \([0-9][0-9]*\) ssh2"
if [ "$all" = no ] && [ -n "$log_files" ]; then
  eval "$(cat $log_files 2>/dev/null | sed -n \
    -e "s|^${before}Accepted publickey $from.* \(SHA256:[A-Za-z0-9+/]\{43\}\).*|login_\2=\3|p" -e t \
    -e "s|^${before}Accepted [a-z/-]* $from.*|login_\2=other|p")"
fi
# The ports at the other end of all connections in the network of a process: `port_INODE`.
network=
know_ports() {
  seen_from=$(readlink "/proc/$1/ns/net")
  [ "$seen_from" != "$network" ] || return 0
  network=$seen_from
  eval "$(cat "/proc/$1/net/tcp" "/proc/$1/net/tcp6" 2>/dev/null | sed -n \
    's/^ *[0-9]*: [0-9A-F]*:[0-9A-F]* [0-9A-F]*:\([0-9A-F]*\) [0-9A-F]* [0-9A-F:]* [0-9A-F:]* [0-9A-F]* *[0-9]* *[0-9]* \([0-9]*\) .*/port_\2=\1/p')"
}
# How the session of process $1 was opened, by the last line that says so, in `by`: "SHA256:...", "other" or nothing.
opened_by() {
  by= lines=
  if command -v journalctl >/dev/null 2>&1; then
    lines=$(journalctl -q -b --no-pager -o cat "_PID=$1" 2>/dev/null </dev/null |
      grep -E "^(Accepted [a-z/-]* for $account from |(Pubkey|Password) auth succeeded for '$account')" | tail -n 1)
  fi
  if [ -z "$lines" ] && [ -n "$log_files" ] && [ "$2" = dropbear ]; then
    lines=$(cat $log_files 2>/dev/null |
      grep "^[^]]*\[$1\]:\{0,1\} .*auth succeeded for '$account' " | grep "^$before_dropbear[PK][a-z]* auth succeeded" | tail -n 1)
  fi
  if [ -n "$lines" ]; then
    by=$(printf '%s\n' "$lines" |
      sed -n 's/.*\(Accepted publickey for\|Pubkey auth succeeded for\) .*[ ]\(SHA256:[A-Za-z0-9+/]\{43\}\).*/\2/p')
    by=${by:-other}
    return 0
  fi
  [ "$2" = sshd ] && [ -n "$log_files" ] || return 0
  know_ports "$1"
  for node in $(ls -l "/proc/$1/fd" 2>/dev/null | sed -n 's/.*socket:\[\([0-9]*\)\]$/\1/p'); do
    eval "port=\${port_$node-}"
    [ -n "$port" ] || continue
    port=$(printf '%d' "0x$port")
    eval "by=\${login_$port-}"
    [ -z "$by" ] || return 0
  done
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
      opened_by "$pid" dropbear
      if [ -z "$by" ]; then
        mine=no
        for child in $(children_of "$pid"); do
          find_field "$child" Uid
          [ "$found" != "$uid" ] || mine=yes
        done
        [ "$mine" = yes ] || continue
      fi
      ;;
    *) [ "$all" = yes ] || opened_by "$pid" sshd ;;
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
look
with_all_below $doomed
alive() {
  left=
  for pid in $(fields State $victims | sed -n 's/^\([0-9]*\) [^ZX].*/\1/p'); do
    is_spared "$pid" || left="$left $pid"
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
if [ "$all" = yes ] && [ "$uid" != 0 ] && [ "$drop" != none ]; then
  own=no
  for pid in $spared; do
    find_field "$pid" Uid
    [ "$found" != "$uid" ] || own=yes
  done
  [ "$own" = yes ] || as_account 'kill -KILL -1' >/dev/null 2>&1 </dev/null
fi
printf 'ended=%s\nunknown=%s\n' "$ended" "$unknown"

shown=0
own_pids=$(fields Uid $(everybody) | sed -n "s/^\([0-9]*\) $uid[[:space:]].*/\1/p")
for pid in $(fields State $own_pids | sed -n 's/^\([0-9]*\) [^ZX].*/\1/p'); do
  is_spared "$pid" && continue
  [ "$shown" -ge 50 ] || ! is_ours "$pid" || continue
  shown=$((shown + 1))
  [ "$shown" -le 50 ] || continue
  find_field "$pid" Name
  printf 'process=%s %s\n' "$pid" "$(printf '%s' "$found" | tr -cd 'a-zA-Z0-9._:/+-')"
done
printf 'processes=%s\n' "$shown"
crontab=no
for folder in /var/spool/cron/crontabs /var/spool/cron /var/cron/tabs /etc/crontabs; do
  [ ! -s "$folder/$account" ] || crontab=yes
done
printf 'crontab=%s\n' "$crontab"
result done
