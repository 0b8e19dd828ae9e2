# Reads the key files of every account, and which other ways in there are; changes nothing.
# Parameters: from (our address as the host may see it), extra (accounts to look at first, separated by blanks), budget
# (seconds after which no account is begun).
case $budget in '' | *[!0-9]* | 0?* | ?????*) result failed ;; esac
guard $((budget + 15))
newline='
'
begun=$(date +%s)
printf 'now=%s\noffset=%s\n' "$begun" "$(date +%z)"
spent=0
late() { [ "$spent" -gt "$1" ]; }

find_server
# Dropbear's settings are its arguments.
passwords=yes pid=$$ depth=0
while [ "$server" = dropbear ] && [ "$depth" -lt 24 ] && [ "${pid:-0}" -gt 0 ] && [ -r "/proc/$pid/status" ]; do
  case $(tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null) in
    *dropbear*' -s '* | *dropbear*' -s') passwords=no ;;
  esac
  pid=$(sed -n 's/^PPid:[[:space:]]*//p' "/proc/$pid/status") depth=$((depth + 1))
done 2>/dev/null
settings_for() {
  account=$1
  effective_settings "${seen:-$from}"
}
tell() {
  printf '%s\n' "$1" | while read -r key value; do
    case $key in
      authorizedkeyscommand | trustedusercakeys | passwordauthentication | usepam | kbdinteractiveauthentication | \
        challengeresponseauthentication | permitemptypasswords | hostbasedauthentication)
        printf 'sshd_%s=%s\n' "$key" "$value"
        ;;
    esac
  done
}
files_of() { printf '%s\n' "$1" | sed -n 's/^authorizedkeysfile //p'; }
# Whether the configuration has a Match block, so that accounts may differ.
matches() (
  [ "$2" -lt 6 ] && [ -r "$1" ] || exit 1
  ! grep -qi '^[[:space:]]*match[[:space:]=]' "$1" || exit 0
  set +f
  for file in $(sed -n 's/^[[:space:]]*[Ii][Nn][Cc][Ll][Uu][Dd][Ee][[:space:]=]*//p' "$1" | tr -d '"' |
    sed 's#^\([^/]\)#/etc/ssh/\1#; s#[[:space:]]\{1,\}\([^/[:space:]]\)# /etc/ssh/\1#g'); do
    ! matches "$file" $(($2 + 1)) || exit 0
  done
  exit 1
)
each=no settings=no patterns='.ssh/authorized_keys .ssh/authorized_keys2'
if general=$(settings_for root) && [ -n "$general" ]; then
  settings=yes
  tell "$general"
  patterns=$(files_of "$general")
  ! matches "${config:-/etc/ssh/sshd_config}" 0 || each=yes
elif [ "$server" = dropbear ]; then
  patterns=.ssh/authorized_keys
fi

# Of the account: sets path, empty where it does not stay where it says.
expand() {
  rest=$1 path=
  while [ -n "$rest" ]; do
    case $rest in
      %%*) path=$path% ;;
      %h*) path=$path$home ;;
      %u*) path=$path$account ;;
      %U*) path=$path$uid ;;
      %*) path= && return ;;
      *)
        part=${rest%%"%"*}
        path=$path$part rest=${rest#"$part"}
        continue
        ;;
    esac
    rest=${rest#??}
  done
  case $path in /*) ;; *) path=$home/$path ;; esac
  case $path in */../* | */.. | */./*) path= ;; esac
}

# How to get to an account's uid: found out once.
way= room=8000000 looked=0 visited=' '
if [ "$(printf hi | base64 -w 0 2>/dev/null)" = aGk= ]; then encoder=plain; else encoder=other; fi
read_files="encoder=$encoder
$read_files"
visit() {
  case $visited in *" $account "*) return 0 ;; esac
  visited="$visited$account "
  case $uid:$gid in *[!0-9:]* | :* | *:) return 0 ;; esac
  case $home in /*) ;; *) return 0 ;; esac
  looked=$((looked + 1))
  # The clock is asked now and then: a process costs more than an account without keys.
  [ $((looked % 8)) != 0 ] && [ "$each" = no ] || spent=$(($(date +%s) - begun))
  if [ "$looked" -gt 1000 ] || [ "$room" -le 0 ] || late "$budget"; then
    echo truncated=yes
    return 1
  fi
  mine=$patterns
  if [ "$each" = yes ]; then
    case $account in
      *[!a-zA-Z0-9._-]*) settings=partly ;;
      *)
        if late $((budget * 2 / 3)); then
          settings=partly
        elif mine_too=$(settings_for "$account") && [ -n "$mine_too" ]; then
          tell "$mine_too"
          mine=$(files_of "$mine_too")
        else
          settings=partly
        fi
        ;;
    esac
  fi
  [ "$server:$uid" != dropbear:0 ] || mine="$mine /etc/dropbear/authorized_keys"
  files= wanted=no
  printf 'account=%s:%s\n' "$uid" "$account"
  for pattern in $mine; do
    [ "$pattern" != none ] || continue
    expand "$pattern"
    [ -n "$path" ] || continue
    if [ "$uid" = 0 ]; then
      # As root only what root alone can change.
      if [ -L "$path" ]; then
        printf 'unreadable=symlink %s\n' "$path"
        continue
      elif ! only_root_changes "${path%/*}"; then
        printf 'unreadable=owner %s\n' "$path"
        continue
      fi
    fi
    files=$files$path$newline
    case $path in "$home"/*) [ ! -d "$home" ] || wanted=yes ;; *) wanted=yes ;; esac
  done
  [ "$wanted" = yes ] || return 0
  if [ "$uid" = 0 ]; then
    drop=root
  else
    if [ -z "$way" ]; then
      choose_drop
      way=$drop
    fi
    drop=$way
  fi
  # Each line is marked: what an account's own process says is about its own files only.
  said=$(printf '%s' "$files" | as_account "$read_files" 3<&- 2>/dev/null | head -c 3000000 | sed 's/^/a./')
  case $said in
    a.ready=yes*) room=$((room - ${#said})) && printf '%s\n' "$said" ;;
    *) echo unreadable=drop_failed ;;
  esac
}
whole=yes
for account in $extra; do
  lookup
  [ -n "$passwd" ] || continue
  visit || { whole=no && break; }
done
if [ "$whole" = yes ]; then
  while IFS=: read -r account password uid gid gecos home shell <&3; do
    case $account in '' | *[!a-zA-Z0-9._@+$-]*) continue ;; esac
    visit || break
  done 3</etc/passwd
fi
printf 'server=%s\nsettings=%s\n' "$server" "$settings"

set_password=no empty_password=no
if [ -r /etc/shadow ]; then
  while IFS=: read -r name value rest; do
    case $value in
      '') empty_password=yes ;;
      '!'* | '*'* | x) ;;
      *) set_password=yes ;;
    esac
  done </etc/shadow
else
  set_password=unknown
fi
[ "$server:$passwords" != dropbear:no ] || set_password=no empty_password=no
printf 'password=%s\nempty=%s\n' "$set_password" "$empty_password"
result done
