# shellcheck shell=sh source-path=SCRIPTDIR
# edu by its registers: its identification, the liveness check, a factorial; config space; where there is a disk in
# the same group, that it works meanwhile.
# shellcheck source=lib.sh
. /lab/lib.sh

edu=
for device in /sys/bus/pci/devices/*; do
    [ "$(cat "$device/vendor"):$(cat "$device/device")" != 0x1234:0x11e8 ] || edu=$device
done
check "edu is there" test -n "$edu"
echo 1 >"$edu/enable"
base=$(head -n 1 "$edu/resource" | cut -d ' ' -f 1)
register() { devmem $((base + $1)) 32; }
put() { devmem $((base + $1)) 32 "$2"; }
same() { [ "$1" = "$2" ] || { echo "'$1' is not '$2'" && return 1; }; }

check "its identification is right" same "$(register 0)" 0x010000ED
put 4 0x12345678
check "it is alive" same "$(register 4)" 0xEDCBA987
factorial() {
    put 8 "$1"
    for _ in 1 2 3 4 5; do
        [ $(($(register 0x20) & 1)) = 1 ] || break
        sleep 1
    done
    register 8
}
check "it computes 5!" same "$(factorial 5)" 0x00000078
check "it computes 12!" same "$(factorial 12)" 0x1C8CFC00
put 0x60 0x5
check "an interrupt that is raised shows in its status" same "$(register 0x24)" 0x00000005
put 0x64 0x5
check "and is gone when acknowledged" same "$(register 0x24)" 0x00000000
check "config space can be read by bytes" same "$(od -An -tx1 -N4 "$edu/config" | tr -d ' \n')" 3412e811
if [ -b /dev/nvme0n1 ]; then
    check "the disk in the same group works" sh -c "
        seq 1 200000 | head -c 1048576 >/tmp/numbers && dd if=/tmp/numbers of=/dev/nvme0n1 bs=64k conv=fsync &&
        echo 3 >/proc/sys/vm/drop_caches && dd if=/dev/nvme0n1 bs=64k count=16 | cmp - /tmp/numbers"
    put 4 0
    check "and edu still does" same "$(register 4)" 0xFFFFFFFF
fi

finish
