# Reads facts about the system: one line each, `keywright.<name>=<value>`. POSIX sh, BusyBox included.
# A function, so that the shell has read everything before the first command could read from its input.
keywright_facts() {
    LC_ALL=C
    PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin"
    export LC_ALL PATH

    fact() {
        [ -n "$2" ] && printf 'keywright.%s=%s\n' "$1" "$2"
    }

    # The account's start files may have left a line open.
    echo
    fact clock "$(date -u +%s)"

    os=$(
        PRETTY_NAME='' NAME=''
        for release in /etc/os-release /usr/lib/os-release; do
            [ -r "$release" ] || continue
            . "$release"
            break
        done
        printf '%s' "${PRETTY_NAME:-$NAME}"
    )
    [ -n "$os" ] || os="$(sw_vers -productName) $(sw_vers -productVersion)"
    [ -n "${os# }" ] || os=$(uname -sr)
    fact os "$os"
    fact kernel "$(uname -sr)"
    fact architecture "$(uname -m)"
    fact cpus "$(getconf _NPROCESSORS_ONLN || nproc || grep -c '^processor' /proc/cpuinfo || sysctl -n hw.ncpu)"

    memory=$(while read -r name value unit; do [ "$name" = MemTotal: ] && echo "$value"; done </proc/meminfo)
    fact memoryKib "$memory"
    [ -n "$memory" ] || fact memoryBytes "$(sysctl -n hw.memsize || sysctl -n hw.physmem)"

    fact freeDiskKib "$(df -Pk / | while read -r device blocks used free rest; do echo "$free"; done | tail -n 1)"

    uptime=$(read -r up idle </proc/uptime && echo "${up%%.*}")
    if [ -z "$uptime" ]; then
        booted=$(sysctl -n kern.boottime | sed 's/^{ *sec = \([0-9]*\).*/\1/')
        case "$booted" in
            '' | *[!0-9]*) ;;
            *) uptime=$(($(date +%s) - booted)) ;;
        esac
    fi
    fact uptimeSeconds "$uptime"

    fact loginShell "${SHELL:-$(getent passwd "$(id -un)" | sed 's/.*://')}"

    runtime=none
    for name in docker podman nerdctl containerd crio; do
        command -v "$name" >/dev/null || continue
        runtime=$name
        fact containerRuntimeVersion "$("$name" --version | head -n 1)"
        break
    done
    fact containerRuntime "$runtime"

    sudo=false
    if [ "$(id -u)" = 0 ]; then
        sudo=true
    elif command -v sudo >/dev/null && sudo -n true >/dev/null; then
        sudo=true
    fi
    fact passwordlessSudo "$sudo"
}
keywright_facts </dev/null 2>/dev/null
