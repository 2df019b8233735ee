# shellcheck shell=bash disable=SC2154,SC2034 # the variables are qemu-user's and those of its other parts
# A QEMU that is a client of vfio-user, 10.1 or later: Debian's own packages, unpacked in the cache.

qemu_suite=trixie
qemu_version='1:11.1.3+ds-1~bpo13+1'

# Makes qemu/ in the cache and sets $qemu, the command that starts it.
find_qemu() {
    local home=$cache/qemu
    [[ -x $home/root/usr/bin/qemu-system-x86_64 ]] || fetch_qemu "$home" || return
    local libraries=$home/root/usr/lib/x86_64-linux-gnu
    # Its own loader and libraries, since this machine's may be older; its own firmware.
    export QEMU_MODULE_DIR=$libraries/qemu
    qemu=("$home/root/usr/lib64/ld-linux-x86-64.so.2" --library-path "$libraries"
        "$home/root/usr/bin/qemu-system-x86_64"
        -L "$home/root/usr/share/qemu" -L "$home/root/usr/share/seabios" -L "$home/root/usr/lib/ipxe/qemu")
    "${qemu[@]}" --version >/dev/null 2>&1 || cannot_because "the QEMU in $home does not start"
}

# The version that this was written against; when the archive has it no more, the one that took its place.
fetch_qemu() {
    local home=$1 suites="$qemu_suite $qemu_suite-updates $qemu_suite-backports"
    fetch_programs "$home" "$suites" "$qemu_suite-backports" "qemu-system-x86=$qemu_version" ||
        fetch_programs "$home" "$suites" "$qemu_suite-backports" qemu-system-x86
}

# boot_user INITRAMFS MODE MEMORY TRANSCRIPT SOCKET…: a guest that has what is served at the sockets, and nothing
# else. The mode `vfio` is a machine with an IOMMU. MEMORY is `shared`: the server maps the guest's, or `private`: it
# has no descriptor, and the server reaches it by messages to QEMU.
boot_user() {
    local initramfs=$1 mode=$2 memory=$3 transcript=$4 iommu=() devices=() machine=() socket status=0
    shift 4
    [[ $mode != vfio ]] || iommu=(-device "intel-iommu,intremap=on,caching-mode=on")
    case $memory in
        shared) machine=(-machine "q35,memory-backend=ram" -object "memory-backend-memfd,id=ram,size=1G,share=on") ;;
        private) machine=(-machine q35) ;;
    esac
    for socket in "$@"; do
        devices+=(-device '{"driver":"vfio-user-pci","socket":{"type":"unix","path":"'"$socket"'"}}')
    done
    timeout --kill-after=10 "$guest_timeout" "${qemu[@]}" \
        -accel tcg,thread=multi "${machine[@]}" -cpu max -smp 2 -m 1G \
        -nodefaults -no-user-config -display none -no-reboot -serial stdio -monitor none \
        -kernel "$kernel_image" -initrd "$initramfs" \
        -append "console=ttyS0 panic=-1 quiet loglevel=4 mitigations=off nokaslr tsc=reliable \
random.trust_cpu=on no_timer_check clearcpuid=cx16 intel_iommu=on lab.modes=${mode/vfio/group}" \
        "${iommu[@]}" "${devices[@]}" </dev/null >"$transcript.raw" 2>"$transcript.err" || status=$?
    tr -d '\r' <"$transcript.raw" >"$transcript"
    if [[ -s $transcript.err ]]; then
        { echo "--- QEMU said:" && cat "$transcript.err"; } >>"$transcript"
    fi
    rm -f "$transcript.raw" "$transcript.err"
    return "$status"
}
