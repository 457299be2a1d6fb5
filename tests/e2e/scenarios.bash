# What is tried with a swarm of baked cards. Sourced by cluster.
# shellcheck shell=bash disable=SC2154

# prepare ROLE...: a new cluster of nodes with these roles, baked
prepare() {
	rm -rf "$CASE"
	mkdir -p "$CASE/docker-config"
	stack_file >"$CASE/web.yml"
	cluster_file "$@" >"$CASE/pibake.toml"
	if ! bake --all -o "$CASE" >"$CASE/bake.log" 2>&1; then
		failed "bake: $(tail -n 5 "$CASE/bake.log")"
		return 1
	fi
	ok "$# cards baked, of $(($(stat -c %s "$CASE/pi1.img") >> 20)) MiB"
	"$PIBAKE" keys export "$CASE/client" -c "$CASE/pibake.toml" >"$CASE/keys.log" 2>&1 ||
		{ failed "keys export: $(tail -n 3 "$CASE/keys.log")" && return 1; }
	ssh_config >"$CASE/ssh_config"
}

# formed MANAGER COUNT: all Ready, the network and the stack there, every node serving
formed() {
	local n
	check "$2 nodes are Ready" all_ready "$1" "$2" || return
	check 'the overlay network is there' until_ok 600 engine "$1" network inspect mesh
	check 'the stack runs' until_ok 600 replicas "$1" "$2"
	for ((n = 1; n <= $2; n++)); do check "pi$n serves the published port" until_ok 120 serves "$n"; done
}

# --- form ------------------------------------------------------------------------

scenario_form() {
	prepare manager worker worker || return 1
	insert 1 2 3
	power 1 2 3
	check 'they answer on port 22' bed wait "$LIMIT"
	local ssh_after
	ssh_after=$(sort -n "$CASE"/cluster/nodes/*/up-seconds | tail -n 1)
	formed 1 3
	ok "all Ready $(cat "$CASE/took") s after SSH, which took $ssh_after s"
	secret_is_there
	only_with_certificate
	labelled
	check 'pibake check --all agrees' bed exec env HOME="$CASE" "$PIBAKE" check -c "$CASE/pibake.toml" --all --ssh-config "$CASE/ssh_config"
	figures
	no_secret_around
}

secret_is_there() {
	check 'the stack has its secret' is "$(bed exec curl -fsS -m 10 http://192.168.0.1:8080/secret.html)" "$GREETING"
	check 'staged secrets are gone from the manager' until_ok 120 on 1 'test -z "$(sudo -n ls /etc/pibake/swarm/secrets 2>/dev/null)"'
}

# rejected CERT KEY: no dockerd takes these
rejected() {
	local n
	for n in 1 2 3; do
		! bed exec timeout 30 "$DOCKER" --host "tcp://192.168.0.$n:2376" --tlsverify --tlscacert "$CASE/client/ca.pem" \
			--tlscert "$1" --tlskey "$2" version >"$CASE/rejected.log" 2>&1 || { echo "pi$n answered" && return 1; }
		grep -qiE 'certificate|tls' "$CASE/rejected.log" || { cat "$CASE/rejected.log" && return 1; }
	done
}

bare() {
	! bed exec timeout 30 curl -sS -m 10 --cacert "$CASE/client/ca.pem" https://192.168.0.1:2376/version >"$CASE/bare.log" 2>&1 &&
		! bed exec timeout 30 curl -sS -m 10 http://192.168.0.1:2375/version >>"$CASE/bare.log" 2>&1
}

only_with_certificate() {
	local state=$CASE/.pibake/e2e
	check 'without a certificate dockerd answers nobody' bare
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj /CN=other \
		-addext extendedKeyUsage=clientAuth -keyout "$CASE/other.key" -out "$CASE/other.pem" 2>/dev/null
	check "another CA's certificate is refused" rejected "$CASE/other.pem" "$CASE/other.key"
	check "a node's server key is refused as a client's" rejected "$state/tls/nodes/pi2/cert.pem" "$state/tls/nodes/pi2/key.pem"
}

labelled() {
	local n
	for n in 1 2 3; do
		check "pi$n has its label" is "$(engine 1 node inspect "pi$n" --format '{{index .Spec.Labels "number"}}' 2>&1)" "$n"
	done
}

figures() {
	local free
	free=$(on 1 'df --output=avail -BM / | tail -n 1 | tr -dc 0-9; echo; sudo -n ls /var/cache/pibake/images /var/cache/pibake/debs/docker 2>/dev/null')
	ok "the image grew from $(($(stat -c %s "$BASE") >> 20)) to $(($(stat -c %s "$CASE/pi1.img") >> 20)) MiB; free on pi1, MiB, and what is staged still: ${free//$'\n'/ }"
}

# no_secret_around: neither the stack's secret nor a token is in any log, journal or process list
no_secret_around() {
	local n
	for n in 1 2 3; do
		check "pi$n: no token or secret in logs, journal, process list" on "$n" \
			"! sudo -n sh -c 'journalctl -o cat --no-pager; cat /var/log/*.log /var/log/pibake.log; ps axeww' 2>/dev/null | grep -aE 'SWMTKN-1-[0-9a-z]|$GREETING' | grep -v grep"
	done
	check 'nor in what pibake printed' bash -c "! grep -rqE 'SWMTKN-1|$GREETING' '$CASE'/*.log"
}

# --- orders and faults -----------------------------------------------------------

scenario_workers() {
	prepare manager worker worker || return 1
	insert 1 2 3
	power 2 3
	check 'the workers wait for a manager' until_line 2 'swarm-join: step 3'
	power 1
	formed 1 3
}

scenario_fourth() {
	prepare manager worker worker || return 1
	cluster_file manager worker worker worker >"$CASE/pibake.toml"
	check 'the fourth card is baked alone' bake --node pi4 -o "$CASE"
	insert 1 2 3 4
	power 1 2 3
	formed 1 3
	power 4
	check 'four nodes are Ready' all_ready 1 4
}

scenario_again() {
	prepare manager worker worker || return 1
	insert 1 2 3
	power 1 2 3
	formed 1 3
	bed kill pi2
	flash 2
	power 2
	sleep 90
	check 'a worker with a new card comes back' all_ready 1 3
	bed kill pi1
	flash 1
	power 1
	sleep 90
	check 'and all of them, when the only manager has one' all_ready 1 3
	check 'with the stack' until_ok 300 replicas 1 3
}

scenario_outage() {
	prepare manager worker worker || return 1
	insert 1 2 3
	power 1 2 3
	formed 1 3
	local n
	for n in 1 2 3; do bed kill "pi$n"; done
	power 1 2 3
	sleep 30
	formed 1 3
}

scenario_cable() {
	prepare manager worker worker || return 1
	insert 1 2 3
	power 1 2 3
	check 'a worker begins to join' until_line 2 'swarm-join: step 3'
	bed link pi2 down
	sleep 120
	bed link pi2 up
	formed 1 3
}

scenario_clocks() {
	prepare manager worker worker || return 1
	# cards that lay about: baked half a year ago, and one a week
	local now
	now=$(date +%s)
	SOURCE_DATE_EPOCH=$((now - 7 * 86400)) bake --node pi2 -o "$CASE" >>"$CASE/bake.log" 2>&1 || return 1
	SOURCE_DATE_EPOCH=$((now + 180 * 86400)) bake --node pi3 -o "$CASE" >>"$CASE/bake.log" 2>&1 || return 1
	insert 1 2 3
	power 1 2 3
	formed 1 3
	check 'the clocks agree' bash -c "[ \$(( $(on 2 date +%s) - $(on 3 date +%s) )) -lt 60 ] && [ \$(( $(on 3 date +%s) - $(on 2 date +%s) )) -lt 60 ]"
}

# steps of the scripts that a first boot goes through, as the console shows them
CUT_STEPS=('packages: step 1' 'packages: step 2' 'packages: step 3' 'images: step 1' 'images: step 2'
	'swarm-join: step 2' 'swarm-join: step 3' 'swarm-join: step 4' 'swarm-join: step 5')

scenario_cuts() {
	prepare manager worker || return 1
	local n line
	for n in 1 2; do
		for line in "${CUT_STEPS[@]}"; do
			bed down
			insert 1 2
			power 1 2
			check "pi$n gets to $line" until_line "$n" "$line"
			bed kill "pi$n"
			power "$n"
			check 'and all are Ready after the cut there' all_ready 1 2
		done
	done
}
