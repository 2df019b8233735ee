# shellcheck shell=sh source-path=SCRIPTDIR
# Two network cards on one wire, in one guest: one of them in a network of its own, so that what goes from the one to the
# other goes over the wire. Arguments after the mode: none; the driver is the one the kernel has for the cards.
# shellcheck source=lib.sh
. /lab/lib.sh

cards=
for card in /sys/class/net/*; do
    [ ! -e "$card/device" ] || cards="$cards ${card##*/}"
done
# shellcheck disable=SC2086 # the cards are separate words
set -- $cards
check "the kernel's driver finds two cards ($cards )" test $# = 2
[ $# = 2 ] || exit 1
near=$1 far=$2
driver=$(basename "$(readlink "/sys/class/net/$near/device/driver")")
pci=$(basename "$(readlink "/sys/class/net/$near/device")")
case $pci in virtio*) pci=$(basename "$(dirname "$(readlink -f "/sys/class/net/$near/device")")") ;; esac

unshare -n sleep 600 &
there=$!
sleep 1
over_there() { nsenter -t $there -n "$@"; }
up() { ip link set "$near" up && over_there ip link set "$far" up; }
has_link() {
    for _ in $(seq 1 30); do
        [ "$(cat "/sys/class/net/$near/carrier" 2>/dev/null)" != 1 ] ||
            [ "$(over_there ip link show "$far" | grep -c LOWER_UP)" = 0 ] || return 0
        sleep 0.5
    done
    ip link show "$near"
    over_there ip link show "$far"
    return 1
}
check "one of them gets a network of its own" ip link set "$far" netns $there
ip addr add 10.9.8.1/24 dev "$near"
over_there ip addr add 10.9.8.2/24 dev "$far"
over_there ip link set lo up
check "both can be brought up, by $driver" up
check "both have a link" has_link
check "they answer each other's pings" ping -c 5 -i 0.2 -W 3 10.9.8.2
check "with large packets, too" ping -c 5 -i 0.2 -W 3 -s 8000 10.9.8.2
check "and the other way round" over_there ping -c 5 -i 0.2 -W 3 10.9.8.1

seq 1 1000000 >/tmp/sent
stream() {
    over_there httpd -p 80 -h /tmp
    wget -q -O /tmp/got http://10.9.8.2/sent && cmp /tmp/sent /tmp/got
}
check "6.9 MB of TCP arrive whole" stream
count() { cat "/sys/class/net/$near/statistics/$1"; }
check "the driver counted packets ($(count tx_packets) sent, $(count rx_packets) received)" \
    test "$(count tx_packets)" -gt 100 -a "$(count rx_packets)" -gt 100
check "and none that were damaged" test "$(count tx_errors)$(count rx_crc_errors)" = 00
check "by messages ($(grep -c "$near\|virtio0" /proc/interrupts) vectors)" grep -q "MSI.*\($near\|virtio0\)" /proc/interrupts
restart() { ip link set "$near" down && ip link set "$near" up && has_link && ping -c 3 -i 0.2 -W 3 10.9.8.2; }
check "one can be taken down and brought up again" restart
reset_function() { echo 1 >"/sys/bus/pci/devices/$pci/reset"; }
if [ -e "/sys/bus/pci/devices/$pci/reset" ] && [ "$driver" = e1000e ]; then
    check "its function can be reset" reset_function
    check "afterwards it works" restart
fi
kill $there
check "the kernel has no complaint" sh -c "! dmesg | grep -iE '(e1000e|virtio).*(error|hang|timed out|fail)|NETDEV WATCHDOG'"

finish
