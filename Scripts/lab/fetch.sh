# shellcheck shell=bash disable=SC2154,SC2034 # the variables are kernel-lab's and those of its other parts
# Debian's kernels: found in the archive this machine already uses, fetched into the cache, unpacked there.
# apt works on a state, a package index and a source list of its own; the machine's are only read.

# The kernel named by version: first the package the lab was written against, then any of its series. `6.1-full` is
# the one for machines of all kinds, with the drivers of network cards that clouds don't have.
stock_packages() {
    case $1 in
        6.1) echo 'linux-image-6.1.0-56-cloud-amd64 ^linux-image-6\.1\.0-[0-9]+-cloud-amd64$' ;;
        6.1-full) echo 'linux-image-6.1.0-56-amd64 ^linux-image-6\.1\.0-[0-9]+-amd64$' ;;
        6.12) echo 'linux-image-6.12.107+deb13-cloud-amd64 ^linux-image-6\.12\.[0-9]+\+deb13-cloud-amd64$' ;;
        7.2) echo 'linux-binary-7.2.13+deb14-cloud-amd64 ^linux-binary-7\.2\.[0-9]+\+deb14-cloud-amd64$' ;;
    esac
}

# What a kernel needs besides what is built into it. Type 1 is not a dependency of vfio-pci, but nothing can be mapped
# without it.
wanted_modules() {
    case $1 in
        6.1-full) echo nvme ext4 e1000e virtio_pci virtio_net ;;
        *) echo vfio_iommu_type1 vfio-pci ;;
    esac
}

private_apt=$cache/apt

apt_in_cache() {
    local tool=$1
    shift
    "$tool" -q -o Dir::State="$private_apt/state" -o Dir::State::status=/dev/null \
        -o Dir::Cache="$private_apt/cache" -o Dir::Etc::sourcelist="$private_apt/sources.list" \
        -o Dir::Etc::sourceparts=/dev/null -o APT::Architecture=amd64 -o APT::Architectures=amd64 \
        -o APT::Sandbox::User="$(id -un)" -o Acquire::Languages=none -o Acquire::Retries=3 "$@" </dev/null
}

# The base addresses of the Debian archive and of its security archive, as this machine's apt has them.
archive_from_apt() {
    local address base
    archive='' security=''
    while read -r address; do
        base=${address%%/dists/*}
        case ${base%/} in
            */debian) archive=${archive:-$base} ;;
            */debian-security) security=${security:-$base} ;;
        esac
    done < <(apt-get update --print-uris 2>/dev/null </dev/null | sed -n "s/^'\([^']*\/dists\/[^']*\)'.*/\1/p")
    [[ -n $archive ]] || cannot_because "apt on this machine names no Debian archive"
}

index_is_fresh=no
refresh_index() {
    [[ $index_is_fresh == no ]] || return 0
    need_host_programs apt-get:apt dpkg-deb:dpkg || return
    archive_from_apt || return
    mkdir -p "$private_apt"/{state/lists/partial,cache/archives/partial}
    # A mirror frozen in time has release files past their date; the signature is still checked.
    local options='check-valid-until=no' keyring=/usr/share/keyrings/debian-archive-keyring.gpg suite
    [[ ! -e $keyring ]] || options+=" signed-by=$keyring"
    {
        for suite in bookworm trixie sid; do
            echo "deb [$options] $archive $suite main"
        done
        [[ -z $security ]] || echo "deb [$options] $security bookworm-security main"
    } >"$private_apt/sources.list"
    local log=$private_apt/update.log
    # A failed fetch alone leaves apt-get's status at 0.
    if ! apt_in_cache apt-get update >"$log" 2>&1 || grep -q '^[WE]: Failed to fetch' "$log"; then
        local first
        first=$(grep -m1 -E '^[WE]: ' "$log" || echo 'no answer')
        cannot_because "the package index can't be fetched (${first:0:160})"
        return
    fi
    index_is_fresh=yes
}

# The preferred package when the archive still has it, else the newest one that matches.
pick_package() {
    local preferred=$1 pattern=$2 names
    names=$(apt_in_cache apt-cache pkgnames | grep -E "$pattern" | sort -V) || true
    if grep -qxF "$preferred" <<<"$names"; then
        echo "$preferred"
    else
        tail -n 1 <<<"$names"
    fi
}

# Downloads packages and unpacks them: DIRECTORY PACKAGE…
unpack_packages() {
    local into=$1 file
    shift
    mkdir -p "$into/deb"
    (cd "$into/deb" && apt_in_cache apt-get download "$@") >"$into/download.log" 2>&1 || {
        cannot_because "can't be downloaded: $* ($(grep -m1 '^E:' "$into/download.log" || echo 'no answer'))"
        return
    }
    for file in "$into"/deb/*.deb; do
        dpkg-deb -x "$file" "$into/root"
    done
    rm -rf "$into/deb"
}

# fetch_programs HOME SUITES RELEASE PACKAGE…: packages of Debian's with all that they need, downloaded by apt, which
# checks their signatures, and unpacked in HOME/root. Nothing of it is installed on this machine. SUITES are separate
# words; RELEASE is the one to take packages from first. A package with `+` before its name comes without what it needs.
fetch_programs() {
    local home=$1 suites=$2 release=$3 file first suite private_apt=$1-apt package alone=() whole=()
    shift 3
    for package in "$@"; do
        if [[ $package == +* ]]; then alone+=("${package#+}"); else whole+=("$package"); fi
    done
    need_host_programs apt-get:apt dpkg-deb:dpkg || return
    archive_from_apt || return
    rm -rf "$private_apt/cache"
    mkdir -p "$private_apt"/{state/lists/partial,cache/archives/partial}
    local options='check-valid-until=no' keyring=/usr/share/keyrings/debian-archive-keyring.gpg
    [[ ! -e $keyring ]] || options+=" signed-by=$keyring"
    for suite in $suites; do
        echo "deb [$options] $archive $suite main"
    done >"$private_apt/sources.list"
    say "fetching ${whole[*]} ${alone[*]} from Debian's $release"
    if ! apt_in_cache apt-get update >"$private_apt/log" 2>&1 ||
        grep -q '^[WE]: Failed to fetch' "$private_apt/log"; then
        first=$(grep -m1 -E '^[WE]: ' "$private_apt/log" || echo 'no answer')
        cannot_because "the package index can't be fetched (${first:0:160})"
        return
    fi
    {
        apt_in_cache apt-get install -y --no-install-recommends --download-only -t "$release" "${whole[@]}" &&
            { ((${#alone[@]} == 0)) ||
                (cd "$private_apt/cache/archives" && apt_in_cache apt-get download -t "$release" "${alone[@]}"); }
    } >"$private_apt/log" 2>&1 || {
        cannot_because "can't be downloaded: $* ($(grep -m1 '^E:' "$private_apt/log" || echo 'no answer'))"
        return
    }
    rm -rf "$home.new" && mkdir -p "$home.new/root"
    for file in "$private_apt"/cache/archives/*.deb; do dpkg-deb -x "$file" "$home.new/root"; done
    rm -rf "$private_apt/cache"
    rm -rf "$home" && mv "$home.new" "$home"
}

# Makes kernels/NAME in the cache: vmlinuz, the release name, and modules/ in load order.
fetch_kernel() {
    local name=$1 kernel=$cache/kernels/$1 preferred pattern package
    [[ ! -e $kernel/vmlinuz ]] || return 0
    need_host_programs depmod:kmod modprobe:kmod xz:xz-utils || return
    refresh_index || return
    read -r preferred pattern < <(stock_packages "$name")
    package=$(pick_package "$preferred" "$pattern")
    [[ -n $package ]] || {
        cannot_because "the archive has no package matching $pattern"
        return
    }
    local work=$cache/kernels/.$name.$$ packages=("$package")
    rm -rf "$work"
    # From 7.2 on Debian ships the image and the modules apart.
    [[ $package != linux-binary-* ]] || packages+=("linux-modules-${package#linux-binary-}")
    say "kernel-lab: fetching ${packages[*]}"
    unpack_packages "$work" "${packages[@]}" || {
        local status=$?
        rm -rf "$work"
        return "$status"
    }
    collect_kernel "$work" "$name" || {
        rm -rf "$work"
        return 1
    }
    rm -rf "$kernel"
    mv "$work/kernel" "$kernel"
    rm -rf "$work"
}

collect_kernel() {
    local work=$1 name=$2 base tree release image number=0 path module
    tree=$(find "$work/root" -type d -path '*lib/modules/*' -prune | head -n 1)
    release=${tree##*/}
    base=${tree%/lib/modules/*}
    image=$(find "$work/root" -name 'vmlinuz*' -type f | head -n 1)
    [[ -n $tree && -n $image ]] || {
        say "kernel-lab: the packages hold no kernel image or no modules"
        return 1
    }
    mkdir -p "$work/kernel/modules"
    cp "$image" "$work/kernel/vmlinuz"
    echo "$release" >"$work/kernel/release"
    depmod -b "$base" "$release" 2>/dev/null
    for module in $(wanted_modules "$name"); do
        module_order "$module" || {
            say "kernel-lab: $release has no $module"
            return 1
        }
    done >"$work/order"
    while read -r path; do
        number=$((number + 1))
        local target
        target=$work/kernel/modules/$(printf '%02d' "$number")-$(basename "${path%.xz}")
        case $path in
            *.xz) xz -dc "$path" >"$target" ;;
            *) cp "$path" "$target" ;;
        esac
    done < <(awk '!seen[$0]++' "$work/order")
}

# Reads base and release of collect_kernel.
module_order() {
    modprobe -d "$base" -S "$release" --show-depends "$1" | sed -n 's/^insmod \([^ ]*\).*/\1/p'
}

cmd_fetch() {
    local name wanted=("$@") status=0
    ((${#wanted[@]})) || wanted=(6.1 6.12 7.2)
    check_kernel_names "${wanted[@]}"
    for name in "${wanted[@]}"; do
        [[ $name != lab ]] || die "the lab kernel is built, not fetched: Scripts/kernel-lab build"
        attempt fetch_kernel "$name"
        if ((outcome == 0)); then
            echo "$name: $(<"$cache/kernels/$name/release")"
        else
            echo "$name: not fetched: ${reason:-see above}"
            status=1
        fi
    done
    return "$status"
}
