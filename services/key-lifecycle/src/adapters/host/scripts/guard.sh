# Ends a script, and what it waits for, after a time. A process of its own, so that a blocked open ends too. It comes
# before the traps of a script: a process that has just been forked passes a signal over for which its parent has one.
guard() {
  sh -c '
    trap "kill -KILL \$!; wait; exit 0" TERM INT HUP
    sleep "$2" &
    wait "$!"
    trap "" TERM INT HUP
    ours() { [ ! -r /proc/$$/status ] || grep -q "^PPid:[[:space:]]*$1\$" /proc/$$/status; }
    children() {
      for status in $(grep -l "^PPid:[[:space:]]*$1\$" /proc/[0-9]*/status); do
        status=${status#/proc/}
        [ "${status%/status}" = $$ ] || echo "${status%/status}"
      done
    }
    ours "$1" || exit 0
    kill -TERM "$1" $(children "$1")
    sleep 2
    ours "$1" || exit 0
    kill -KILL "$1" $(children "$1")
  ' guard "$$" "$1" </dev/null >/dev/null 2>&1 &
  guard_pid=$!
}
# With all that it started: nothing of ours is left running on the host.
end_guard() { kill "$guard_pid" 2>/dev/null && wait "$guard_pid" 2>/dev/null; }
