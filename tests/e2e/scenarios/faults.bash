# Power, cables and clocks. Sourced by cluster.
# shellcheck shell=bash disable=SC2154,SC2034

scenario_outage() {
	prepare manager worker worker || return 1
	insert 1 2 3
	power 1 2 3
	formed 1 1 2 3
	local n
	for n in 1 2 3; do bed kill "pi$n"; done
	power 1 2 3
	sleep 30
	formed 1 1 2 3
}

scenario_cable() {
	prepare manager worker worker || return 1
	insert 1 2 3
	power 1 2 3
	check 'a worker begins to join' until_line 2 'swarm-join: step 3'
	bed link pi2 down
	sleep 120
	bed link pi2 up
	formed 1 1 2 3
}

# A Pi wakes at the time that its card was baked: nothing in it keeps the time. The manager's is a week ahead of one
# worker and half a year behind the other. (Before today nothing can be baked of an image that was made today.)
scenario_clocks() {
	local now days number=0 low high
	now=$(date +%s)
	describe manager worker worker
	for days in 7 0 180; do
		number=$((number + 1))
		check "pi$number is baked as if in $days days" bake_at $((now + days * 86400)) "pi$number"
		wakes_at "$number" $((now + days * 86400))
	done
	outfit || return 1
	insert 1 2 3
	power 1 2 3
	formed 1 1 2 3
	low=$(on 2 date +%s) high=$(on 3 date +%s)
	check 'the clocks agree' test $((high - low)) -lt 60 -a $((high - low)) -gt -60
	check "and on the manager's time" test $((low - now)) -gt $((6 * 86400)) -a $((low - now)) -lt $((8 * 86400))
	rm "$CASE"/wakes.*
}

bake_at() { SOURCE_DATE_EPOCH=$1 bake --node "$2" -o "$CASE"; }

# Where each of three fresh pairs of cards loses the power, in turn: together, at every numbered step that such cards
# reach. (Step 3 of packages is for apt, step 3 of swarm-join for nodes that have a manager to ask.) Each step comes
# so long after the one before that a cut which is late has not passed it.
UNJOINED='swarm-join: step 2 of 5: in no swarm'
MANAGER_1=('swarm-join: step 1' 'packages: step 4' 'images: step 1' 'swarm-join: step 4' 'swarm-once: step '{1,4,7})
MANAGER_2=('packages: step '{1,5} 'images: step '{2,3} 'swarm-once: step '{2,5,8})
MANAGER_3=('packages: step '{2,6} "$UNJOINED" 'swarm-join: step 5' 'swarm-once: step '{3,6})
WORKER_1=('swarm-join: step 1' 'packages: step 4' 'images: step 1' 'swarm-join: step '{3,5})
WORKER_2=('packages: step '{1,5} 'images: step '{2,3})
WORKER_3=('packages: step '{2,6} "$UNJOINED" 'swarm-join: step 4')

# lose_power NUMBER STEP...: at each of these steps, one start after the other
lose_power() {
	local n=$1 log=$CASE/cluster/nodes/pi$1/console.log step
	shift
	for step; do
		# the next step counts from the next start on
		until_line "$n" "$step" || return
		bed kill "pi$n"
		mv "$log" "$log.${step//[^a-z0-9]/-}"
		power "$n"
	done
}

scenario_cuts() {
	prepare manager worker || return 1
	local pair before=$FAILS
	for pair in 1 2 3; do
		local -n manager=MANAGER_$pair worker=WORKER_$pair
		bed down
		insert 1 2
		power 1 2
		(lose_power 1 "${manager[@]}" && echo all) >"$CASE/cuts.1" 2>&1 &
		(lose_power 2 "${worker[@]}" && echo all) >"$CASE/cuts.2" 2>&1 &
		wait
		check "pi1 lost power at$(printf ' (%s)' "${manager[@]}")" is "$(cat "$CASE/cuts.1")" all
		check "pi2 lost power at$(printf ' (%s)' "${worker[@]}")" is "$(cat "$CASE/cuts.2")" all
		formed 1 1 2
		secret_is_there
		# what was said on these cards is kept, not what the next ones say
		((FAILS == before)) || return 1
	done
}
