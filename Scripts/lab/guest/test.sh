# shellcheck shell=sh source-path=SCRIPTDIR
# The real-kernel tests. Arguments: the ways into VFIO to use: `group` and, where the kernel has them, `cdev` and
# `compat`, or `noiommu` alone.
# shellcheck source=lib.sh
. /lab/lib.sh
# shellcheck source=command.sh
. /lab/command.sh
conform_only=no
# shellcheck source=conform.sh
. /lab/conform.sh

same() { [ "$1" = "$2" ] || { echo "'$1' is not '$2'" && return 1; }; }

# report NAME COMMAND…: the command prints result lines of its own; its status counts too.
report() {
    name=$1
    shift
    "$@" || failed "$name" "status $?, see its lines"
}

# shared_bus ROUTE: an edu whose bus has another function, without a driver and with one of VFIO's.
shared_bus() {
    for driver in vfio-pci ""; do
        for function in "/sys/bus/pci/devices/${neighbour%:*}:"*; do
            [ "${function##*/}" = "$neighbour" ] || bind "${function##*/}" "$driver"
        done
        report "the probe of a shared bus by $1, beside ${driver:-no driver}" \
            KernelLabProbe "$neighbour" --route "$1" --shared-bus
    done
}

# moving ROUTE: the kernel's sample serial port, which can be moved.
moving() {
    mtty=/sys/class/mdev_bus/mtty/mdev_supported_types/mtty-1/create
    if ! [ -e "$mtty" ]; then
        skipped "a device that can be moved by $1" "this kernel has no sample serial port (mtty)"
        return
    fi
    uuid=5f0c3b1e-8a3d-4c53-9d1e-7b9f7f7e1a02
    echo "$uuid" >"$mtty"
    report "the probe of a device that can be moved by $1" KernelLabProbe "$uuid" --route "$1" --moving
    echo 1 >"/sys/bus/mdev/devices/$uuid/remove"
}

if [ "$*" = noiommu ]; then
    conform noiommu
    finish
    exit
fi

check "the IOMMU has groups" test -e /sys/kernel/iommu_groups/0
check "a container can be opened" test -c /dev/vfio/vfio
for device in "$nvme" "$edu"; do
    check "$device is bound to vfio-pci" same "$(driver_of "$device")" vfio-pci
    check "$device has a group node" test -c "/dev/vfio/$(group_of "$device")"
done

# The ways in that the command knows.
routes=
for mode in "$@"; do
    case $mode in
        group) ;;
        cdev)
            check "cdev: /dev/iommu is there" test -c /dev/iommu
            for device in "$nvme" "$edu"; do
                check "cdev: $device has a device node" test -c "$(cdev_of "$device")"
            done
            ;;
        compat)
            conform compat
            continue
            ;;
        *)
            failed "arguments" "there is no mode '$mode'"
            continue
            ;;
    esac
    report "the probe by $mode" KernelLabProbe "$edu" --disk "$nvme" --route "$mode"
    for limit in memlock guest-memlock; do
        report "the probe of locked memory by $mode" KernelLabProbe "$edu" --route "$mode" "--$limit"
    done
    moving "$mode"
    command_cases "$mode"
    register_cases "$mode"
    conform "$mode"
    routes="$routes $mode"
done
# shellcheck disable=SC2086 # the ways in are separate words
command_errors $routes
for mode in $routes; do shared_bus "$mode"; done
disk_hash

finish
