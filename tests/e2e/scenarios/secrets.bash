# Where secrets may be, and where they may not. Sourced by cluster.
# shellcheck shell=bash disable=SC2154

# watch_processes: what every process list shows until stop_watching
watch_processes() {
	(while :; do ps axww -o args= && sleep 0.05; done) >"$CASE/processes" 2>/dev/null &
	WATCHER=$!
}

stop_watching() {
	kill "$WATCHER"
	wait "$WATCHER" 2>/dev/null || true
}

# key_lines FILE...: the lines of private keys that tell them. The first line of an OpenSSH key is the same in
# all of them, and some lines hold nothing but public key, as it stands in known_hosts too.
key_lines() {
	local file line
	for file; do
		grep -v -e '^-' -e '^b3BlbnNzaC1rZXk' "$file" | awk 'length >= 32' | while IFS= read -r line; do
			ssh-keygen -y -f "$file" 2>/dev/null | grep -qF -- "$line" || echo "$line"
		done
	done
}

# all_secrets: the stack's secret, the seed, and every private key of the state
all_secrets() {
	local keys
	mapfile -t keys < <(grep -rlF 'PRIVATE KEY' "$CASE/.pibake")
	echo "$GREETING"
	cat "$CASE"/.pibake/*/seed
	key_lines "${keys[@]}"
}

# no_secret_in_papers: none of them is in what a bake and a plan print, note down or show in the process list
no_secret_in_papers() {
	local papers=$CASE/papers
	mkdir "$papers"
	watch_processes
	check 'baked again, told as JSON' bake_as_json "$papers"
	stop_watching
	rm "$papers"/*.img
	"$PIBAKE" plan -c "$CASE/pibake.toml" --all >"$papers/plan" 2>&1
	"$PIBAKE" plan -c "$CASE/pibake.toml" --all --json >"$papers/plan.json" 2>&1
	"$PIBAKE" keys show -c "$CASE/pibake.toml" >"$papers/keys" 2>&1
	cp "$CASE"/.pibake/*/bakes/*.json "$CASE"/*.log "$papers/"
	mv "$CASE/processes" "$papers/"
	all_secrets >"$CASE/all-secrets"
	check "$(wc -l <"$CASE/all-secrets") lines of secrets are known" test "$(wc -l <"$CASE/all-secrets")" -ge 30
	check 'the process list was watched' grep -q -- '--json -o' "$papers/processes"
	check "none is in $(find "$papers" -type f | wc -l) papers of plan, bake and state" none_of "$CASE/all-secrets" "$papers"
}

bake_as_json() { bake --all --json -o "$1" >"$1/bake.json" 2>"$1/bake.err"; }

none_of() { ! grep -rlF -f "$1" "$2"; }

# private_keys_on NUMBER: the files that hold one, with mode and owner
private_keys_on() {
	on "$1" "sudo -n find / -xdev -type f -size -64k -not -path '/var/lib/docker/overlay2/*' -exec grep -slE '^-----BEGIN [A-Z ]*PRIVATE KEY' {} + |
		sort | sudo -n xargs stat -c '%a %U:%G %n'"
}

# private_keys: each is where it has to be, for root alone; and for the operator's eyes in the state
private_keys() {
	local n expected='400 root:root /etc/docker/server-key.pem
600 root:root /etc/pibake/swarm/join_key
600 root:root /etc/ssh/ssh_host_ecdsa_key
600 root:root /etc/ssh/ssh_host_ed25519_key
600 root:root /var/lib/docker/swarm/certificates/swarm-node.key'
	for n in 1 2 3; do check "pi$n: five private keys, each for root alone" is "$(private_keys_on "$n")" "$expected"; done
	check 'the authorities are on no card' not_on_cards
	check 'the state is for its owner alone' is "$(find "$CASE/.pibake" \( -type f -not -perm 600 -o -type d -not -perm 700 \) -print)" ''
	check 'so is the exported client key' is "$(stat -c %a "$CASE/client/key.pem")" 600
}

not_on_cards() {
	key_lines "$CASE"/.pibake/*/{tls/ca-key.pem,join/ca} >"$CASE/authorities"
	[[ -s $CASE/authorities ]] && ! grep -laF -f "$CASE/authorities" "$CASE"/pi?.img
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
