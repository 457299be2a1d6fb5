# The swarm that forms by itself, and what may be asked of it. Sourced by cluster.
# shellcheck shell=bash disable=SC2154

scenario_form() {
	prepare manager worker worker || return 1
	insert 1 2 3
	power 1 2 3
	check 'they answer on port 22' bed wait "$LIMIT"
	local ssh_after
	ssh_after=$(sort -n "$CASE"/cluster/nodes/*/up-seconds | tail -n 1)
	formed 1 1 2 3
	ok "all Ready $(cat "$CASE/took") s after SSH, which took $ssh_after s"
	secret_is_there
	only_with_certificate
	labelled
	check 'pibake check --all agrees' bed exec env HOME="$CASE" "$PIBAKE" check -c "$CASE/pibake.toml" --all --ssh-config "$CASE/ssh_config"
	figures
	private_keys
	no_secret_around
	no_secret_in_papers
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
