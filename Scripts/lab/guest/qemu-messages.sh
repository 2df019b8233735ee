# shellcheck shell=sh source-path=SCRIPTDIR
# The kernel's own NVMe driver and ext4 on a disk whose server can't map this guest's memory: a round that is
# shorter than qemu-disk.sh, since every block goes through QEMU.
# shellcheck source=lib.sh
. /lab/lib.sh

disk=/dev/nvme0n1
for _ in 1 2 3 4 5 6 7 8 9 10; do
    [ -b $disk ] || sleep 1
done
mkdir -p /mnt /etc
: >/etc/mtab

fill() {
    (
        cd /mnt || exit 1
        # Both larger and smaller than one message, and not whole blocks.
        head -c 6291999 /dev/urandom >large || exit 1
        for number in 1 2 3 4 5; do
            head -c "${number}0001" /dev/urandom >"small$number" || exit 1
        done
        sha256sum large small* >/tmp/sums
    ) || return 1
    sync
}

sums() {
    echo 3 >/proc/sys/vm/drop_caches
    (cd /mnt && sha256sum -c /tmp/sums)
}

# What several queues have under way at a time.
together() {
    for number in 1 2 3 4; do
        dd if=/mnt/large of="/mnt/copy$number" bs=64k conv=fsync 2>/dev/null &
    done
    wait
    echo 3 >/proc/sys/vm/drop_caches
    for number in 1 2 3 4; do cmp /mnt/large "/mnt/copy$number" || return 1; done
}

check "the kernel's driver finds the disk" test -b $disk
check "mkfs.ext4 makes a file system" mkfs.ext4 -q -F $disk
check "it can be mounted" mount -t ext4 $disk /mnt
check "files are written" fill
check "their sums are right, read from the disk" sums
check "four writers at a time get their data through" together
check "it can be unmounted" umount /mnt
check "fsck finds it sound" e2fsck -f -n $disk
check "the kernel has no complaint about the disk" sh -c \
    "! dmesg | grep -iE 'nvme.*(timeout|error|abort|fail|reset)|I/O error|EXT4-fs error'"

finish
