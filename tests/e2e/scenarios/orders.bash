# Cards and machines in other orders: late, again, one too many, with look-alike names. Sourced by cluster.
# shellcheck shell=bash disable=SC2154

scenario_workers() {
	prepare manager worker worker || return 1
	insert 1 2 3
	power 2 3
	check 'the workers wait for a manager' until_line 2 'swarm-join: step 3'
	power 1
	formed 1 1 2 3
}

scenario_fourth() {
	prepare manager worker worker || return 1
	cluster_file manager worker worker worker >"$CASE/pibake.toml"
	check 'the fourth card is baked alone' bake --node pi4 -o "$CASE"
	insert 1 2 3 4
	power 1 2 3
	formed 1 1 2 3
	power 4
	check 'four nodes are Ready' all_ready 1 4
}

# anew NUMBER: its card dies, another is baked and put in
anew() {
	bed kill "pi$1"
	check "pi$1 is baked again" bake --node "pi$1" -o "$CASE"
	flash "$1"
	power "$1"
	# the others have not noticed yet that it is gone
	sleep 90
}

scenario_again() {
	prepare manager worker worker || return 1
	insert 1 2 3
	power 1 2 3
	formed 1 1 2 3
	anew 2
	check 'a worker with a new card comes back' all_ready 1 3
	anew 1
	check 'and all of them, when the only manager has one' all_ready 1 3
	check 'with the stack' until_ok 300 replicas 1 3
}

leader() { engine "$1" node ls --format '{{.Hostname}} {{.ManagerStatus}}' | awk '$2 == "Leader" { print substr($1, 3) }'; }

scenario_managers() {
	prepare manager manager manager || return 1
	insert 1 2 3
	power 1 2 3
	formed 1 1 2 3
	local cluster first other=1
	cluster=$(cluster_id 1)
	first=$(leader 1)
	[[ $first != 1 ]] || other=2
	anew "$first"
	check "the leader, pi$first, comes back with a new card" all_ready "$other" 3
	check 'it is the same swarm' is "$(cluster_id "$first")" "$cluster"
	check 'all three are managers' is "$(engine "$other" node ls --filter role=manager --format x | wc -l)" 3
	check 'with the stack' until_ok 300 replicas "$other" 3
}

scenario_twin() {
	prepare manager worker || return 1
	insert 1 2 "twin=$(card 2)@192.168.0.2/16"
	power 1 2
	formed 1 1 2
	local id
	id=$(node_id 1 pi2)
	bed start twin
	check 'the twin asks to be let in' until_line_of twin 'swarm-join: step 3'
	sleep 180
	check 'the entry of the one that was first is still there' is "$(node_id 1 pi2)" "$id"
	check 'and no other' is "$(engine 1 node ls --format x | wc -l)" 2
	bed kill twin
	check 'without its twin it is Ready' all_ready 1 2
	check 'by the same entry' is "$(node_id 1 pi2)" "$id"
}

# pi1 is no other word for pi10
scenario_names() {
	prepare worker manager worker@10 || return 1
	insert 1 2 10
	power 1 2 10
	formed 2 1 2 10
	local id
	id=$(node_id 2 pi10)
	anew 1
	check 'pi1 comes back with a new card' all_ready 2 3
	check 'pi10 was left alone' is "$(node_id 2 pi10)" "$id"
}
