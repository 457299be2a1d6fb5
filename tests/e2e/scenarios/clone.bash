# A worker's card, captured: made another node's beside the one it is from, and given back to that one when its own
# has died. Sourced by cluster.
# shellcheck shell=bash disable=SC2154

# captured NUMBER FILE: its card as it is when it is switched off properly; then it is switched on again
captured() {
	# on a busy machine it takes longer than the bed waits
	bed stop "pi$1" || until_ok 600 off "$1" || return 1
	bed card "pi$1" "$2"
	power "$1"
}

off() { bed status | grep -q "^pi$1 .*off"; }

# restore NUMBER FILE: a new card for its machine, which is off, from a captured one
restore() {
	rm -f "$(card "$1")"
	truncate -s "$SIZE" "$(card "$1")"
	"$PIBAKE" restore -c "$CASE/pibake.toml" -y --node "pi$1" "$2" "$(card "$1")" </dev/null 2>&1 | tee "$CASE/restore-$1.log"
	flash "$1"
	return "${PIPESTATUS[0]}"
}

# unique NUMBER: what no other machine may have too, a line each
unique() {
	on "$1" 'cat /etc/machine-id; cat /etc/ssh/ssh_host_*_key.pub | cut -d" " -f2; hostname; hostname -I | tr " " "\n"
		sudo -n docker info --format "{{.ID}}
{{.Swarm.NodeID}}"; sudo -n cat /etc/pibake/swarm/join_key /etc/docker/server-key.pem | grep -v -- -----; findmnt -no PARTUUID /' |
		grep -vE '^(172|10)\.' | sort -u
}

# nothing_shared A B: and each of them said what it has
nothing_shared() {
	unique "$1" >"$CASE/unique.$1" && unique "$2" >"$CASE/unique.$2" || return 1
	[[ $(wc -l <"$CASE/unique.$1") -ge 12 && $(wc -l <"$CASE/unique.$2") -ge 12 ]] || { wc -l "$CASE"/unique.* && return 1; }
	! comm -12 "$CASE/unique.$1" "$CASE/unique.$2" | grep .
}

# foreign NUMBER ID: containers there that a swarm ran on the node of this id
foreign() { on "$1" "sudo -n docker ps -aq --filter label=com.docker.swarm.node.id=$2"; }

scenario_clone() {
	prepare manager worker || return 1
	# something to put into the third machine until it has a card of its own
	cp --sparse=always "$(card 2)" "$(card 3)"
	insert 1 2 3
	power 1 2
	formed 1 1 2
	local id image=$CASE/captured.img
	id=$(node_id 1 pi2)
	check "pi2's card is captured" captured 2 "$image"
	check 'pi2 comes back' all_ready 1 2

	cluster_file manager worker worker >"$CASE/pibake.toml"
	check "pi2's card becomes pi3's" restore 3 "$image"
	power 3
	check 'both are Ready, and pi1' all_ready 1 3
	ok "pi3 was Ready after $(cat "$CASE/took") s"
	check 'pi2 is the member it was' is "$(node_id 1 pi2)" "$id"
	check 'pi2 and pi3 have nothing in common that is one machine'"'"'s' nothing_shared 2 3
	check 'nothing of what ran on pi2 is left on pi3' is "$(foreign 3 "$id")" ''
	check 'pi3 serves the published port' until_ok 120 serves 3

	bed kill pi2
	check "pi2's card is made anew from its own capture" restore 2 "$image"
	power 2
	check 'all three are Ready' all_ready 1 3
	check 'pi2 is the same member' is "$(node_id 1 pi2)" "$id"
	check 'pi2 serves the published port' until_ok 120 serves 2
	check 'there are no other entries' is "$(engine 1 node ls --format x | wc -l)" 3
	bed kill pi2
	# the others have not noticed yet that it is gone
	sleep 90
	check 'its capture is given back after a hundred days' at "$(($(date +%s) + 100 * 86400))" restore 2 "$image"
	check 'when the swarm takes its certificate no more' grep -F 'its certificate of the swarm ended at' "$CASE/restore-2.log"
	power 2
	check 'it joins anew' all_ready 1 3
	check 'as another member' differs "$(node_id 1 pi2)" "$id"
	check 'nothing of what ran there before is left' is "$(foreign 2 "$id")" ''
	check 'pi2 serves the published port again' until_ok 120 serves 2
	check 'there are three entries' is "$(engine 1 node ls --format x | wc -l)" 3
}

# at TIME COMMAND...: as if it were then
at() { SOURCE_DATE_EPOCH=$1 "${@:2}"; }

# differs A B: both are there
differs() { [[ -n $1 && -n $2 && $1 != "$2" ]] || { printf '"%s" and "%s"\n' "$1" "$2" && return 1; }; }
