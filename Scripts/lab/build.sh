# shellcheck shell=bash disable=SC2154,SC2034 # the variables are kernel-lab's and those of its other parts
# The lab kernel: what Debian's kernels leave out (device cdevs, iommufd, no-IOMMU mode), built small.

# Path of the lab kernel, in $lab_kernel.
find_lab_kernel() {
    if [[ -n ${VFIO_LAB_KERNEL:-} ]]; then
        [[ -r $VFIO_LAB_KERNEL ]] || {
            cannot_because "VFIO_LAB_KERNEL names $VFIO_LAB_KERNEL, which can't be read"
            return
        }
        lab_kernel=$VFIO_LAB_KERNEL
    elif [[ -r $cache/lab/bzImage ]]; then
        lab_kernel=$cache/lab/bzImage
    else
        cannot_because "no lab kernel: set VFIO_LAB_KERNEL, or run Scripts/kernel-lab build (about ten minutes)"
    fi
}

kernel_build_packages=(gcc make flex bison bc libelf-dev libssl-dev xz-utils kmod cpio)

install_build_packages() {
    local package missing=()
    for package in "${kernel_build_packages[@]}"; do
        dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed ||
            missing+=("$package")
    done
    ((${#missing[@]})) || return 0
    ((EUID == 0)) || {
        cannot_because "not installed, and only root can install it: ${missing[*]}"
        return
    }
    say "kernel-lab: installing ${missing[*]}"
    { apt-get -q update && DEBIAN_FRONTEND=noninteractive \
        apt-get -q install -y --no-install-recommends "${missing[@]}"; } </dev/null >&2 ||
        cannot_because "can't be installed: ${missing[*]}"
}

build_lab_kernel() {
    need_host_programs apt-get:apt dpkg-query:dpkg || return
    install_build_packages || return
    refresh_index || return
    local package work=$cache/lab/work tarball tree
    package=$(pick_package linux-source-7.2 '^linux-source-[0-9.]+$')
    [[ -n $package ]] || {
        cannot_because "the archive has no kernel source package"
        return
    }
    rm -rf "$work"
    say "kernel-lab: fetching $package"
    unpack_packages "$work" "$package" || return
    tarball=$(find "$work/root/usr/src" -name 'linux-source-*.tar.xz' | head -n 1)
    say "kernel-lab: unpacking ${tarball##*/}"
    tar -C "$work" -xf "$tarball" || return 1
    rm -rf "$work/root"
    tree=$(find "$work" -mindepth 1 -maxdepth 1 -type d -name 'linux-source-*')
    say "kernel-lab: building (the log is $cache/lab/build.log)"
    {
        make -C "$tree" KCONFIG_ALLCONFIG="$lab/kernel.config" allnoconfig &&
            make -C "$tree" -j"$(nproc)" bzImage
    } </dev/null >"$cache/lab/build.log" 2>&1 || {
        tail -n 20 "$cache/lab/build.log" >&2
        say "kernel-lab: the kernel does not build"
        return 1
    }
    cp "$tree/arch/x86/boot/bzImage" "$cache/lab/bzImage"
    rm -rf "$work"
}

cmd_build() {
    (($# == 0)) || usage_error "build takes no arguments"
    mkdir -p "$cache/lab"
    attempt build_lab_kernel
    ((outcome == 0)) || die "the lab kernel was not built: ${reason:-see above}"
    echo "$cache/lab/bzImage"
}
