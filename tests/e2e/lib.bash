# Shared by the end-to-end scripts. Sourced, not run.
# shellcheck shell=bash

E2E=$(readlink -f "${BASH_SOURCE[0]%/*}")
PROJECT=$(readlink -f "$E2E/../..")
TESTBED=${PIBAKE_TESTBED:-$PROJECT/../shared/testbed}
FAILS=0
T0=$SECONDS

die() {
	printf '%s: %s\n' "${0##*/}" "$*" >&2
	exit 1
}

# need_testbed: nothing here works without it; say so and leave with 77, so that
# nobody takes a run that tested nothing for one that passed
need_testbed() {
	if [[ -x $TESTBED/make-image && -x $TESTBED/cluster ]]; then
		TESTBED=$(readlink -f "$TESTBED")
		# shellcheck source=/dev/null
		. "$TESTBED/lib.bash"
		return
	fi
	cat >&2 <<-NONE
		**********************************************************************
		NOT RUN: the end-to-end tests need the test bed, which is not at
		    $TESTBED
		Set PIBAKE_TESTBED to its directory. Nothing was tested.
		**********************************************************************
	NONE
	exit 77
}

ok() { printf 'ok    %4d s  %s\n' $((SECONDS - T0)) "$*"; }

failed() {
	FAILS=$((FAILS + 1))
	printf 'FAIL  %4d s  %s\n' $((SECONDS - T0)) "$*"
}

# check WHAT COMMAND...: WHAT holds when COMMAND succeeds; its output says why not
check() {
	local what=$1 out
	shift
	if out=$("$@" 2>&1); then
		ok "$what"
	else
		failed "$what"
		printf '%s\n' "${out:-(no output)}" | head -n 20 | sed 's/^/      /'
	fi
}

is() { [[ $1 == "$2" ]] || { printf 'got "%s", not "%s"\n' "$1" "$2" && return 1; }; }

# extract IMAGE START SIZE FILE: a partition out of an image, holes kept
extract() {
	rm -f "$4"
	dd if="$1" of="$4" bs=4M iflag=skip_bytes,count_bytes skip="$2" count="$3" conv=sparse status=none
	truncate -s "$3" "$4"
}

# card_parts IMAGE: $CASE/boot.img and $CASE/root.img out of a card
card_parts() {
	local table start size
	table=$(sfdisk -J "$1" | jq -r '.partitiontable.partitions[] | "\(.start * 512) \(.size * 512)"')
	read -r start size <<<"$(head -n 1 <<<"$table")"
	extract "$1" "$start" "$size" "$CASE/boot.img"
	read -r start size <<<"$(tail -n 1 <<<"$table")"
	extract "$1" "$start" "$size" "$CASE/root.img"
}

# journal_is_empty FILE: no mount needs to replay anything
journal_is_empty() {
	local features
	features=$(dumpe2fs -h "$1" 2>/dev/null | grep '^Filesystem features:') && [[ $features != *needs_recovery* ]]
}
