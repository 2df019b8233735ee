# shellcheck shell=sh source-path=SCRIPTDIR
# A disk whose interrupts come by a line, since the kernel was told to use no messages.
# shellcheck source=lib.sh
. /lab/lib.sh

disk=/dev/nvme0n1
for _ in 1 2 3 4 5 6 7 8 9 10; do
    [ -b $disk ] || sleep 1
done
round_trip() {
    seq 1 300000 | head -c 1048576 >/tmp/numbers
    dd if=/tmp/numbers of=$disk bs=4k conv=fsync 2>/dev/null || return 1
    echo 3 >/proc/sys/vm/drop_caches
    dd if=$disk bs=4k count=256 2>/dev/null | cmp - /tmp/numbers
}
check "the kernel's driver finds the disk" test -b $disk
check "what was written is read back" round_trip
lines=$(grep nvme0q /proc/interrupts | grep -c IO-APIC)
count=$(grep nvme0q /proc/interrupts | awk '{ sum += $2 + $3 } END { print sum + 0 }')
check "interrupts have come by a line ($count)" test "$lines" = 1 -a "$count" -gt 10
check "the kernel has no complaint" sh -c "! dmesg | grep -iE 'nvme.*(timeout|error|abort|fail)|nobody cared|I/O error'"

finish
