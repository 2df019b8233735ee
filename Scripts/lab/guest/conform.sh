# shellcheck shell=sh source-path=SCRIPTDIR
# Parity: every case of `vfio conform` on the real kernel, beside the software kernel's answers.
# Arguments: the ways into VFIO: `group`, `compat`, `cdev`, `noiommu`. Also sourced by test.sh.

# conform ROUTE: a line for all equal cases, one for each that differs, one for each reason to skip.
conform() {
    by="conform by $1:"
    status=0
    vfio conform --route "$1" --change-machine --against "/lab/soft-$1.json" >/tmp/conform 2>&1 || status=$?
    awk -v by="$by" '
        /^[A-Z]\.[0-9]/ { section = $1 }
        /^  different / { sub(/^  different +/, ""); print "FAILED " by " " section " " $0; next }
        /^  skipped / { getline; sub(/^ +/, ""); reasons[$0]++ }
        END { for (reason in reasons) print "skipped " by " " reasons[reason] " cases: " reason }
    ' /tmp/conform
    counts=$(sed -n "s/.*, by $1: \(.* cases: .*\)/\1/p" /tmp/conform)
    both=$(sed -n 's/^  \(.* cases ran on both: .*\)/\1/p' /tmp/conform)
    if [ "$status" = 0 ]; then
        ok "$by $counts; with the software kernel's: $both"
    else
        failed "$by $counts" "status $status; with the software kernel's: $both"
        sed 's/^/    /' /tmp/conform
    fi
}

if [ "${conform_only:-yes}" = yes ]; then
    # shellcheck source=lib.sh
    . /lab/lib.sh
    for mode in "$@"; do conform "$mode"; done
    finish
fi
