# Boots $CASE/pi1.img in the test bed and asks the node what it is. Sourced by run, which
# sets CASE, WORK, SIZE, LIMIT, BAKE_TIME, DNS1, DNS2, PIBAKE.
# shellcheck shell=bash disable=SC2154

cluster() { "$TESTBED/cluster" --state "$CASE/cluster" "$@"; }

cluster_down() { [[ -z ${CASE:-} || ! -d $CASE/cluster ]] || cluster down || true; }

# power_on [TIMEOUT]: a fresh card, with the network around it
power_on() {
	cluster up --mem 512 --cpus 2 --size "$SIZE" --host 192.168.255.254/16 --also 192.168.1.100/16 \
		--timeout "${1:-$LIMIT}" "pi1=$CASE/pi1.img@192.168.0.1/16"
}

# on USER COMMAND: over SSH, only if the host key is the one in the state
on() {
	local user=$1
	shift
	cluster exec ssh -o StrictHostKeyChecking=yes -o UserKnownHostsFile="$(known_hosts)" -o GlobalKnownHostsFile=/dev/null \
		-o IdentitiesOnly=yes -i "$WORK/key" -o BatchMode=yes -o ConnectTimeout=15 -o ServerAliveInterval=15 \
		-o LogLevel=ERROR "$user@192.168.0.1" "$@"
}

known_hosts() { find "$CASE/.pibake/e2e" -name known_hosts; }

# ask FILE: what the node says it is
ask() { on baker 'sudo -n sh -s' <"$E2E/node-facts.sh" >"$1"; }

# value FILE KEY
value() { sed -n "s|^$2=||p" "$1"; }

# says FILE WANTED...: each WANTED is KEY=VALUE (or KEY=VALUE|VALUE) or KEY~PART
says() {
	local file=$1 wanted key got bad=0
	shift
	for wanted; do
		key=${wanted%%[=~]*}
		got=$(value "$file" "$key")
		case $wanted in
		"$key="*) [[ "|${wanted#*=}|" == *"|$got|"* ]] && continue ;;
		*) [[ $got == *"${wanted#*~}"* ]] && continue ;;
		esac
		printf '%s, but the node says "%s"\n' "$wanted" "$got"
		bad=1
	done
	return "$bad"
}

# grown FILE: partition and filesystem end less than 24 MiB before the card does
grown() {
	local disk start part fs
	disk=$(value "$1" disk.sectors) start=$(value "$1" root.start)
	part=$(value "$1" root.sectors) fs=$(value "$1" root.fs)
	((disk > 3900000)) || { echo "the card has $disk sectors" && return 1; }
	((disk - start - part < 49152 && part - fs < 49152)) ||
		{ echo "of $disk sectors, the partition has $part from $start, the filesystem $fs" && return 1; }
}

# later FILE: the clock is past the bake, which is in the future
later() { (($(value "$1" now.time) >= BAKE_TIME)) || { echo "$(value "$1" now.time) < $BAKE_TIME" && return 1; }; }

# unhooked FILE: nothing of the vendor's first boot is left on the command line
unhooked() { [[ ! "$(value "$1" cmdline) " =~ (init=| resize ) ]] || { value "$1" cmdline && return 1; }; }

# agrees: `pibake check` finds the node as it was baked, and tells what it found
agrees() {
	printf 'Host *\n  IdentityFile %s\n  IdentitiesOnly yes\n' "$WORK/key" >"$CASE/ssh_config"
	cluster exec "$PIBAKE" check -c "$CASE/pibake.toml" --node pi1 --ssh-config "$CASE/ssh_config" -v
}

# tells TEXT: `pibake check` does not agree, for this reason; columns are one blank apart
tells() {
	local said
	! said=$(agrees 2>&1) || { echo 'it agrees' && return 1; }
	[[ $(tr -s ' ' <<<"$said") == *"$1"* ]] || { printf '%s\n' "$said" && return 1; }
}

# no_root: root is not let in, with a key that others are
no_root() { ! on root true; }

# same_state FILE FILE: everything but what differs from start to start
same_state() { diff <(grep -v '^now\.' "$1") <(grep -v '^now\.' "$2"); }

# look FILE FIRST_BOOT: the checks on what a node said
look() {
	local f=$1
	check 'nothing waits: no job is left, no dialog runs' says "$f" jobs=none prompts=
	check 'no unit failed' says "$f" failed= running=running
	check 'hostname and hostname -i' says "$f" hostname=pi1 hostname-i=192.168.0.1
	check 'address and route' says "$f" 'address=eth0 192.168.0.1/16' 'route=192.168.1.100 eth0'
	check 'the other node by name' says "$f" lookup.peer=192.168.0.2
	check 'DNS' says "$f" "resolv.conf~nameserver $DNS1;nameserver $DNS2" 'resolv.conf~search lan'
	check 'resolv.conf is a file, immutable' says "$f" 'resolv.type=regular file -rw-r--r-- root:root' resolv.flags~i resolv.write=refused
	check 'the root filesystem fills the card' grown "$f"
	check 'no error on the root filesystem' says "$f" 'root.errors=Filesystem state:         clean'
	check 'uid 1000 is baker, pi is gone' says "$f" user=baker:/home/baker user.pi=none
	check 'no password opens baker or root' says "$f" 'user.password=!|*' 'root.password=!|*'
	check 'sudo: valid rules, the stock one gone' says "$f" sudoers.valid= sudoers.stock=
	check 'sshd: no root login, no passwords' says "$f" 'sshd~passwordauthentication no' 'sshd~permitrootlogin no'
	check 'time zone' says "$f" timezone=Europe/Berlin
	check 'the clock is past the bake' later "$f"
	check 'manifest, and a note on the FAT' says "$f" 'manifest~600 root:root' node.txt~pi1 node.txt~192.168.0.1
	if [[ $2 == pibake ]]; then
		check 'the hook is off the command line' unhooked "$f"
		check 'the first boot is in the log, once' says "$f" log.done=1
	fi
}

# clean_card: power the node off; its filesystem is clean afterwards
clean_card() {
	local card=$CASE/after.img
	cluster stop pi1 || return 1
	cluster card pi1 "$card"
	read_mbr "$card"
	extract "$card" "$P2_START" "$P2_SIZE" "$card.ext4"
	rm -f "$card"
	e2fsck -fn "$card.ext4"
	local status=$?
	rm -f "$card.ext4"
	return "$status"
}

# boot_and_look FIRST_BOOT: the first boot, then another start
boot_and_look() {
	cluster_down
	if ! power_on >"$CASE/up.log" 2>&1; then
		failed "no SSH after $LIMIT s: $(tail -n 8 "$CASE/up.log")"
		cluster_down
		return 1
	fi
	BOOT_SECONDS=$(cat "$CASE/cluster/nodes/pi1/up-seconds")
	ok "port 22 answers after $BOOT_SECONDS s"
	check 'SSH: the pinned host key, the given user key' on baker true
	check 'SSH: the second account' on jenkins true
	check 'SSH: no login as root' no_root
	if ! ask "$CASE/first.facts"; then
		failed 'sudo does not answer'
		cluster_down
		return 1
	fi
	look "$CASE/first.facts" "$1"
	check 'pibake check agrees' agrees
	on baker 'sudo -n chattr -i /etc/resolv.conf' || true
	check 'and tells of a flag that is gone' tells 'immutable flag set not set'
	on baker 'sudo -n chattr +i /etc/resolv.conf' || true
	check 'the filesystem is clean when it is off' clean_card
	cluster start pi1
	check 'it starts again' cluster wait "$LIMIT"
	ask "$CASE/second.facts" || true
	check 'and is the same' same_state "$CASE/first.facts" "$CASE/second.facts"
	cp "$CASE/cluster/nodes/pi1/console.log" "$CASE/console.log"
	cluster_down
}

# --- power cuts --------------------------------------------------------------------

# Moments of the first boot: a step of the first-boot unit as its line shows on the
# console, and so many hundredths of a second later; or a share of the time to SSH.
STEP_MOMENTS=('step 3+5' 'step 1+5' 'step 2+5' 'step 3+40' 'done+0')

# moments N: the first of the list above and shares of the time, so many
moments() {
	local i steps=$(($1 < 5 ? ($1 + 1) / 2 : 5))
	printf '%s\n' "${STEP_MOMENTS[@]:0:steps}"
	for ((i = 1; i <= $1 - steps; i++)); do echo "$((i * 100 / ($1 - steps + 1)))%"; done
}

# wait_moment MOMENT: until it has come; the machine has just been switched on
wait_moment() {
	local log=$CASE/cluster/nodes/pi1/console.log end=$((SECONDS + LIMIT))
	case $1 in
	*%) sleep "$(awk -v t="$BOOT_SECONDS" -v p="${1%\%}" 'BEGIN { print t * p / 100 }')" ;;
	*)
		until grep -q "first-boot: ${1%+*}" "$log" 2>/dev/null; do
			((SECONDS < end)) || { echo "never came: $1" && return 1; }
			sleep 0.02
		done
		sleep "$(awk -v h="${1#*+}" 'BEGIN { print h / 100 }')"
		;;
	esac
}

# cut_at MOMENT: a fresh card, the power cut then, and what it is after the next start
cut_at() {
	cluster_down
	power_on 0 && wait_moment "$1" || return 1
	cluster kill pi1
	grep -c 'first-boot:' "$CASE/cluster/nodes/pi1/console.log" >"$CASE/cut.lines" || true
	cluster start pi1 && cluster wait "$LIMIT" && ask "$CASE/cut.facts"
}

# same_but_log: as an uncut card after its first boot. A card that was cut before or
# after the log's line went out has that line missing or twice.
same_but_log() {
	diff <(grep -Ev '^(now\.|log\.done=)' "$CASE/first.facts") <(grep -Ev '^(now\.|log\.done=)' "$CASE/cut.facts")
}

# power_cuts N
power_cuts() {
	local moment
	while read -r moment; do
		[[ -n $moment ]] || continue
		if ! cut_at "$moment" >"$CASE/cut.log" 2>&1; then
			failed "power cut at $moment: the node does not come back: $(tail -n 8 "$CASE/cut.log")"
			continue
		fi
		check "power cut at $moment ($(cat "$CASE/cut.lines") steps begun): the same node after all" same_but_log
		check 'and a clean filesystem' clean_card
	done < <( (($1 == 0)) || moments "$1")
	cluster_down
}
