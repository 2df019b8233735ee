# shellcheck shell=bash disable=SC2154,SC2034 # the variables are those of the scripts that read this file
# Talking to QEMU's monitor, by a pair of pipes. What QEMU tells without having been asked is kept in a file.

# qmp_prepare FOLDER: makes the pipes and sets $qmp_arguments for a QEMU that is about to be started.
qmp_prepare() {
    qmp_pipe=$1/qmp qmp_events=$1/qmp.events
    rm -f "$qmp_pipe".{in,out}
    mkfifo "$qmp_pipe".{in,out}
    : >"$qmp_events"
    qmp_arguments=(-chardev "pipe,id=qmp,path=$qmp_pipe" -mon chardev=qmp,mode=control)
}

# Takes up the conversation, once QEMU has been started. (Pipes opened for both directions wait for nobody.)
qmp_open() {
    exec {qmp_in}<>"$qmp_pipe.in" {qmp_out}<>"$qmp_pipe.out"
    qmp_next '"QMP"' 30 && qmp '{"execute": "qmp_capabilities"}'
}

qmp_close() { exec {qmp_in}>&- {qmp_out}>&-; }

# qmp_next PATTERN SECONDS: reads on until a line has the pattern, and leaves it in $qmp_line; fails when it doesn't come.
qmp_next() {
    local deadline=$((SECONDS + $2))
    while ((SECONDS <= deadline)); do
        IFS= read -r -t 1 -u "$qmp_out" qmp_line || {
            kill -0 "$guest" 2>/dev/null && continue
            qmp_line="QEMU has ended"
            return 1
        }
        [[ ! $qmp_line =~ $1 ]] || return 0
        printf '%s\n' "$qmp_line" >>"$qmp_events"
    done
    qmp_line="no answer from QEMU's monitor within $2 s"
    return 1
}

# qmp COMMAND: the answer is left in $qmp_line; fails when it is an error.
qmp() {
    printf '%s\n' "$1" >&"$qmp_in"
    qmp_next '^\{"(return|error)"' 60 && [[ $qmp_line != '{"error"'* ]]
}

# qmp_event NAME SECONDS: waits for an event, unless it has come already.
qmp_event() { grep -q "\"$1\"" "$qmp_events" || qmp_next "\"event\": \"$1\"|\"$1\"" "$2"; }
