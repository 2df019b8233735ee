# shellcheck shell=sh source-path=SCRIPTDIR
# edu and the disk in a guest with an IOMMU whose memory their server can't map: the addresses in its messages are
# the IOMMU's, and QEMU translates them.
# shellcheck source=lib.sh
. /lab/lib.sh

KernelLabProbe "$edu" --disk "$nvme" --route group --no-peer-to-peer || failed "the probe on edu" "status $?, see its lines"

# round_trip: through the page after the file system of the round before.
round_trip() {
    dd if=/dev/urandom of=/tmp/new bs=512 count=700 2>/dev/null
    vfio nvme write "$nvme" --route group --lba 1000 --input /tmp/new || return 1
    vfio nvme read "$nvme" --route group --lba 1000 --blocks 700 --output /tmp/back || return 1
    cmp /tmp/new /tmp/back
}
check "our driver identifies the disk" vfio nvme identify "$nvme" --route group
check "our driver reads what it wrote" round_trip

finish
