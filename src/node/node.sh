#!/bin/sh
# Gives out the disk that / lies on, as one instant of it. Runs as root on a node, from a directory in /run, and
# needs a shell, coreutils, util-linux and sed; nothing is written outside of /run.
#
#   node.sh ROOM LIMIT PACK        answers requests, one a line on standard input; PACK is none or auto
#   node.sh ROOM LIMIT PACK guard  ends a freeze after LIMIT seconds, and puts everything back once the first is gone
#
# An answer is "ok LENGTH" and so many bytes, or "no WHY". In ROOM: pid and seen (of whom the guard guards),
# until (when it steps in: seconds since the start of the machine), frozen (mount points, in the order of thawing),
# freezing (a process), units (that were stopped), armed (the guard's pid), late (the guard has stepped in).

set -u
export LC_ALL=C PATH="$PATH:/usr/sbin:/usr/bin:/sbin:/bin"
umask 077

room=$1 limit=$2 pack=$3
name=${room##*/}
trace=$room/tracing/instances/$name
disk='' sender=''

# Nobody asks anything for so long, in seconds: the other end is gone, and the connection does not know.
SILENCE=600

uptime_s() {
    read -r up _ </proc/uptime
    echo "${up%.*}"
}

uptime_cs() {
    read -r up _ </proc/uptime
    echo "${up%.*}${up#*.}"
}

#
# Putting back, by whoever comes first
#

is_running() {
    [ -n "$1" ] && [ -r "/proc/$1/stat" ] && case $(cat "/proc/$1/stat" 2>/dev/null) in
    *') Z '* | '') false ;;
    esac
}

# Thaws what is frozen; fails if something no longer was. A freeze still under way cannot be taken back before the
# kernel is through with it.
thaw_all() {
    [ -e "$room/frozen" ] || return 0
    held=0 freezing=$(cat "$room/freezing" 2>/dev/null)
    while is_running "$freezing"; do
        kill -KILL "$freezing" 2>/dev/null
        held=1
        thaw_once
        sleep 0.1
    done
    thaw_once || held=1
    rm -f "$room/frozen" "$room/freezing"
    return "$held"
}

thaw_once() {
    thawed=0
    while IFS= read -r point; do
        fsfreeze -u "$point" 2>/dev/null || thawed=1
    done <"$room/frozen"
    return "$thawed"
}

start_units() {
    [ -e "$room/units" ] || return 0
    started=0
    while read -r unit; do
        systemctl "$@" start "$unit" >&2 </dev/null || started=1
    done <"$room/units"
    rm -f "$room/units"
    return "$started"
}

untrack() {
    if [ -d "$trace" ]; then
        echo 0 >"$trace/events/enable"
        rmdir "$trace"
    fi
    if [ -d "$room/tracing" ]; then
        umount "$room/tracing"
    fi
}

put_back() {
    trap '' HUP INT TERM PIPE
    [ -z "$sender" ] || kill "$sender"
    thaw_all
    start_units --no-block
    untrack
    rm -rf "$room"
} >/dev/null 2>&1

#
# The guard
#

guard() {
    trap 'put_back; exit 0' HUP INT TERM
    read -r pid <"$room/pid"
    echo $$ >"$room/armed"
    while is_mine && kill -0 "$pid"; do
        read -r now _ </proc/uptime
        now=${now%.*}
        if read -r until <"$room/until" && [ "$now" -ge "$until" ]; then
            # First of all: who freezes after this sees it
            : >"$room/late"
            rm -f "$room/until"
            thaw_all
            start_units --no-block
        fi
        if read -r seen <"$room/seen" && [ $((now - seen)) -ge "$SILENCE" ]; then
            kill "$pid"
        fi
        sleep 0.5
    done
    ! is_mine || put_back
} >/dev/null 2>&1

# The room may be gone, and be another capture's by now.
is_mine() {
    read -r owner <"$room/armed" && [ "$owner" = $$ ]
}

# The guard outlives the connection, and what the system does to its processes.
post_guard() {
    set -- sh "$room/node.sh" "$room" "$limit" "$pack" guard
    if [ -d /run/systemd/system ]; then
        systemd-run --quiet --collect --unit="$name-$$" --property=OOMScoreAdjust=-1000 "$@" \
            </dev/null >/dev/null 2>&1 && is_armed && return
    fi
    setsid "$@" </dev/null >/dev/null 2>&1 &
    is_armed
}

# systemd takes its time on a busy node.
is_armed() {
    tries=0
    until [ -e "$room/armed" ]; do
        tries=$((tries + 1))
        [ "$tries" -le 80 ] || return 1
        sleep 0.25
    done
}

arm() {
    echo $(($(uptime_s) + limit)) >"$room/until"
}

disarm() {
    rm -f "$room/until"
}

#
# Answers
#

# After all that is still under way.
settle() {
    [ -z "$sender" ] || wait "$sender" || exit 1
    sender=''
}

ok() {
    settle
    printf 'ok %s\n%s' "${#1}" "$1" || exit 1
}

no() {
    settle
    printf 'no %s\n' "$(printf '%s' "$1" | tr '\n\r' '  ' | cut -c 1-500)" || exit 1
}

# A file, while the next request is worked on.
send() {
    settle
    {
        case $pack in
        zstd) zstd -1 -q -c <"$1" >"$1.packed" ;;
        gzip) gzip -1 -c <"$1" >"$1.packed" ;;
        *) mv "$1" "$1.packed" ;;
        esac && printf 'ok %s\n' "$(wc -c <"$1.packed")" && cat "$1.packed"
    } &
    sender=$!
}

# Past the page cache: what the filesystem writes does not get into the disk's own.
copy() {
    dd if="/dev/$disk" iflag=direct,skip_bytes,count_bytes bs=1M skip="$1" count="$2"
}

read_range() {
    buffer=$room/buffer.$((turn = !turn))
    if why=$(copy "$1" "$2" 2>&1 >"$buffer") && [ "$(wc -c <"$buffer")" -eq "$2" ]; then
        send "$buffer"
    else
        no "$why"
    fi
}

digest() {
    sum=$(copy "$1" "$2" 2>/dev/null | sha256sum)
    ok "${sum%% *}"
}

facts() {
    ok "disk $disk
size $(($(cat "/sys/block/$disk/size") * 512))
host $(uname -n)
kernel $(uname -r)
$(mounts | sed 's/^/mount /')"
}

# Sectors written since the last time: "SECTOR COUNT" a line, then "mark MARK" and how many were lost, if all is well.
dirty() {
    echo "pibake-mark $1" >"$trace/trace_marker" || { no 'the trace is gone' && return; }
    dd if="$trace/trace_pipe" iflag=nonblock bs=64k 2>/dev/null | sed -n \
        -e 's/.*block_rq_complete: .*(.*) \([0-9]*\) + \([0-9]*\) .*/\1 \2/p' \
        -e 's/.*pibake-mark \([0-9]*\).*/mark \1/p' >"$room/dirty"
    sed -n 's/^\(overrun\|commit overrun\|dropped events\): \([1-9].*\)/lost \2/p' \
        "$trace"/per_cpu/cpu*/stats >>"$room/dirty"
    settle
    printf 'ok %s\n' "$(wc -c <"$room/dirty")" && cat "$room/dirty" || exit 1
}

# Every write that ends is noted down by the kernel: what ends after it was read must be read again.
track() {
    read -r major_minor <"/sys/block/$disk/dev"
    device=$((${major_minor%:*} << 20 | ${major_minor#*:}))
    complete=$trace/events/block/block_rq_complete
    if why=$({
        mkdir "$room/tracing" &&
            mount -t tracefs "$name" "$room/tracing" &&
            mkdir "$trace" &&
            echo 4096 >"$trace/buffer_size_kb" &&
            echo 0 >"$trace/options/context-info" &&
            echo "dev == $device && (rwbs ~ \"*W*\" || rwbs ~ \"*D*\" || rwbs ~ \"*N*\")" >"$complete/filter" &&
            echo 1 >"$complete/enable"
    } 2>&1); then
        ok ''
    else
        untrack >/dev/null 2>&1
        no "$why"
    fi
}

# The disk's mounted filesystems that can be written, "TYPE POINT" a line, that of / last. A mount point's odd
# characters are octal in mountinfo (proc_pid_mountinfo(5)). No program is run for what lies elsewhere: on a busy
# node each one takes its time.
mounts() {
    known=' ' last=''
    root_number=$(findmnt -n -o MAJ:MIN / | tr -d ' ')
    while read -r _ _ number _ point rest; do
        super=${rest#* - } kind=${rest#* - }
        kind=${kind%% *}
        case $kind in ext[234] | vfat) ;; *) continue ;; esac
        case ${super##* } in ro | ro,*) continue ;; esac
        case $known in *" $number "*) continue ;; esac
        case $(readlink -f "/sys/dev/block/$number") in */"$disk" | */"$disk"/*) ;; *) continue ;; esac
        point=$(printf '%b' "$point")
        [ -d "$point" ] || continue
        known="$known$number "
        if [ "$number" = "$root_number" ]; then
            last="$kind $point"
        else
            echo "$kind $point"
        fi
    done </proc/self/mountinfo
    [ -z "$last" ] || echo "$last"
}

# What they hold back is written out.
flush_all() {
    while read -r _ point; do sync -f "$point"; done
}

flush() {
    settle
    mounts >"$room/mounts"
    flush_all <"$room/mounts"
    ok ''
}

# FAT cannot be frozen; it is written out as late as possible.
freeze() {
    settle
    mounts >"$room/mounts"
    sed -n 's/^ext[234] //p' "$room/mounts" >"$room/order"
    sed -n '/^vfat /p' "$room/mounts" >"$room/fat"
    sed '1!G;h;$!d' "$room/order" >"$room/frozen.new"
    if [ ! -s "$room/order" ]; then
        no "no ext4 filesystem of $disk is mounted writable"
        return
    fi
    # So that the freeze itself has little to write
    flush_all <"$room/mounts"
    arm
    mv "$room/frozen.new" "$room/frozen"
    began=$(uptime_cs)
    while IFS= read -r point <&3; do
        [ ! -e "$room/late" ] || break
        fsfreeze -f "$point" 2>"$room/why" 3<&- &
        echo $! >"$room/freezing"
        if ! wait $!; then
            thaw_all
            disarm
            no "freezing $point: $(cat "$room/why")"
            return
        fi
    done 3<"$room/order"
    rm -f "$room/freezing"
    flush_all <"$room/fat"
    if [ -e "$room/late" ]; then
        thaw_all
        no "late"
    else
        ok ''
    fi
}

thaw() {
    if thaw_all && [ ! -e "$room/late" ]; then
        [ -e "$room/units" ] || disarm
        ok "$(($(uptime_cs) - began))"
    else
        no "late"
    fi
}

stop() {
    if ! systemctl --quiet is-active "$1"; then
        no "$1 is not running"
        return
    fi
    arm
    { echo "$1" && cat "$room/units" 2>/dev/null; } >"$room/units.new"
    mv "$room/units.new" "$room/units"
    if why=$(timeout "$limit" systemctl stop "$1" 2>&1 </dev/null); then
        ok ''
    else
        no "stopping $1: $why"
    fi
}

start() {
    if why=$(start_units 2>&1); then
        disarm
        ok ''
    else
        no "$why"
    fi
}

answer() {
    trap 'put_back' EXIT
    trap 'exit 1' HUP INT TERM PIPE
    turn=0 began=0
    root=$(readlink -f "/sys/dev/block/$(findmnt -n -o MAJ:MIN / | tr -d ' ')")
    if [ -e "$root/partition" ]; then
        root=${root%/*}
    fi
    disk=${root##*/}
    echo $$ >"$room/pid"
    if [ "$pack" = auto ]; then
        pack=gzip
        ! command -v zstd >/dev/null || pack=zstd
    fi
    [ -b "/dev/$disk" ] || { echo "no / does not lie on a disk" && exit 1; }
    post_guard || { echo "no nothing can be left running to thaw it" && exit 1; }
    echo "pibake-node $pack"
    while uptime_s >"$room/seen" && read -r request first second; do
        case $request in
        read) read_range "$first" "$second" ;;
        digest) digest "$first" "$second" ;;
        dirty) dirty "$first" ;;
        stop) stop "$first" ;;
        facts | track | flush | freeze | thaw | start) "$request" ;;
        quit) settle && exit 0 ;;
        *) no 'what?' ;;
        esac
    done
}

if [ "${4-}" = guard ]; then
    guard
else
    answer
fi
