# shellcheck shell=bash disable=SC2154,SC2034 # the variables are those of the scripts that read this file
# DPDK's own programs: Debian's packages, unpacked in the cache, with the loader and the libraries that belong to them.

dpdk_suite=bookworm

# Makes dpdk/ in the cache and sets $dpdk, a folder with the commands testpmd, proc-info, devbind and lspci.
find_dpdk() {
    local home=$cache/dpdk
    [[ -x $home/root/usr/bin/dpdk-testpmd ]] || fetch_dpdk "$home" || return
    dpdk=$home/root/usr/bin
    dpdk_drivers=$(find "$home/root/usr/lib/x86_64-linux-gnu/dpdk" -maxdepth 1 -name 'pmds-*')
    libraries=$home/root/usr/lib/x86_64-linux-gnu:$home/root/lib/x86_64-linux-gnu
    start_dpdk=("$home/root/lib64/ld-linux-x86-64.so.2" --library-path "$libraries")
    { [[ -n $dpdk_drivers ]] && "${start_dpdk[@]}" "$dpdk/dpdk-testpmd" -h >/dev/null 2>&1; } ||
        cannot_because "the DPDK in $home does not start"
}

# The programs without what only building with DPDK needs; the drivers; and the libraries that testpmd is linked with
# or needs to run, and that no driver of a card needs.
fetch_dpdk() {
    fetch_programs "$1" "$dpdk_suite $dpdk_suite-updates" "$dpdk_suite" +dpdk-dev +dpdk pciutils librte-meta-net \
        librte-{mempool-ring,crypto-scheduler,bitratestats,bpf,cmdline,gro,gso,latencystats,metrics,pcapng,pdump,reorder}23
}

# testpmd SECONDS ARGUMENT…: forwards between the machine's cards for a while; the statistics are in $work/testpmd.
testpmd() {
    local duration=$1 status=0
    shift
    (sleep "$duration" && echo) |
        on_machine "${start_dpdk[@]}" "$dpdk/dpdk-testpmd" -l 0,1 -n 1 --no-huge --no-shconf --no-telemetry -m 512 \
            -d "$dpdk_drivers" -a 0000:01:00.0 -a 0000:02:00.0 "$@" -- \
            --no-mlockall --total-num-mbufs=4096 --forward-mode=io --tx-first >"$work/testpmd" 2>&1 || status=$?
    ((status == 0)) || {
        tail -n 20 "$work/testpmd"
        return "$status"
    }
}

# packets PORT WORD: of testpmd's last statistics for a port, e.g. RX-packets.
packets() {
    sed -n "/Forward statistics for port $1/,/-------\$/s/.*$2: *\([0-9]*\).*/\1/p" "$work/testpmd" | tail -n 1
}

# Two cards of a model on one wire; what testpmd sends first goes round between them.
forwarding() {
    local port kind count
    two_cards "$1" || return
    if testpmd 4; then
        passed "testpmd begins and ends"
    else
        failed "testpmd: status $?: $(grep -m1 -iE 'error|fail|cannot' "$work/testpmd")"
        cat "$work/testpmd"
        return 0
    fi
    for port in 0 1; do
        for kind in RX-packets TX-packets; do
            count=$(packets $port $kind)
            if ((${count:-0} > 10000)); then
                passed "port $port: $count $kind"
            else
                failed "port $port: ${count:-no} $kind"
            fi
        done
    done
}
dpdk_virtio() { forwarding virtio-net; }
dpdk_82574() { forwarding 82574; }

# DPDK's own list of devices, by Python and lspci.
dpdk_devbind() {
    two_cards 82574 || return
    mkdir "$work/bin"
    printf '#!/bin/sh\nexec %s %s "$@"\n' "${start_dpdk[*]}" "$dpdk/lspci" >"$work/bin/lspci"
    chmod +x "$work/bin/lspci"
    command -v python3 >/dev/null || cannot_because "not installed: python3" || return
    expect "dpdk-devbind.py -s ends well" env "PATH=$work/bin:$PATH" \
        timeout 60 "${programs[0]}" run --machine "$machine" -- python3 "$dpdk/dpdk-devbind.py" -s
    cp "$work/expectation" "$work/devbind"
    for address in 0000:01:00.0 0000:02:00.0; do
        expect "it shows $address with its driver" grep -qE "^$address .*drv=vfio-pci" "$work/devbind"
    done
}
