# shellcheck shell=sh source-path=SCRIPTDIR
# Programs that are loaded from the disk, one after the other into the same memory: each must do what it was written
# for. QEMU translates a guest's code; when it isn't told of memory that a device wrote, it goes on with the code that
# was there before.
# shellcheck source=lib.sh
. /lab/lib.sh

disk=/dev/nvme0n1
for _ in 1 2 3 4 5 6 7 8 9 10; do
    [ -b $disk ] || sleep 1
done
mkdir -p /mnt /etc
: >/etc/mtab

# program NUMBER: an ELF file of one segment. Its code adds up the number on each of 65 pages, each of which jumps to
# the next, and ends with the sum as its status: any page of another program's makes it wrong.
program() {
    octal=$(printf %o "$1")
    # shellcheck disable=SC2059 # the number is to become a byte
    {
        printf "\\201\\307\\$octal\\0\\0\\0\\351\\365\\17\\0\\0"
        head -c 4085 /dev/zero
    } >/tmp/page
    cat /tmp/page /tmp/page /tmp/page /tmp/page /tmp/page /tmp/page /tmp/page /tmp/page >/tmp/pages
    printf '\177ELF\2\1\1\0\0\0\0\0\0\0\0\0\2\0\76\0\1\0\0\0\170\0\100\0\0\0\0\0\100\0\0\0\0\0\0\0'
    printf '\0\0\0\0\0\0\0\0\0\0\0\0\100\0\70\0\1\0\0\0\0\0\0\0'
    printf '\1\0\0\0\5\0\0\0\0\0\0\0\0\0\0\0\0\0\100\0\0\0\0\0\0\0\100\0\0\0\0\0'
    printf '\0\20\4\0\0\0\0\0\0\20\4\0\0\0\0\0\0\20\0\0\0\0\0\0'
    cat /tmp/pages /tmp/pages /tmp/pages /tmp/pages /tmp/pages /tmp/pages /tmp/pages /tmp/pages
    # shellcheck disable=SC2059 # as above
    printf "\\201\\307\\$octal\\0\\0\\0\\270\\74\\0\\0\\0\\17\\5"
}
make_programs() {
    for number in $(seq 1 80); do
        program "$number" >"/mnt/program$number" || return 1
        chmod 755 "/mnt/program$number"
    done
    sync
}
run_programs() {
    wrong=0
    for number in $(seq 1 80); do
        echo 3 >/proc/sys/vm/drop_caches
        status=0
        "/mnt/program$number" || status=$?
        [ $status = $((number * 65 % 256)) ] || wrong=$((wrong + 1))
    done
    echo "$wrong of 80 programs did what another was written for"
    [ $wrong = 0 ]
}

check "mkfs.ext4 makes a file system" mkfs.ext4 -q -F $disk
check "it can be mounted" mount -t ext4 $disk /mnt
check "programs are written to it" make_programs
check "80 programs do what they were written for" run_programs
check "it can be unmounted" umount /mnt

finish
