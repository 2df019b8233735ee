# shellcheck shell=sh disable=SC2034 # the variables are for the scripts that read this file
# For scripts that run in a lab guest: results as lines, `ok NAME`, `FAILED NAME: reason`, `skipped NAME: reason`.

edu=$(cat /tmp/edu 2>/dev/null || true)
nvme=$(cat /tmp/nvme 2>/dev/null || true)
# Another edu, in a group with a device that isn't VFIO's.
neighbour=$(cat /tmp/neighbour 2>/dev/null || true)
failures=0

ok() { echo "ok $*"; }
failed() {
    echo "FAILED $1: $2"
    failures=$((failures + 1))
}
skipped() { echo "skipped $1: $2"; }

# check NAME COMMAND…: passes when the command does; its output is shown when it does not.
check() {
    name=$1
    shift
    if "$@" >/tmp/out 2>&1; then
        ok "$name"
    else
        failed "$name" "status $?, $(tail -n 1 /tmp/out)"
        sed 's/^/    /' /tmp/out
    fi
}

# check_says NAME STATUS TEXT COMMAND…: passes when the command ends with STATUS and its output has TEXT.
check_says() {
    name=$1 wanted=$2 text=$3
    shift 3
    status=0
    "$@" >/tmp/out 2>&1 || status=$?
    if [ "$status" = "$wanted" ] && grep -qiF -e "$text" /tmp/out; then
        ok "$name"
    else
        failed "$name" "status $status (expected $wanted), no \"$text\" in: $(tail -n 1 /tmp/out)"
        sed 's/^/    /' /tmp/out
    fi
}

driver_of() { basename "$(readlink "/sys/bus/pci/devices/$1/driver")"; }
group_of() { basename "$(readlink "/sys/bus/pci/devices/$1/iommu_group")"; }
cdev_of() { echo "/dev/vfio/devices/$(basename "/sys/bus/pci/devices/$1/vfio-dev/"*)"; }

# The last line of every script.
finish() { [ "$failures" -eq 0 ]; }
