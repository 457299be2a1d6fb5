# Power, cables and clocks. Sourced by cluster.
# shellcheck shell=bash disable=SC2154

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

# A Pi wakes at the time that its card was baked: nothing in it keeps the time.
scenario_clocks() {
	local now days number=0 low high
	now=$(date +%s)
	describe manager worker worker
	for days in 180 7 0; do
		number=$((number + 1))
		check "pi$number is baked, $days days ago" bake_at $((now - days * 86400)) "pi$number"
		wakes_at "$number" $((now - days * 86400))
	done
	outfit || return 1
	insert 1 2 3
	power 1 2 3
	formed 1 1 2 3
	low=$(on 1 date +%s) high=$(on 3 date +%s)
	check 'the clocks agree' test $((high - low)) -lt 60 -a $((high - low)) -gt -60
	check "and on the manager's time" test $((now - low)) -gt $((179 * 86400))
	rm "$CASE"/wakes.*
}

bake_at() { SOURCE_DATE_EPOCH=$1 bake --node "$2" -o "$CASE"; }

# What each node's console says when a step begins. Step 3 of packages is for apt, which these cards do not use.
INSTALL_STEPS=('packages: step 1' 'packages: step 2' 'packages: step 4' 'packages: step 5' 'packages: step 6'
	'images: step 1' 'images: step 2' 'images: step 3')
MANAGER_STEPS=("${INSTALL_STEPS[@]}" 'swarm-join: step 2' 'swarm-join: step 4' 'swarm-join: step 5')
WORKER_STEPS=("${INSTALL_STEPS[@]}" 'swarm-join: step 2' 'swarm-join: step 3' 'swarm-join: step 4' 'swarm-join: step 5')

# power_cut NUMBER LINE: the power goes when its console says so, and comes back
power_cut() {
	until_line "$1" "$2" && bed kill "pi$1" && power "$1"
}

# Both nodes lose the power once on every fresh pair of cards, each at its own step.
scenario_cuts() {
	prepare manager worker || return 1
	local i
	for ((i = 0; i < ${#WORKER_STEPS[@]}; i++)); do
		local manager=${MANAGER_STEPS[i]:-${MANAGER_STEPS[-1]}} worker=${WORKER_STEPS[i]}
		bed down
		insert 1 2
		power 1 2
		power_cut 1 "$manager" >"$CASE/cut.1" 2>&1 &
		power_cut 2 "$worker" >"$CASE/cut.2" 2>&1 &
		wait
		check "cut: pi1 at $manager, pi2 at $worker" is "$(cat "$CASE"/cut.[12])" ''
		check 'both are Ready' all_ready 1 2
	done
}
