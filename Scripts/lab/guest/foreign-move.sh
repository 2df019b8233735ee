# shellcheck shell=sh source-path=SCRIPTDIR
# A disk in use while the whole machine is saved and restored.
# shellcheck source=lib.sh
. /lab/lib.sh

disk=/dev/nvme0n1
for _ in 1 2 3 4 5 6 7 8 9 10; do
    [ -b $disk ] || sleep 1
done
mkdir -p /mnt /etc
: >/etc/mtab
check "mkfs.ext4 makes a file system" mkfs.ext4 -q -F $disk
check "it can be mounted" mount -t ext4 $disk /mnt

turn() {
    head -c 1500000 /dev/urandom >"/mnt/file$1" || return 1
    sha256sum "/mnt/file$1" >>/tmp/sums
    sync
    echo 3 >/proc/sys/vm/drop_caches
    sha256sum -c /tmp/sums
}
wrong=0
for number in $(seq 1 30); do
    turn "$number" >/tmp/turn 2>&1 || { wrong=$((wrong + 1)) && cat /tmp/turn; }
    echo "LAB TURN $number"
done
check "every file is what was written, after each of 30 turns" test $wrong = 0
check "it can be unmounted" umount /mnt
check "fsck finds it sound" e2fsck -f -n $disk
check "the kernel has no complaint about the disk" sh -c \
    "! dmesg | grep -iE 'nvme.*(timeout|error|abort|fail|reset)|I/O error|EXT4-fs error'"

finish
