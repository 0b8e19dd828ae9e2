# Sets me, the uid that a script runs with. The shell reads it itself: `id` is one more program to start.
read_uid() {
  me=
  while read -r key real effective rest; do
    [ "$key" != Uid: ] || { me=$effective && break; }
  done 2>/dev/null </proc/self/status
  [ -n "$me" ] || me=$(id -u)
}
