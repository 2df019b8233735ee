# shellcheck shell=bash disable=SC2154,SC2034 # the variables are kernel-lab's and those of its other parts
# What all parts of the kernel lab share: messages, and the way a step says that it can't be done here.

guest_timeout=${VFIO_LAB_TIMEOUT:-600}
jobs=${VFIO_LAB_JOBS:-$(nproc)}

say() { printf '%s\n' "$*" >&2; }
die() {
    say "kernel-lab: $*"
    exit 1
}
usage_error() {
    say "kernel-lab: $*"
    exit 2
}

# A step that is impossible on this machine (as opposed to one that failed) returns $cannot and leaves
# its reason here. `test` turns that into `skipped`, every other command into an error.
cannot=75
reason=
cannot_because() {
    reason=$*
    return "$cannot"
}

# Runs a step; afterwards $outcome is 0 or the step's status. (A plain call would end the script.)
outcome=0
attempt() {
    outcome=0
    "$@" || outcome=$?
}

is_known_kernel() {
    local name
    for name in "${all_kernels[@]}"; do
        [[ $name == "$1" ]] && return 0
    done
    return 1
}

check_kernel_names() {
    local name
    for name in "$@"; do
        is_known_kernel "$name" || usage_error "there is no kernel '$name' (known: ${all_kernels[*]})"
    done
}

# The host programs a boot needs, named with the Debian package that has them.
need_host_programs() {
    [[ $(uname -m) == x86_64 ]] || {
        cannot_because "the lab boots x86-64 kernels and this machine is $(uname -m)"
        return
    }
    local pair missing=()
    for pair in "$@"; do
        command -v "${pair%%:*}" >/dev/null || missing+=("${pair#*:}")
    done
    ((${#missing[@]} == 0)) || cannot_because "not installed: ${missing[*]}"
}
