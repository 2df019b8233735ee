# shellcheck shell=sh source-path=SCRIPTDIR
# Our devices in a guest with an IOMMU, bound to vfio-pci: our driver, Linux's VFIO, QEMU's vfio-user client, our
# server, our device.
# shellcheck source=lib.sh
. /lab/lib.sh
# shellcheck source=command.sh
. /lab/command.sh

same() { [ "$1" = "$2" ] || { echo "'$1' is not '$2'" && return 1; }; }

check "the disk is bound to vfio-pci" same "$(driver_of "$nvme")" vfio-pci
check "edu is bound to vfio-pci" same "$(driver_of "$edu")" vfio-pci
KernelLabProbe "$edu" --disk "$nvme" --route group --no-peer-to-peer || failed "the probe on edu" "status $?, see its lines"
command_cases group
disk_hash

# What a program maps here, for those outside who see what becomes of it.
vfio nvme identify "$nvme" --route group --trace /tmp/maps >/dev/null || failed "the disk is asked once more" "status $?"
vfio trace show /tmp/maps --request map-dma | sed -nE 's/.* iova=(0x[0-9a-f]+) size=(0x[0-9a-f]+) = 0 .*/LAB MAPPED \1 \2/p'

finish
