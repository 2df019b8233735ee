# shellcheck shell=bash disable=SC2154,SC2034 # the variables are foreign's and those of its other parts
# QEMU, unmodified, with its vfio-pci on our software machine: each function that begins with `qemu_` is a scenario. They
# are run with one QEMU and one way into VFIO: $emulator is the command, $emulator_version its version, $way `group` or
# `cdev`.

disk='{ "address": "0000:01:00.0", "model": "nvme", "image": "disk", "serial": "SWIFTUSER0" }'
edu='{ "address": "0000:02:00.0", "model": "edu" }'

disk_alone() {
    machine disk '{ "groups": [ { "number": 1, "devices": [ '"$disk"' ] } ] }'
    # A disk of its own for each scenario; memory files would not outlive the guest's next start.
    rm -f "$work/disk"
    truncate -s 256M "$work/disk"
}

# given ADDRESS [PROPERTY…]: adds a device of the machine to $devices. With 11.1's second way in, through an iommufd.
given() {
    local address=$1 properties
    shift
    properties=$(printf ',%s' "$@")
    [[ $# != 0 ]] || properties=
    if [[ $way == cdev ]]; then
        [[ ${devices[*]} == *iommufd,id=* ]] || devices+=(-object iommufd,id=iommufd0)
        properties+=",iommufd=iommufd0"
    fi
    if [[ ${VFIO_FOREIGN_NATIVE:-} == yes ]]; then
        case $address in
            0000:01*) devices+=(-drive "file=$work/disk,if=none,id=nv,format=raw,file.locking=off" -device "nvme,drive=nv,serial=SWIFTUSER0${properties/,iommufd=iommufd0/}") ;;
            0000:02*) devices+=(-device edu) ;;
        esac
        return
    fi
    devices+=(-device "vfio-pci,host=$address$properties")
}

# The command line of a guest; sets $emulator_command. Uses $devices, $append, $board and $initramfs.
emulator_command() {
    emulator_command=("${emulator[@]}" -accel tcg,thread=multi -machine "q35$board" -cpu max -smp 2 -m "${memory:-512M}"
        -nodefaults -no-user-config -display none -serial "file:$1.raw"
        -kernel "$kernel_image" -initrd "$initramfs"
        -append "console=ttyS0 panic=-1 quiet loglevel=4 mitigations=off nokaslr tsc=reliable \
random.trust_cpu=on no_timer_check clearcpuid=cx16 $append" "${devices[@]}")
}

# told TRANSCRIPT STATUS: a guest's results, from its transcript.
told() {
    local transcript=$1 status
    touch "$transcript.raw"
    tr -d '\r' <"$transcript.raw" >"$transcript"
    [[ ! -s $transcript.err ]] || { echo "--- QEMU said:" && cat "$transcript.err"; } >>"$transcript"
    status=$(guest_status "$transcript")
    sed -nE "s/^(ok|FAILED|skipped) /\\1 $scenario: /p" "$transcript" >"$work/round"
    if [[ -z $status ]]; then
        echo "FAILED $scenario: the guest gave no result (QEMU's status is $2): $(grep -v '^$' "$transcript" |
            tail -n 1 | cut -c 1-200)" >>"$work/round"
    elif ((status != 0)) && ! grep -q '^FAILED' "$work/round"; then
        echo "FAILED $scenario: the guest's script ended with status $status" >>"$work/round"
    elif ! grep -qE '^(ok|FAILED)' "$work/round"; then
        echo "FAILED $scenario: the guest ran no test" >>"$work/round"
    fi
    cat "$work/round" >>"$results"
    grep -E '^(FAILED|skipped)' "$work/round" || true
    ! grep -q '^FAILED' "$work/round" || show_transcript "$transcript"
}

show_transcript() {
    echo "--- transcript of $scenario"
    tail -n 60 "$1"
    echo "--- end"
}

# boot SCRIPT FILE…: one guest to its end.
boot_guest() {
    local status=0 script=$1
    shift
    initramfs=$work/initramfs
    make_initramfs "$initramfs" "$lab/guest/$script" "$@"
    emulator_command "$work/guest"
    on_machine "${emulator_command[@]}" -monitor none </dev/null >"$work/guest.err" 2>&1 || status=$?
    told "$work/guest" "$status"
}

# Leaves a guest running whose monitor can be spoken to; sets $guest. The arguments are QEMU's.
start_guest() {
    qmp_prepare "$work"
    on_machine "${emulator_command[@]}" "${qmp_arguments[@]}" "$@" </dev/null >"$work/guest.err" 2>&1 &
    guest=$!
    qmp_open || {
        failed "QEMU's monitor: $qmp_line; $(tail -n 1 "$work/guest.err")"
        end_guest kill
        return 1
    }
}

# end_guest [kill]
end_guest() {
    local status=0
    [[ -z $guest ]] || {
        [[ ${1:-} != kill ]] || kill -TERM "$guest" 2>/dev/null || true
        wait "$guest" || status=$?
        guest=
    }
    qmp_close
    return "$status"
}

# says TRANSCRIPT TEXT SECONDS: waits until a guest says something.
says() {
    local deadline=$((SECONDS + $3))
    until grep -qF "$2" "$1.raw" 2>/dev/null; do
        ((SECONDS < deadline)) && kill -0 "$guest" 2>/dev/null || return 1
        sleep 0.1
    done
}

# MARK: scenarios

# Debian's kernel, its NVMe driver and ext4, in two boots of one QEMU.
qemu_disk() { disk_alone && given 0000:01:00.0 && append=lab.modes=disk && boot_guest foreign-disk.sh "${tools[@]}"; }

# The same where QEMU must not map registers, and where it is offered mapped ones whose every access is carried out.
qemu_disk_no_mmap() {
    disk_alone && given 0000:01:00.0 x-no-mmap=on && append=lab.modes=disk && boot_guest foreign-disk.sh "${tools[@]}"
}
qemu_disk_trapped() {
    "${programs[0]}" run --help | grep -q -e --bars || cannot_because "this vfio run has no option --bars" || return
    local run_options=(--bars trapped)
    qemu_disk
}

# Interrupts by a line.
qemu_lines() { disk_alone && given 0000:01:00.0 && append="lab.modes=disk pci=nomsi" && boot_guest foreign-lines.sh; }

# Programs loaded from the disk. Debian's kernel fills new pages with zeroes before it reads into them, unless it is told
# not to; QEMU would see that, and hide what the test is about.
qemu_programs() {
    disk_alone && given 0000:01:00.0 && append="lab.modes=disk init_on_alloc=0" &&
        boot_guest foreign-programs.sh "${tools[@]}"
}

qemu_edu() {
    machine edu '{ "groups": [ { "number": 2, "devices": [ '"$edu"' ] } ] }'
    given 0000:02:00.0 && append=lab.modes=disk && boot_guest foreign-edu.sh
}

# Two devices that share a group.
qemu_pair() {
    disk_alone
    machine pair '{ "groups": [ { "number": 7, "devices": [ '"$disk, $edu"' ] } ] }'
    given 0000:01:00.0 && given 0000:02:00.0 && append=lab.modes=disk && boot_guest foreign-edu.sh
}

# An IOMMU in the guest, and VFIO in the guest on top of it: every mapping there becomes one here.
qemu_viommu() {
    local run_options=(--trace "$work/calls")
    disk_alone
    # The serial number that the lab's own scripts look for.
    machine both '{ "groups": [ { "number": 1, "devices": [ '"${disk/SWIFTUSER0/SWIFTVFIO0}"' ] },
        { "number": 2, "devices": [ '"$edu"' ] } ] }'
    seq 1 4000000 | head -c 16M >"$work/disk"
    hash_of "$work/disk" >"$work/disk.sha256"
    devices=(-device intel-iommu,intremap=on,caching-mode=on)
    board=,kernel-irqchip=split
    given 0000:01:00.0 && given 0000:02:00.0 && append="intel_iommu=on lab.modes=group" memory=1G &&
        boot_guest qemu-vfio.sh "$work/disk.sha256" "${programs[@]}"
    local expected
    expected=$(sed -n 's/^disk sha256 \([0-9a-f]*\)$/\1/p' "$work/guest" | tail -n 1)
    expect "the image holds what the guest wrote through its own VFIO" test "$(hash_of "$work/disk")" == "$expected"
    expect "each mapping that the guest's program made is one of QEMU's outside" mappings_reached
}

# Whether all addresses that a program in the guest mapped were mapped outside as well.
mappings_reached() {
    "${programs[0]}" trace show "$work/calls" --request map-dma --request ioas-map |
        sed -nE -e 's/.* iova=(0x[0-9a-f]+) size=(0x[0-9a-f]+) = 0 .*/\1 \2/p' \
            -e 's/.* length=(0x[0-9a-f]+) iova=(0x[0-9a-f]+) = 0 .*/\2 \1/p' |
        while read -r start size; do echo "$((start)) $((start + size))"; done | sort -nu >"$work/outside"
    local start size end first last count=0
    while read -r start size; do
        start=$((start)) end=$((start + size)) count=$((count + 1))
        while read -r first last && ((first <= start)); do ((last <= start)) || start=$last; done <"$work/outside"
        ((start >= end)) || {
            printf '%#x to %#x of the guest was never mapped\n' "$start" "$end"
            return 1
        }
    done < <(sed -nE 's/^LAB MAPPED (0x[0-9a-f]+) (0x[0-9a-f]+)\r?$/\1 \2/p' "$work/guest")
    echo "$count mappings of the guest"
    ((count > 0))
}

# Parts from the terminal when its machine is there, and goes on with the device in another process than the one that
# opened it.
qemu_daemon() {
    machine edu '{ "groups": [ { "number": 2, "devices": [ '"$edu"' ] } ] }'
    given 0000:02:00.0 && append=lab.modes=disk
    initramfs=$work/initramfs
    make_initramfs "$initramfs" "$lab/guest/foreign-edu.sh"
    emulator_command "$work/guest"
    local status=0 patience=$((guest_timeout * 5))
    on_machine "${emulator_command[@]}" -monitor none -daemonize -pidfile "$work/pid" </dev/null \
        >"$work/guest.err" 2>&1 || status=$?
    expect "QEMU returns to the shell and leaves a process behind" test "$status" == 0 -a -s "$work/pid"
    guest=$(cat "$work/pid" 2>/dev/null) || guest=
    while [[ -n $guest ]] && kill -0 "$guest" 2>/dev/null && ((patience-- > 0)); do sleep 0.2; done
    ((patience > 0)) || kill -KILL "$guest" 2>/dev/null || true
    guest=
    told "$work/guest" 0
}

# Taken away and given back.
qemu_plug() {
    disk_alone
    devices=(-device pcie-root-port,id=port0,chassis=1,slot=1)
    given 0000:01:00.0 bus=port0 id=plugged
    append=lab.modes=disk
    initramfs=$work/initramfs
    make_initramfs "$initramfs" "$lab/guest/foreign-plug.sh"
    emulator_command "$work/guest"
    start_guest || return 0
    local status=0
    if says "$work/guest" "LAB TAKE" 60; then
        qmp '{"execute": "device_del", "arguments": {"id": "plugged"}}' || failed "device_del: $qmp_line"
        qmp_event DEVICE_DELETED 30 || failed "the device isn't given back: $qmp_line"
    fi
    if says "$work/guest" "LAB GIVE" 60; then
        local arguments='"driver": "vfio-pci", "host": "0000:01:00.0"'
        [[ ${VFIO_FOREIGN_NATIVE:-} != yes ]] || arguments='"driver": "nvme", "drive": "nv", "serial": "SWIFTUSER0"'
        [[ $way != cdev ]] || arguments+=', "iommufd": "iommufd0"'
        qmp '{"execute": "device_add", "arguments": {'"$arguments"', "bus": "port0", "id": "again"}}' ||
            failed "device_add: $qmp_line"
    fi
    end_guest || status=$?
    told "$work/guest" "$status"
}

# The machine is saved into a file while the disk is in use, and goes on in another QEMU. A driver that can move a device
# is a variant of vfio-pci made for it. 7.2 knows only the first form of this, which Linux gave up in 5.18, and says so.
qemu_move() {
    local driver=nvme-vfio-pci properties=(enable-migration=on)
    [[ $emulator_version != 7.2 ]] || properties=(x-enable-migration=on)
    disk_alone
    machine disk '{ "groups": [ { "number": 1, "devices": [ '"${disk/%\}/, \"driver\": \"$driver\" \}}"' ] } ] }'
    given 0000:01:00.0 "${properties[@]}" && append=lab.modes=disk
    initramfs=$work/initramfs
    make_initramfs "$initramfs" "$lab/guest/foreign-move.sh" "${tools[@]}"
    emulator_command "$work/before"
    start_guest || return 0
    local status=0
    says "$work/before" "LAB TURN 8" 120 || failed "the guest doesn't get far: $(tail -n 1 "$work/before.raw")"
    if ! qmp '{"execute": "migrate", "arguments": {"uri": "exec:cat >'"$work"'/state"}}'; then
        if [[ $emulator_version == 7.2 && $qmp_line == *"doesn't support migration"* ]]; then
            passed "QEMU refuses to move the machine, with the reason"
        else
            failed "QEMU doesn't move the machine: $qmp_line"
        fi
        qmp '{"execute": "quit"}' || true
        end_guest || true
        return 0
    fi
    local patience=300
    while ((patience-- > 0)); do
        qmp '{"execute": "query-migrate"}' || break
        [[ ! $qmp_line =~ '"status": "'(completed|failed|cancelled)'"' ]] || break
        sleep 0.2
    done
    if [[ $qmp_line != *'"status": "completed"'* ]]; then
        failed "the machine isn't saved: $qmp_line"
        end_guest kill || true
        show_transcript "$work/guest.err"
        return 0
    fi
    qmp '{"execute": "quit"}' || true
    end_guest || status=$?
    expect "the machine is saved in the middle of the work, and QEMU ends with 0" test "$status" == 0
    emulator_command "$work/guest"
    start_guest -incoming "exec:cat $work/state" || return 0
    end_guest || status=$?
    told "$work/guest" "$status"
}

# A network in the guest, by the drivers of Debian's kernel for machines of all kinds.
network() {
    two_cards "$1" || return
    need "network cards in QEMU" "find_kernel 6.1-full" || return
    find_kernel 6.1-full
    given 0000:01:00.0 && given 0000:02:00.0 && append=lab.modes=disk && boot_guest foreign-net.sh
}
qemu_net_82574() { network 82574; }
qemu_net_virtio() { network virtio-net; }

# refused NAME TEXT…: QEMU must end with an error that has the texts; it is given 30 seconds.
refused() {
    local name=$1 status=0 text
    shift
    initramfs=$work/none
    : >"$initramfs"
    emulator_command "$work/guest"
    guest_timeout=30 on_machine "${emulator_command[@]}" -monitor none </dev/null >"$work/guest.err" 2>&1 || status=$?
    if ((status == 0 || status == 124)); then
        failed "$name: QEMU doesn't end with an error (status $status)"
        return
    fi
    for text in "$@"; do
        grep -qF -e "$text" "$work/guest.err" || {
            failed "$name: no \"$text\" in: $(tail -n 2 "$work/guest.err" | tr '\n' ' ')"
            return
        }
    done
    passed "$name"
}

# What goes wrong on a machine must reach QEMU's user as on a real one.
qemu_errors() {
    append=lab.modes=disk
    truncate -s 64M "$work/disk"
    if [[ $way == group ]]; then
        machine blocked '{ "groups": [ { "number": 9, "devices": [ '"$disk"', { "address": "0000:01:00.1",
            "model": "bystander", "vendor": "0x8086", "device": "0x10d3", "driver": "e1000e" } ] } ] }'
        given 0000:01:00.0
        refused "a group that isn't viable is named" "group 9 is not viable"
        if "${programs[0]}" inspect --machine "$machine" 0000:01:00.0 --route group >"$work/ours" 2>&1; then
            failed "our command accepts a group that isn't viable"
        else
            expect "our command names the group as well" has_text "group 9" "$work/ours"
            expect "and what blocks it" has_text "0000:01:00.1 is bound to e1000e" "$work/ours"
        fi
    fi
    devices=()
    machine limited '{ "groups": [ { "number": 1, "devices": [ '"$disk"' ] } ], "process": { "lockedMemory": "64M" } }'
    given 0000:01:00.0
    refused "a limit of locked memory ends in ENOMEM" "Cannot allocate memory"
    local request=map-dma
    [[ $way == group ]] || request=ioas-map
    devices=()
    machine faulty '{ "groups": [ { "number": 1, "devices": [ '"$disk"' ] } ], "faults": [ "'$request'=EINVAL@1" ] }'
    given 0000:01:00.0
    refused "a fault at the first mapping reaches QEMU" "Invalid argument"
    devices=()
    machine faulty '{ "groups": [ { "number": 1, "devices": [ '"$disk"' ] } ], "faults": [ "'$request'=ENOSPC@4" ] }'
    given 0000:01:00.0
    refused "a fault at the fourth mapping reaches QEMU" "No space left on device"
}
