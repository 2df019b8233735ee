# shellcheck shell=bash disable=SC2154,SC2034 # the variables are kernel-lab's and those of its other parts
# One boot: an initramfs with busybox, the kernel's modules, our programs and one script; QEMU; its transcript.

# Image and modules of a kernel, in $kernel_image and $kernel_modules (empty: all built in).
find_kernel() {
    if [[ $1 == lab ]]; then
        find_lab_kernel || return
        kernel_image=$lab_kernel kernel_modules=
    else
        fetch_kernel "$1" || return
        kernel_image=$cache/kernels/$1/vmlinuz kernel_modules=$cache/kernels/$1/modules
    fi
}

need_boot_programs() {
    need_host_programs qemu-system-x86_64:qemu-system-x86 busybox:busybox-static cpio:cpio
}

# A program of ours and the shared objects it is linked with, if any, under the same names in the guest.
add_program() {
    local tree=$1 program=$2 object
    install -D -m 755 "$program" "$tree/bin/${program##*/}"
    strip --strip-all "$tree/bin/${program##*/}" 2>/dev/null || true
    while read -r object; do
        [[ -e $tree$object ]] || install -D -m 755 "$object" "$tree$object"
    done < <(ldd "$program" 2>/dev/null | grep -oE '/[^ ]+' || true)
}

# make_initramfs OUT SCRIPT FILE… : the files are put beside the script in /lab, programs in /bin.
make_initramfs() {
    local out=$1 script=$2 tree=$1.tree file
    shift 2
    rm -rf "$tree"
    mkdir -p "$tree"/{bin,dev,proc,sys,tmp,lab,modules}
    cp "$(command -v busybox)" "$tree/bin/busybox"
    install -m 755 "$lab/guest/init" "$tree/init"
    cp "$lab"/guest/*.sh "$tree/lab/"
    cp "$script" "$tree/lab/run.sh"
    [[ -z $kernel_modules ]] || cp "$kernel_modules"/* "$tree/modules/"
    for file in "$@"; do
        if [[ -x $file ]]; then add_program "$tree" "$file"; else cp "$file" "$tree/lab/"; fi
    done
    (cd "$tree" && find . | cpio --quiet -o -H newc -R 0:0) >"$out"
    rm -rf "$tree"
}

# boot INITRAMFS DISK MODES TRANSCRIPT: returns QEMU's status; 124 when the guest took too long. The mode `noiommu`
# is a machine without an IOMMU.
#
# Behind the bridge sit two devices that share an IOMMU group. The second disk can have virtual functions; network
# adapter and display are what has ports, ROMs and error reporting.
#
# no_timer_check: at its start a kernel waits for ten interrupts of its timer, in a moment that on a busy host may
# bring none; with interrupt remapping it panics then.
#
# clearcpuid=cx16: QEMU 7.2 leaves garbage in EFLAGS when an interrupt follows CMPXCHG16B, which Linux 6.12's
# allocator uses all the time: one boot in seven ended in a double fault. The kernel does without it;
# programs (the Swift runtime's tasks) still find it.
boot() {
    local initramfs=$1 disk=$2 modes=$3 transcript=$4 iommu=(-device "intel-iommu,intremap=on,caching-mode=on")
    [[ $modes != noiommu ]] || iommu=()
    timeout --kill-after=10 "$guest_timeout" qemu-system-x86_64 \
        -accel tcg,thread=multi -M q35 -cpu max -smp 1 -m 1G \
        -nodefaults -no-user-config -display none -no-reboot -serial stdio -monitor none \
        -kernel "$kernel_image" -initrd "$initramfs" \
        -append "console=ttyS0 panic=-1 quiet loglevel=4 mitigations=off nokaslr tsc=reliable \
random.trust_cpu=on no_timer_check clearcpuid=cx16 intel_iommu=on lab.modes=${modes// /,}" \
        "${iommu[@]}" \
        -drive "file=$disk,if=none,id=nv,format=raw,file.locking=off" \
        -device nvme,drive=nv,serial=SWIFTVFIO0,addr=3 -device edu,addr=4 \
        -device pcie-root-port,id=port0,chassis=1,slot=1,addr=5 -device pcie-pci-bridge,id=bridge0,bus=port0 \
        -device edu,bus=bridge0,addr=1 -device virtio-rng-pci,bus=bridge0,addr=2 \
        -device nvme-subsys,id=subsystem0 \
        -device "nvme,addr=6,serial=SWIFTVFIO1,subsys=subsystem0,max_ioqpairs=10,msix_qsize=9,sriov_max_vfs=4,\
sriov_vq_flexible=8,sriov_vi_flexible=4" \
        -device pcie-root-port,id=port1,chassis=2,slot=2,addr=7 -device e1000e,bus=port1 \
        -device VGA,addr=8 \
        </dev/null >"$transcript.raw" 2>"$transcript.err"
    local status=$?
    tr -d '\r' <"$transcript.raw" >"$transcript"
    if [[ -s $transcript.err ]]; then
        { echo "--- QEMU said:" && cat "$transcript.err"; } >>"$transcript"
    fi
    rm -f "$transcript.raw" "$transcript.err"
    return "$status"
}

# The status the guest's script ended with, from the transcript; empty when the guest never got that far.
guest_status() { sed -n 's/^LAB RC=\([0-9]*\)$/\1/p' "$1" | tail -n 1; }
