# shellcheck shell=sh source-path=SCRIPTDIR
# The kernel's own NVMe driver and ext4 on a disk that is served from outside. On an empty disk it makes a file
# system; on one that it made before, in an earlier boot, it finds what it wrote.
# shellcheck source=lib.sh
. /lab/lib.sh

disk=/dev/nvme0n1
for _ in 1 2 3 4 5 6 7 8 9 10; do
    [ -b $disk ] || sleep 1
done
check "the kernel's driver finds the disk" test -b $disk
check "it is ours" grep -q SWIFTUSER0 /sys/class/nvme/nvme0/serial
mkdir -p /mnt /etc
: >/etc/mtab

# fill FOLDER: files of several sizes, and their sums beside them.
fill() {
    mkdir -p "/mnt/$1" || return 1
    (
        cd "/mnt/$1" || exit 1
        head -c 25165824 /dev/urandom >large || exit 1
        for number in 1 2 3 4 5 6 7 8 9 10; do
            head -c "${number}0001" /dev/urandom >"small$number" || exit 1
        done
        : >empty
        sha256sum large small* empty >"/mnt/$1.sums"
    ) || return 1
    sync
}

# sums FOLDER: from the disk, not from the guest's memory.
sums() {
    echo 3 >/proc/sys/vm/drop_caches
    (cd "/mnt/$1" && sha256sum -c "/mnt/$1.sums")
}

sound() { e2fsck -f -n $disk; }

mount_disk() { mount -t ext4 $disk /mnt; }

# As a user does when a controller hangs; the disk must come back, with the driver's queues set up anew.
reset_controller() {
    echo 1 >/sys/class/nvme/nvme0/reset_controller || return 1
    for _ in 1 2 3 4 5 6 7 8 9 10; do
        [ "$(cat /sys/class/nvme/nvme0/state)" != live ] || return 0
        sleep 1
    done
    cat /sys/class/nvme/nvme0/state
    return 1
}

if [ "$(dd if=$disk bs=1 skip=1080 count=2 2>/dev/null | od -An -tx1 | tr -d ' \n')" = 53ef ]; then
    check "the file system of the boot before is sound" sound
    check "it can be mounted" mount_disk
    check "what was written then is there" sums first
    check "what was written after the reset is there" sums second
    check "more is written" fill third
    check "it is read back" sums third
else
    check "mkfs.ext4 makes a file system" mkfs.ext4 -q -F $disk
    check "it can be mounted" mount_disk
    check "files are written" fill first
    check "their sums are right, read from the disk" sums first
    check "it can be unmounted" umount /mnt
    check "fsck finds it sound" sound
    check "the controller can be reset" reset_controller
    check "after the reset it can be mounted" mount_disk
    check "what was written before the reset is there" sums first
    check "more is written" fill second
    check "it is read back" sums second
    # Reset with requests in flight: the driver sends them again.
    dd if=/dev/zero of=/mnt/zeros bs=1M count=32 conv=fsync 2>/dev/null &
    check "the controller can be reset while files are written" reset_controller
    check "the writer goes on" wait $!
    check "all of it was written" test "$(stat -c %s /mnt/zeros)" = 33554432
    check "the other files are whole" sums second
fi
irqs=$(grep nvme0q /proc/interrupts | awk '{ sum += $2 + $3 } END { print sum + 0 }')
check "interrupts have come by MSI-X ($irqs)" test "$irqs" -gt 0
check "it can be unmounted at the end" umount /mnt
check "fsck finds it sound at the end" sound
check "the kernel has no complaint about the disk" sh -c \
    "! dmesg | grep -iE 'nvme.*(timeout|error|abort|fail|reset)|I/O error|EXT4-fs error'"

finish
