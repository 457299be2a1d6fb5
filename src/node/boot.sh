# shellcheck shell=sh
# Runs on the node as the user who logs in, and becomes root: makes ROOM in /run, takes SIZE bytes of a script from
# standard input, and runs it. Says what it waits for: pibake-password, pibake-send. ROOM is there already as long
# as another one is at work.
room=$1 size=$2 limit=$3 pack=$4
# shellcheck disable=SC2016 # expanded by the shell that root runs
begin='umask 077
if ! mkdir "$1" 2>/dev/null; then
    echo pibake-busy
    exit 1
fi
echo pibake-send
head -c "$2" >"$1/node.sh"
if [ "$(wc -c <"$1/node.sh")" -eq "$2" ]; then
    exec sh "$1/node.sh" "$1" "$3" "$4"
fi
rm -rf "$1"'
set -- sh -c "$begin" pibake "$room" "$size" "$limit" "$pack"
export LC_ALL=C
if [ "$(id -u)" = 0 ]; then
    exec "$@"
elif sudo -n true </dev/null 2>/dev/null; then
    exec sudo -n "$@"
fi
echo pibake-password
exec sudo -S -p '' "$@"
