# One node, a swarm of its own. Sourced by cluster.
# shellcheck shell=bash disable=SC2154

# Without TLS there is nothing of Docker's to talk to: only sshd and what the swarm itself needs.
scenario_alone() {
	local port open=
	TLS=false prepare manager || return 1
	insert 1
	power 1
	check 'it is a swarm of its own' until_ok "$LIMIT" alone_ready
	check 'it serves the published port' until_ok 600 serves 1
	for port in $(seq 1 9000); do
		if bed exec timeout 2 bash -c "exec 3<>/dev/tcp/192.168.0.1/$port" 2>/dev/null; then open+="$port "; fi
	done
	check 'only SSH, the swarm and the stack answer' is "$open" '22 2377 7946 8080 '
}

alone_ready() { is "$(on 1 "sudo -n docker node ls --format '{{.Hostname}} {{.Status}}'" 2>&1)" 'pi1 Ready'; }
