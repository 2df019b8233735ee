# shellcheck shell=bash disable=SC2154,SC2034 # the variables are kernel-lab's and those of its other parts
# What the lab runs: the commands `list`, `run` and `test`.

lab_programs=(vfio KernelLabProbe)

# Paths of our programs, in $programs. Built unless VFIO_LAB_BIN names a folder that has them.
find_programs() {
    local name bin
    programs=()
    bin=${VFIO_LAB_BIN:-}
    if [[ -z $bin ]]; then
        command -v swift >/dev/null || {
            cannot_because "no Swift toolchain, and VFIO_LAB_BIN is not set"
            return
        }
        for name in "${lab_programs[@]}"; do
            (cd "$root" && swift build -c release --product "$name") >&2 </dev/null || {
                say "kernel-lab: $name does not build"
                return 1
            }
        done
        bin=$(cd "$root" && swift build -c release --show-bin-path) || return 1
    fi
    for name in "${lab_programs[@]}"; do
        [[ -x $bin/$name ]] || {
            say "kernel-lab: there is no $name in $bin"
            return 1
        }
        programs+=("$bin/$name")
    done
}

# A disk image with a real file system on it where mkfs.ext4 is at hand, else with numbers.
make_disk() {
    local disk=$1
    truncate -s 32M "$disk"
    if command -v mkfs.ext4 >/dev/null; then
        mkfs.ext4 -q -F -d "$lab" "$disk" 2>/dev/null
    else
        seq 1 4000000 | dd of="$disk" bs=1M count=24 iflag=fullblock conv=notrunc status=none
    fi
}

cmd_list() {
    (($# == 0)) || usage_error "list takes no arguments"
    local name
    for name in "${all_kernels[@]}"; do
        reason=
        if [[ $name == lab ]]; then
            attempt find_lab_kernel
            ((outcome != 0)) || reason=$lab_kernel
        elif [[ -e $cache/kernels/$name/vmlinuz ]]; then
            outcome=0 reason=$(<"$cache/kernels/$name/release")
        else
            outcome=1 reason="not fetched yet: Scripts/kernel-lab fetch $name"
        fi
        if ((outcome == 0)); then attempt need_boot_programs; fi
        if ((outcome == 0)); then
            printf '%-5s ready    %s\n' "$name" "$reason"
        else
            printf '%-5s missing  %s\n' "$name" "$reason"
        fi
    done
}

cmd_run() {
    local kernel='' modes=group script='' guest_command=()
    while (($#)); do
        case $1 in
            --cdev) modes=cdev ;;
            --noiommu) modes=noiommu ;;
            --timeout) guest_timeout=${2:?--timeout needs a number} && shift ;;
            --script) script=${2:?--script needs a file} && shift ;;
            --)
                shift
                guest_command=("$@")
                break
                ;;
            -*) usage_error "run has no option $1" ;;
            *)
                [[ -z $kernel ]] || usage_error "run takes one kernel; put the guest's command after --"
                kernel=$1
                ;;
        esac
        shift
    done
    [[ -n $kernel ]] || usage_error "run needs a kernel: ${all_kernels[*]}"
    check_kernel_names "$kernel"
    [[ -n $script || ${#guest_command[@]} -gt 0 ]] || usage_error "run needs --script FILE, or -- COMMAND"
    local step
    for step in need_boot_programs "find_kernel $kernel" find_programs; do
        # shellcheck disable=SC2086 # a step is a command and its argument
        attempt $step
        ((outcome == 0)) || die "$kernel can't run: ${reason:-see above}"
    done
    local work status
    work=$(mktemp -d)
    # shellcheck disable=SC2064 # the folder is known now
    trap "rm -rf '$work'" EXIT
    if [[ -z $script ]]; then
        script=$work/run.sh
        { printf '%q ' "${guest_command[@]}" && echo; } >"$script"
    fi
    make_disk "$work/disk.img"
    make_initramfs "$work/initramfs" "$script" "${programs[@]}"
    attempt boot "$work/initramfs" "$work/disk.img" "$modes" "$work/transcript"
    sed '/^LAB RC=/,$d' "$work/transcript"
    status=$(guest_status "$work/transcript")
    [[ -n $status ]] || die "the guest gave no result (QEMU's status is $outcome)"
    return "$status"
}

hash_of() { sha256sum <"$1" | cut -d ' ' -f 1; }

# What the guest wrote through VFIO and flushed is in the image: its last `disk sha256` line tells what must be.
check_disk() {
    local kernel=$1 work=$2 transcript=$3 expected
    expected=$(sed -n 's/^disk sha256 \([0-9a-f]*\)$/\1/p' "$transcript" | tail -n 1)
    [[ -n $expected ]] || return 0
    if [[ $(hash_of "$work/disk.img") == "$expected" ]]; then
        echo "ok $kernel: the disk image holds what was written"
    else
        echo "FAILED $kernel: the disk image doesn't hold what was written"
    fi
}

# soft_answers DIRECTORY ROUTE…: what the software kernel answers to every case, as files beside which the guest
# puts the real kernel's answers.
soft_answers() {
    local directory=$1 route
    shift
    for route in "$@"; do
        "${programs[0]}" conform --host soft --route "$route" --json >"$directory/soft-$route.json" || true
    done
}

# run_round NAME SCRIPT MODES WORK: one boot; prints the guest's result lines, each with the kernel's name in front.
run_round() {
    local kernel=$1 script=$2 modes=$3 work=$4 status mode
    local transcript="$work/transcript-${modes// /-}"
    # shellcheck disable=SC2086 # the modes are separate words
    soft_answers "$work" $modes
    # What the guest must read through VFIO, computed without it.
    hash_of "$work/disk.img" >"$work/disk.sha256"
    make_initramfs "$work/initramfs" "$script" "$work"/soft-*.json "$work/disk.sha256" "${programs[@]}"
    attempt boot "$work/initramfs" "$work/disk.img" "$modes" "$transcript"
    rm -f "$work/initramfs" "$work"/soft-*.json
    status=$(guest_status "$transcript")
    sed -nE "s/^(ok|FAILED|skipped) /\\1 $kernel: /p" "$transcript" | tee "$work/round"
    check_disk "$kernel" "$work" "$transcript" | tee -a "$work/round"
    if [[ -z $status ]]; then
        echo "FAILED $kernel: the guest gave no result (QEMU's status is $outcome, 124 means it took too long)" |
            tee -a "$work/round"
    elif ((status != 0)) && ! grep -q '^FAILED' "$work/round"; then
        echo "FAILED $kernel: the guest's script ended with status $status" | tee -a "$work/round"
    elif ! grep -qE '^(ok|FAILED)' "$work/round"; then
        echo "FAILED $kernel: the guest ran no test" | tee -a "$work/round"
    fi
    if grep -q '^FAILED' "$work/round"; then
        echo "--- transcript of $kernel, $modes"
        cat "$transcript"
        echo "--- end of transcript"
    fi
    cat "$work/round" >>"$work/results"
}

# test_kernel NAME SCRIPT: boots the kernel once for each machine that it is tested on. The lab kernel alone has
# iommufd and groups without an IOMMU.
test_kernel() {
    local kernel=$1 script=$2 work started=$SECONDS modes rounds=(group)
    find_kernel "$kernel" || return
    [[ $kernel != lab ]] || rounds=(group 'cdev compat' noiommu)
    # A folder of its own: another clone may be testing with the same cache.
    mkdir -p "$cache/runs"
    work=$(mktemp -d "$cache/runs/.$kernel.XXXXXX")
    make_disk "$work/disk.img"
    for modes in "${rounds[@]}"; do run_round "$kernel" "$script" "$modes" "$work"; done
    rm -f "$work/disk.img"
    local passed failures
    passed=$(grep -c '^ok' "$work/results" || true)
    failures=$(grep -c '^FAILED' "$work/results" || true)
    echo "$kernel: $passed ok, $failures FAILED, $((SECONDS - started)) s"
    # The last run is kept, to be looked at.
    rm -rf "$cache/runs/$kernel"
    mv -T "$work" "$cache/runs/$kernel" 2>/dev/null || rm -rf "$work"
    ((failures == 0))
}

# test_or_skip NAME SCRIPT: test_kernel, and the reason if it can't be done here.
test_or_skip() {
    attempt test_kernel "$@"
    ((outcome != cannot)) || echo "skipped $1: $reason"
    return "$outcome"
}

# cmd_test SCRIPT [KERNEL…]: guests wait most of the time, so as many kernels run at once as there are jobs. What a
# kernel's run printed is shown when it has ended.
cmd_test() {
    local script=$lab/guest/$1 kernel kernels failures=0 skips=0 runs=0
    shift
    kernels=("$@")
    ((${#kernels[@]})) || kernels=("${all_kernels[@]}")
    check_kernel_names "${kernels[@]}"
    attempt need_boot_programs
    if ((outcome == 0)); then attempt find_programs; fi
    ((outcome == 0 || outcome == cannot)) || die "the programs to test are missing"
    if ((outcome == cannot)); then
        for kernel in "${kernels[@]}"; do echo "skipped $kernel: $reason"; done
        echo "kernel-lab: 0 kernels passed, 0 failed, ${#kernels[@]} skipped"
        return 0
    fi
    # One after the other: downloads share the package index.
    for kernel in "${kernels[@]}"; do attempt find_kernel "$kernel"; done
    test_all "$script" "${kernels[@]}"
    echo "kernel-lab: $runs kernels passed, $failures failed, $skips skipped"
    ((failures == 0))
}

# test_all SCRIPT KERNEL…: counts in the caller's runs, failures and skips.
test_all() {
    local script=$1 kernel outputs waiting=() finished
    local -A kernel_of=()
    shift
    outputs=$(mktemp -d)
    # The lab kernel boots three times and takes longest, so it begins.
    for kernel in "$@"; do [[ $kernel != lab ]] || waiting=(lab); done
    for kernel in "$@"; do [[ $kernel == lab ]] || waiting+=("$kernel"); done
    while ((${#waiting[@]} + ${#kernel_of[@]})); do
        while ((${#waiting[@]} && ${#kernel_of[@]} < jobs)); do
            kernel=${waiting[0]} waiting=("${waiting[@]:1}")
            test_or_skip "$kernel" "$script" >"$outputs/$kernel" 2>&1 &
            kernel_of[$!]=$kernel
        done
        attempt wait -n -p finished "${!kernel_of[@]}"
        kernel=${kernel_of[$finished]}
        unset "kernel_of[$finished]"
        cat "$outputs/$kernel"
        case $outcome in
            0) runs=$((runs + 1)) ;;
            "$cannot") skips=$((skips + 1)) ;;
            *) failures=$((failures + 1)) ;;
        esac
    done
    rm -rf "$outputs"
}
