# shellcheck shell=bash disable=SC2154,SC2034 # the variables are foreign's and those of its other parts
# What all runs of foreign programs share: machines, one run, one line for each result.

# machine NAME JSON: a machine description in the folder of this scenario; sets $machine.
machine() {
    machine=$work/$1.json
    printf '%s\n' "$2" >"$machine"
}

# Two cards of a model, on one wire; impossible with a command that knows no such model.
two_cards() {
    machine cards '{ "groups": [
        { "number": 1, "devices": [ { "address": "0000:01:00.0", "model": "'"$1"'", "wire": "w", "mac": "52:54:00:00:00:01" } ] },
        { "number": 2, "devices": [ { "address": "0000:02:00.0", "model": "'"$1"'", "wire": "w", "mac": "52:54:00:00:00:02" } ] } ] }'
    "${programs[0]}" run --machine "$machine" -- true >"$work/cards" 2>&1 ||
        cannot_because "no machine with two cards of the model $1: $(tail -n 1 "$work/cards" | cut -c 1-160)"
}

result() { echo "$*" | tee -a "$results"; }
passed() { echo "ok $scenario: $*" >>"$results"; }
failed() { result "FAILED $scenario: $*"; }

# expect NAME COMMAND…: passes when the command does.
expect() {
    local name=$1
    shift
    if "$@" >"$work/expectation" 2>&1; then
        passed "$name"
    else
        failed "$name: status $?, $(tail -n 1 "$work/expectation")"
    fi
}

has_text() { grep -qF -e "$1" "$2" || { echo "no \"$1\" in: $(tail -n 1 "$2")" && return 1; }; }

# on_machine PROGRAM ARGUMENT…: the program, on the software machine.
on_machine() {
    if [[ ${VFIO_FOREIGN_NATIVE:-} == yes ]]; then
        timeout --kill-after=10 "$guest_timeout" "$@"
    else
        timeout --kill-after=10 "$guest_timeout" "${programs[0]}" run --machine "$machine" "${run_options[@]}" -- "$@"
    fi
}
