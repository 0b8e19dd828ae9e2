# What the SSH server logged about these keys, and about this connection; changes nothing. Only lines that name one of
# the keys or the account of this connection leave the host.
# Parameters: account (of this connection), user (whose log-ins), port (ours, as the host may see it, or empty),
# fingerprints (separated by blanks).
itself
# Nothing but fingerprints: with other words it would be a way to read whatever stands in a log.
[ -n "$fingerprints" ] || result failed
for print in $fingerprints; do
  case $print in
    SHA256:*[!A-Za-z0-9+/]*) result failed ;;
    SHA256:???????????????????????????????????????????) ;;
    *) result failed ;;
  esac
done
guard 25
printf 'now=%s\noffset=%s\n' "$(date +%s)" "$(date +%z)"
wanted=$(printf '%s\n' $fingerprints)
most=67108864

# The server's own log where it was told to write one: its standard error, or what it holds open.
listener= pid=$$ depth=0
while [ "$depth" -lt 24 ] && [ "${pid:-0}" -gt 0 ] && [ -r "/proc/$pid/status" ]; do
  name= parent=0 whose=
  while read -r key value; do
    case $key in
      Name:) name=$value ;;
      PPid:) parent=$value ;;
      Uid:) whose=${value%%[!0-9]*} && break ;;
    esac
  done <"/proc/$pid/status"
  # An account may call its own program sshd, and hold open what it likes.
  case $whose:$name in 0:sshd | 0:dropbear) listener=$pid ;; esac
  pid=$parent depth=$((depth + 1))
done
log_files=
for file in /var/log/auth.log.1 /var/log/auth.log /var/log/secure.1 /var/log/secure /var/log/messages.1 \
  /var/log/messages.0 /var/log/messages; do
  [ ! -L "$file" ] && [ -f "$file" ] && [ -r "$file" ] && log_files="$log_files $file"
done
if [ -n "$listener" ]; then
  for descriptor in /proc/"$listener"/fd/2 /proc/"$listener"/fd/3 /proc/"$listener"/fd/4; do
    file=$(readlink "$descriptor") || continue
    case $file in *[!a-zA-Z0-9/._-]* | /dev/* | [!/]*) continue ;; esac
    [ -f "$file" ] && case " $log_files " in *" $file "*) ;; *) log_files="$log_files $file" ;; esac
  done
fi

# Fields that begin with an underscore are the journal's own: no process can make them up.
journal() {
  command -v journalctl >/dev/null 2>&1 || return 0
  journalctl -q --no-pager -o short-unix --since=-40d _UID=0 _COMM=sshd + _UID=0 _COMM=sshd-session + \
    _UID=0 _COMM=sshd-auth + _UID=0 _COMM=dropbear 2>/dev/null </dev/null
}
text_of() { if [ "$1" = journal ]; then journal; else tail -c "$most" "$1"; fi; }
own_lines() { grep -a "Accepted [a-z/-]* for $account from \|auth succeeded for '$account'" | tail -n 5; }
# Whole lines about the user alone: nothing that a stranger has the server say pushes them out.
accepted="]: Accepted publickey for $user from [^ ]* port [0-9]* ssh2: [^ ]* SHA256:[^ ]*\$"
succeeded="Pubkey auth succeeded for '$user' with [^ ]* key SHA256:[^ ]* from [^ ]*\$"
log_ins() { grep -aF -e "$wanted" | grep -a -e "$accepted" -e "$succeeded" | tail -n 2000; }
heard=no
if [ -n "$port" ]; then
  for round in 1 2 3; do
    # A line takes a moment from the server to the log.
    for source in journal $log_files; do
      ! text_of "$source" | tail -n 2000 | own_lines | grep -q "[ :]$port\( \|\$\)" || heard=yes
    done
    [ "$heard" = no ] && [ "$round" != 3 ] || break
    sleep 0.5 2>/dev/null || sleep 1
  done
fi
# An account can have lines of its own making written into the files: they are read only where the journal is not told.
sources="journal $log_files"
[ -z "$(journal | own_lines)" ] || sources=journal
for source in $sources; do
  first=$(text_of "$source" | head -n 2)
  [ -n "$first" ] || continue
  printf '%s\n' "$first" | sed 's/^/first=/'
  text_of "$source" | log_ins | cut -c 1-600 | sed 's/^/line=/'
  text_of "$source" | own_lines | cut -c 1-600 | sed 's/^/own=/'
done
result done
