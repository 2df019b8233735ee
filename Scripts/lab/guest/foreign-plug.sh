# shellcheck shell=sh source-path=SCRIPTDIR
# The disk is taken away and given back while the guest runs.
# shellcheck source=lib.sh
. /lab/lib.sh

disk=/dev/nvme0n1
# wait_for COMMAND…: for what is done from outside.
wait_for() {
    for _ in $(seq 1 60); do
        ! "$@" || return 0
        sleep 0.5
    done
    return 1
}
present() { [ -b $disk ]; }
absent() { ! [ -e /sys/class/nvme/nvme0 ]; }
compare() {
    echo 3 >/proc/sys/vm/drop_caches
    dd if=$disk bs=1M count=1 2>/dev/null | cmp - /tmp/numbers
}
seq 1 200000 | head -c 1048576 >/tmp/numbers

check "the disk is there" wait_for present
check "it is written to" dd if=/tmp/numbers of=$disk bs=64k conv=fsync
echo "LAB TAKE"
check "it is taken away" wait_for absent
echo "LAB GIVE"
check "it comes back" wait_for present
check "it holds what was written" compare
check "it is written to once more" dd if=/tmp/numbers of=$disk bs=1M seek=1 conv=fsync

finish
