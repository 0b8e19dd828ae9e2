#!/bin/sh
# Process 1 of a test host: makes the host's own view of the machine, says so, and waits for the end of its input.
# When the test that holds the other end goes away, however it goes, this ends, and with it everything inside.
set -eu
state=$1

# Read before this host has a /proc of its own: our id as the machine sees it.
read -r outer _ </proc/self/stat

mount -t proc proc /proc
mount --bind "$state/etc" /etc
mount --bind "$state/home" /home
mount --bind "$state/root" /root
mount -t tmpfs -o size=16m,mode=755 tmpfs /run
mkdir -p /run/sshd /run/lock /run/host
mount --bind "$state/host" /run/host
# Log-in records, mail spools and crontabs of test accounts must not reach the machine's.
mount -t tmpfs -o size=4m,mode=755 tmpfs /var/log
mount -t tmpfs -o size=4m,mode=775 tmpfs /var/mail
mount -t tmpfs -o size=4m,mode=755 tmpfs /var/spool
# Programs that look at another clock share it there.
mount -t tmpfs -o size=4m,mode=1777 tmpfs /dev/shm
# The disk that fills up quickly.
mount -t tmpfs -o size=256k,mode=755 tmpfs /srv
if [ -d "$state/busybox" ]; then
  for folder in /usr/bin /usr/sbin /usr/local/bin /usr/local/sbin; do
    [ ! -d "$folder" ] || mount --bind "$state/busybox" "$folder"
  done
  # From here on every command is BusyBox's.
  hash -r
fi
[ ! -e "$state/date" ] || mount --bind "$state/date" /usr/bin/date
[ ! -d "$state/local" ] || mount --bind "$state/local" /usr/local
# Last: where $state lies may be hidden from here on.
mount -t tmpfs -o size=16m,mode=1777 tmpfs /tmp

echo "ready $outer"
# Not the last command on purpose: process 1 has to reap orphans while it waits.
cat >/dev/null || true
exit 0
