# What every script starts with: a known environment, what was asked, the account, and the way to its uid.
# Set before: parameters (the names it takes), own (yes: an account may run it on itself, without root).
set -fu
umask 077
PATH=/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/sbin:/usr/local/bin
LC_ALL=C
export PATH LC_ALL
unset TZ ENV BASH_ENV CDPATH IFS
cd / || exit 1
guard_pid=
line_end='
'
finish() {
  [ -z "$guard_pid" ] || end_guard
  echo '@@end'
  exit 0
}
result() {
  printf 'result=%s\n' "$1"
  finish
}
read_uid
[ "$me" = 0 ] || [ "$own" = yes ] || result sudo_unavailable

# Reads `name=value` lines up to an empty one. No value can leave quotes or become arithmetic of its own.
for name in $parameters; do eval "$name="; done
while IFS= read -r line && [ -n "$line" ]; do
  name=${line%%=*} value=${line#*=}
  case $name in *[!a-z0-9_]*) result failed ;; esac
  case " $parameters " in *" $name "*) ;; *) result failed ;; esac
  case $name in
    path) case $value in *[[:cntrl:]\']* | [!/]*) result failed ;; esac ;;
    account | user) case $value in *[!a-z0-9_-]* | [!a-z_]* | ?????????????????????????????????*) result failed ;; esac ;;
    tag | token) case $value in *[!a-z0-9_-]* | -*) result failed ;; esac ;;
    sha | md5 | new_sha | new_md5 | greeting | all | mode) case $value in *[!a-z0-9]*) result failed ;; esac ;;
    epoch | until | size | rev | overruled | port | budget)
      case $value in *[!0-9]* | 0?* | ????????????????????*) result failed ;; esac
      ;;
    from) case $value in *[!0-9a-fA-F.:]*) result failed ;; esac ;;
    extra) case $value in *[!a-z0-9_\ -]*) result failed ;; esac ;;
    fingerprints) case $value in *[!a-zA-Z0-9/:+=\ ]*) result failed ;; esac ;;
    *) result failed ;;
  esac
  eval "$name=\$value"
done

# Reads the account's line of passwd: passwd, uid, gid, gecos, home, shell. passwd is empty if there is none.
lookup() {
  passwd=$(getent passwd "$account" 2>/dev/null) || passwd=
  if [ -z "$passwd" ]; then
    while IFS= read -r entry; do
      case $entry in "$account":*) passwd=$entry && break ;; esac
    done </etc/passwd
  fi
  [ -n "$passwd" ] || { [ "$me" = 0 ] && return 0 || result sudo_unavailable; }
  IFS=:
  set -- $passwd
  unset IFS
  uid=$3 gid=$4 gecos=${5-} home=${6-} shell=${7-}
  case $uid:$gid in *[!0-9:]* | :* | *:) result failed ;; esac
  [ "$me" = 0 ] || [ "$me" = "$uid" ] || result sudo_unavailable
}

# The account's password field: none (no password can match), locked (sshd refuses the account), empty, set.
password_state() {
  field=x found=no
  for file in /etc/shadow /etc/passwd; do
    [ "$field" = x ] && [ -r "$file" ] || continue
    while IFS=: read -r name value rest; do
      [ "$name" = "$account" ] && field=$value && found=yes && break
    done <"$file"
  done
  case $found:$field in
    no:* | yes:x) echo unknown ;;
    yes:!*) echo locked ;;
    yes:\**) echo none ;;
    yes:) echo empty ;;
    *) echo set ;;
  esac
}

# Whether a group of this name has its members become root: an account by that name would found one.
stands_for_rights() {
  case $1 in
    root | wheel | sudo | sudoers | google-sudoers | admin | adm | sys | disk | shadow | kmem | staff | docker | lxd | \
      incus | incus-admin | kvm | libvirt) return 0 ;;
  esac
  return 1
}

# How to get to the account's uid; each way is tried before it is believed.
choose_drop() {
  if [ "$uid" = 0 ]; then
    drop=root
  elif [ "$me" = "$uid" ]; then
    drop=self
  elif [ "$(setpriv --reuid="$uid" --regid="$gid" --init-groups id -u 2>/dev/null)" = "$uid" ]; then
    drop=setpriv
  elif [ "$(env -i PATH="$PATH" su -s /bin/sh -c 'id -u' "$account" 2>/dev/null </dev/null)" = "$uid" ]; then
    drop=su
  elif [ "$(chroot --userspec="$uid:$gid" / id -u 2>/dev/null)" = "$uid" ]; then
    drop=chroot
  else
    drop=none
  fi
}

# Runs a script with the account's uid and nothing of root's but the three standard streams.
as_account() {
  inner="U=$uid W=account
$1"
  case $drop in
    root) sh -c "U=0 W=root
$1" ;;
    self) env -i PATH="$PATH" LC_ALL=C /bin/sh -c "$inner" ;;
    setpriv)
      env -i PATH="$PATH" LC_ALL=C setpriv --reuid="$uid" --regid="$gid" --init-groups /bin/sh -c "$inner" ;;
    su) env -i PATH="$PATH" LC_ALL=C su -s /bin/sh -c "$inner" "$account" ;;
    chroot) env -i PATH="$PATH" LC_ALL=C chroot --userspec="$uid:$gid" / /bin/sh -c "$inner" ;;
    *) echo result=drop_failed ;;
  esac
}

# Whether root alone can change a directory, by its line of `ls -ldn`. Where there is an access list (`+`) the bits do not
# say who may.
is_roots() {
  [ "$3" = 0 ] || return 1
  case $1 in
    *+ | d???????w*) return 1 ;;
    d????w*) [ "$4" = 0 ] ;;
    d*) ;;
    *) return 1 ;;
  esac
}

# Whether nobody but root can change what this path leads to. Each part is judged before what lies below it is believed,
# so a link that an account made is never followed: the directory it lies in is not root's alone.
only_root_changes() {
  part= parts=/ rest=${1#/}
  while [ -n "$rest" ]; do
    part=$part/${rest%%/*} parts=$parts$line_end$part
    case $rest in */*) rest=${rest#*/} ;; *) rest= ;; esac
  done
  IFS=$line_end
  set -- $parts
  # In the order of their names, which is from the top down; what is missing is missing at the end.
  lines=$(ls -ldn "$@" 2>/dev/null)
  unset IFS
  for part; do
    line=${lines%%"$line_end"*} lines=${lines#*"$line_end"}
    case $line in
      '') return 0 ;;
      l*) real=$(cd -P "$part" 2>/dev/null && pwd -P) && (only_root_changes "$real") || return 1 ;;
      *) is_roots $line || return 1 ;;
    esac
    [ "$lines" != "$line" ] || return 0
  done
}

# Runs a script that works in directory $1: as root only where no account can change that directory.
in_directory() {
  if [ "$drop" = root ] || only_root_changes "$1"; then
    # An account by itself can read there what all may read, and change nothing.
    if [ "$me" != 0 ]; then
      [ "$drop" = self ] && [ "${changes-no}" = no ] || result sudo_unavailable
      as_account "$2"
      return
    fi
    sh -c "U=0 W=root
$2"
  else
    as_account "$2"
  fi
}

# Reads key files of the account that lie in one directory; read_file is what reads them.
read_key_files() {
  case $home in *[[:cntrl:]\']*) result failed ;; esac
  directory=${1%/*} files=
  for file; do files="$files '$file'"; done
  in_directory "$directory" "set --$files
N=$account A=$uid G=$gid H='$home'
$read_file"
}
