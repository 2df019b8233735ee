# shellcheck shell=sh disable=SC2154 # edu, nvme and neighbour are lib.sh's
# The command `vfio` on the real kernel. Sourced by test.sh.

blocks=64
unknown=0000:fe:1f.7

hash_of() { sha256sum <"$1" | cut -d ' ' -f 1; }

# has_text TEXT COMMAND…: passes when the command does and its output has the text.
has_text() {
    text=$1
    shift
    "$@" >/tmp/text 2>&1 || {
        status=$?
        cat /tmp/text
        return "$status"
    }
    grep -qF -e "$text" /tmp/text || {
        cat /tmp/text
        echo "no \"$text\" in the output"
        return 1
    }
}

# command_cases ROUTE
command_cases() {
    route=$1
    by="vfio by $route:"

    check "$by list names the disk" has_text "$nvme" vfio list
    check "$by list --json names the edu device" has_text "\"address\" : \"$edu\"" vfio list --json
    for device in "$nvme" "$edu"; do
        check "$by inspect $device" has_text "$device" vfio inspect "$device" --route "$route"
        check "$by inspect $device --json" has_text "\"route\": \"$route\"" \
            vfio inspect "$device" --route "$route" --json
    done
    check "$by nvme identify" has_text SWIFTVFIO0 vfio nvme identify "$nvme" --route "$route"
    check "$by nvme identify --json" has_text '"SWIFTVFIO0"' vfio nvme identify "$nvme" --route "$route" --json

    check "$by nvme read reads the whole disk" vfio nvme read "$nvme" --route "$route" --output /tmp/disk
    check "$by the disk is what the image is" same "$(hash_of /tmp/disk)" "$(cat /lab/disk.sha256)"

    # A part, through a fresh opening.
    check "$by nvme read reads a part" \
        vfio nvme read "$nvme" --route "$route" --lba 100 --blocks "$blocks" --output /tmp/part
    dd if=/tmp/disk of=/tmp/expected bs=512 skip=100 count="$blocks" 2>/dev/null
    check "$by the part is the image's" cmp /tmp/part /tmp/expected

    # Write, read back through another opening, then look at the rest.
    dd if=/dev/urandom of=/tmp/new bs=512 count="$blocks" 2>/dev/null
    check "$by nvme write writes a part" vfio nvme write "$nvme" --route "$route" --lba 1000 --input /tmp/new
    check "$by nvme read reads what was written" \
        vfio nvme read "$nvme" --route "$route" --lba 1000 --blocks "$blocks" --output /tmp/back
    check "$by what was written is there" cmp /tmp/new /tmp/back
    dd if=/tmp/new of=/tmp/disk bs=512 seek=1000 conv=notrunc 2>/dev/null
    check "$by nvme read reads the whole disk again" \
        vfio nvme read "$nvme" --route "$route" --output /tmp/again
    check "$by everything else is as it was" cmp /tmp/disk /tmp/again
    # From now on this is the disk, for the next way in and for the end.
    hash_of /tmp/disk >/lab/disk.sha256

    check "$by nvme perf measures" has_text "requests a second" \
        vfio nvme perf "$nvme" --route "$route" --seconds 0.3 --queue-depth 4
    check "$by nvme perf --json measures" has_text requestsPerSecond \
        vfio nvme perf "$nvme" --route "$route" --seconds 0.3 --json
    check_says "$by nvme read beyond the end is refused" 1 "blocks" \
        vfio nvme read "$nvme" --route "$route" --lba 9999999 --blocks 1 --output /tmp/part
    check_says "$by nvme write of half a block is refused" 2 "whole number of blocks" \
        vfio nvme write "$nvme" --route "$route" --lba 1 --input /lab/disk.sha256
    check_says "$by edu is no NVMe disk" 1 "$edu" vfio nvme identify "$edu" --route "$route"

    # Another user has the group: this shell.
    group=$(group_of "$edu")
    exec 9<>"/dev/vfio/$group"
    check_says "$by a group in use is refused" 1 "/dev/vfio/$group" vfio inspect "$edu" --route "$route"
    exec 9>&-
    check "$by afterwards it can be opened" vfio inspect "$edu" --route "$route"
    rm -f /tmp/part /tmp/expected /tmp/new /tmp/back /tmp/again
}

# register_cases ROUTE: registers, interrupts and resets, on the disk and on edu.
register_cases() {
    route=$1
    by="vfio by $route:"
    check "$by read names the fields of a register" has_text "[1] Memory Space: yes" \
        vfio read "$nvme" config:COMMAND --route "$route"
    check "$by read reads the disk's registers" has_text "VS (Version) 0x00010" \
        vfio read "$nvme" bar0:VS bar0:CAP --route "$route"
    check "$by read reads edu's registers" has_text "bar0+0x0 0x010000ed" vfio read "$edu" bar0:0 --route "$route"
    check "$by read --json has the words" has_text '"010000ed"' \
        vfio read "$edu" bar0:0 --route "$route" --json
    check "$by read --list names registers" has_text "config:PCIE.DEVCTL" vfio read "$nvme" --list --route "$route"
    check_says "$by read beyond a region's end is refused" 1 "16384 bytes" \
        vfio read "$nvme" bar0:0x100000 --route "$route"
    # The device gives back the complement of what is written.
    check "$by write shows what is there afterwards" has_text "after    0xffffedcb" \
        vfio write "$edu" bar0:4 0x1234 --route "$route"
    check "$by write --mask changes some bits" has_text "[2] Bus Master: yes" \
        vfio write "$nvme" config:COMMAND 4 --mask 4 --route "$route"
    check "$by what was written is gone when the device is closed" has_text "[2] Bus Master: no" \
        vfio read "$nvme" config:COMMAND --route "$route"
    check_says "$by write spares the MSI-X table" 1 "MSI-X table" vfio write "$nvme" bar0:0x2000 1 --route "$route"
    check "$by write doesn't read doorbells" has_text "not read" vfio write "$nvme" bar0:SQ0TDBL 0 --route "$route"

    check "$by irq list names INTx" has_text "eventfd, maskable, automasked" vfio irq list "$edu" --route "$route"
    check "$by irq watch --trigger reaches every vector" has_text "on 4 of 4 vectors" \
        vfio irq watch "$nvme" --trigger --vectors 0-3 --route "$route"
    check "$by irq watch sees edu's MSI" has_text "1 interrupt in" \
        vfio irq watch "$edu" --index msi --write bar0:0x60=1 --count 1 --seconds 60 --route "$route"
    check "$by irq watch unmasks edu's line" has_text "3 interrupts in" \
        vfio irq watch "$edu" --index intx --write bar0:0x60=1 --count 3 --seconds 60 --route "$route"
    # Nothing resets edu, so its line is still up.
    check "$by write lowers edu's line" vfio write "$edu" bar0:0x64 1 --route "$route"
    check "$by irq watch ends edu's line" has_text "1 interrupt in" vfio irq watch "$edu" --index intx \
        --write bar0:0x60=1 --acknowledge bar0:0x64=1 --seconds 1 --route "$route"
    check_says "$by irq watch says that nothing came" 1 "0 of 1" \
        vfio irq watch "$edu" --index msi --count 1 --seconds 0.5 --route "$route"

    check "$by reset resets the disk" has_text "it answers" vfio reset "$nvme" --route "$route"
    check "$by reset --dry-run says so" has_text "would reset $nvme alone" vfio reset "$nvme" --dry-run
    check_says "$by reset says that edu has no way" 1 "no way of being reset alone" vfio reset "$edu" --route "$route"
    check_says "$by a hot reset of a root bus is refused" 1 "no bridge above" \
        vfio reset "$nvme" --hot --route "$route"
    check_says "$by a hot reset of a root bus is refused without opening it" 1 "no bridge above" \
        vfio reset "$nvme" --hot --dry-run

    # Another user has the group: this shell. The configuration space is shown all the same, and nothing else.
    exec 9<>"/dev/vfio/$(group_of "$edu")"
    check_says "$by reset names who has the group" 1 "open in sh" vfio reset "$edu" --route group
    check_says "$by reset --dry-run names who has the group" 1 "open in sh" vfio reset "$edu" --dry-run
    check_says "$by read falls back to sysfs" 0 "read from sysfs" vfio read "$edu" config:COMMAND
    check_says "$by read of a region doesn't" 1 "/dev/vfio/" vfio read "$edu" bar0:0
    check_says "$by write doesn't" 1 "/dev/vfio/" vfio write "$edu" config:COMMAND 0
    exec 9>&-
}

# bind DEVICE DRIVER: an empty name leaves it without one.
bind() {
    node=/sys/bus/pci/devices/$1
    [ ! -e "$node/driver" ] || echo "$1" >"$node/driver/unbind"
    echo "${2:-none}" >"$node/driver_override"
    echo "$1" >/sys/bus/pci/drivers_probe
}

# member_bound_to DRIVER DEVICE: the member of the device's group that has the driver; nothing if none has.
member_bound_to() {
    for member in /sys/bus/pci/devices/"$2"/iommu_group/devices/*; do
        [ "$(basename "$(readlink "$member/driver")")" != "$1" ] || basename "$member"
    done
}

# command_errors ROUTE…
command_errors() {
    by="vfio:"
    check_says "$by what names no device is wrong usage" 2 "neither a PCI address" vfio inspect banana
    check_says "$by a function too many is wrong usage" 2 "0000:01:00.8" vfio inspect 0000:01:00.8
    check_says "$by an unknown verb is wrong usage" 2 "fly" vfio fly
    check_says "$by a device that isn't there is refused by name" 1 "$unknown" vfio inspect "$unknown"
    check_says "$by a disk that isn't there is refused by name" 1 "$unknown" vfio nvme identify "$unknown"
    check "$by the way in is chosen and explained" has_text "(" vfio inspect "$edu"

    bind "$edu" ""
    check_says "$by a device without a driver is shown, and why it can't be opened" 0 "isn't bound to any driver" \
        vfio inspect "$edu"
    for mode in "$@"; do
        check_says "$by it is refused where it has to be opened by $mode" 1 "isn't bound to any driver" \
            vfio inspect "$edu" --route "$mode"
        check_says "$by the remedy names the commands of $mode" 1 "driver_override" \
            vfio inspect "$edu" --route "$mode"
    done
    bind "$edu" vfio-pci
    check "$by a device that was given back can be opened" vfio inspect "$edu"

    if [ -e /sys/bus/pci/drivers/nvme ]; then
        bind "$nvme" nvme
        check_says "$by a disk in use by the kernel is refused" 1 "bound to nvme" vfio nvme identify "$nvme"
        check "$by list says whose it is" has_text "bound to nvme" vfio list
        bind "$nvme" vfio-pci
        check "$by a disk that the kernel gave back can be opened" vfio nvme identify "$nvme"
    else
        skipped "$by a disk in use by the kernel is refused" "this kernel has no nvme driver loaded"
    fi

    # A group with a member that the kernel uses.
    rng=$(member_bound_to virtio-pci "$neighbour")
    if [ -n "$rng" ]; then
        for mode in "$@"; do
            check_says "$by a group that isn't viable is refused by $mode, with who blocks it" 1 \
                "$rng is bound to virtio-pci" vfio inspect "$neighbour" --route "$mode"
        done
        check "$by list says who blocks a group" has_text "group blocked by $rng" vfio list
        bind "$rng" ""
        for mode in "$@"; do
            check "$by a group that became viable can be used by $mode" \
                vfio inspect "$neighbour" --route "$mode"
        done
    else
        skipped "$by a group that isn't viable is refused" "this kernel has no virtio-pci driver loaded"
    fi

    for mode in "$@"; do
        case $mode in
            group) nodes="vfio" text="modprobe vfio-pci" ;;
            *) nodes="iommu" text="modprobe iommufd" ;;
        esac
        mv "/dev/$nodes" "/dev/$nodes.away"
        check_says "$by without /dev/$nodes the module is named" 1 "$text" vfio inspect "$edu" --route "$mode"
        check "$by list works without /dev/$nodes" has_text "$edu" vfio list
        mv "/dev/$nodes.away" "/dev/$nodes"
    done

    # Somebody who may not open the nodes.
    mkdir -p /etc
    echo "nobody:x:65534:65534::/tmp:/bin/sh" >/etc/passwd
    for mode in "$@"; do
        check_says "$by without permission the node is named" 1 "/dev/" \
            su -s /bin/sh nobody -c "vfio inspect $edu --route $mode"
    done
    check "$by list needs no permission" has_text "$edu" su -s /bin/sh nobody -c "vfio list"
}

# For the lab, which looks at the image when the guest has ended.
disk_hash() { echo "disk sha256 $(cat /lab/disk.sha256)"; }
