# shellcheck shell=sh source-path=SCRIPTDIR
# The disk through the kernel's own driver, in two boots of one QEMU: see qemu-disk.sh. In between the guest starts
# its machine anew, in the second boot it resets the function through PCI.
# shellcheck source=lib.sh
. /lab/lib.sh

disk=/dev/nvme0n1
function=/sys/class/nvme/nvme0/device

is_first() {
    for _ in 1 2 3 4 5 6 7 8 9 10; do
        [ -b $disk ] || sleep 1
    done
    [ "$(dd if=$disk bs=1 skip=1080 count=2 2>/dev/null | od -An -tx1 | tr -d ' \n')" != 53ef ]
}

if is_first; then
    sh /lab/qemu-disk.sh || exit 1
    echo "the guest starts anew"
    sync
    reboot -f
    sleep 60
    exit 1
fi
sh /lab/qemu-disk.sh || failures=$((failures + 1))

reset_function() {
    grep -q . $function/reset_method || return 1
    echo 1 >$function/reset || return 1
    for _ in 1 2 3 4 5 6 7 8 9 10; do
        [ "$(cat /sys/class/nvme/nvme0/state)" != live ] || return 0
        sleep 1
    done
    return 1
}
check "the function can be reset ($(cat $function/reset_method))" reset_function
check "afterwards it can be mounted" mount -t ext4 $disk /mnt
# all_sums: of every folder that qemu-disk.sh filled.
all_sums() {
    for folder in first second third; do
        (cd "/mnt/$folder" && sha256sum -c "/mnt/$folder.sums") || return 1
    done
}
check "everything that was written is there" all_sums
check "it can be unmounted after all" umount /mnt

finish
