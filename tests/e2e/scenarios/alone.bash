# One node, a swarm of its own. Sourced by cluster.
# shellcheck shell=bash disable=SC2154

# Without TLS there is nothing of Docker's to talk to: only sshd and what the swarm itself needs.
scenario_alone() {
	TLS=false prepare manager || return 1
	insert 1
	power 1
	check 'it is a swarm of its own' until_ok "$LIMIT" alone_ready
	check 'it serves the published port' until_ok 600 serves 1
	check 'only SSH, the swarm and the stack answer' is "$(open_ports 192.168.0.1)" '22 2377 7946 8080'
}

# open_ports ADDRESS: those that anybody listens on
open_ports() {
	bed exec timeout 600 python3 -c '
import socket, sys
def answers(port):
    with socket.socket() as asking:
        asking.settimeout(10)
        return asking.connect_ex((sys.argv[1], port)) == 0
print(*filter(answers, range(1, 65536)))' "$1"
}

alone_ready() { is "$(on 1 "sudo -n docker node ls --format '{{.Hostname}} {{.Status}}'" 2>&1)" 'pi1 Ready'; }

# Docker from the image's own archive, which the node cannot reach at first.
scenario_apt() {
	local archive=192.168.255.254 node_waits='! systemctl --failed --no-legend | grep . && sudo -n grep "apt-get failed" /var/log/pibake.log'
	TLS=false INSTALL=apt describe manager
	printf '\n[[overlay]]\nname = "e2e-archive"\n' >>"$CASE/pibake.toml"
	mkdir -p "$CASE/overlays/e2e-archive/root/etc/apt/apt.conf.d"
	echo 'description = "the way to the archive"' >"$CASE/overlays/e2e-archive/overlay.toml"
	echo "Acquire::http::Proxy \"http://$archive:3142\";" >"$CASE/overlays/e2e-archive/root/etc/apt/apt.conf.d/50e2e"
	bake_all && outfit || return 1
	insert 1
	power 1
	check 'it asks its archive' until_line 1 'packages: step 3 of 6'
	check 'and waits for it, with nothing failed' until_ok 600 on 1 "$node_waits"
	"$TESTBED/cluster" --state "$CASE/cluster" exec "$E2E/way-out" "$archive" 3142 9</proc/self/ns/net >"$CASE/way-out.log" 2>&1 &
	local way_out=$!
	check 'it is a swarm of its own' until_ok "$LIMIT" alone_ready
	kill "$way_out"
	check 'it serves the published port' until_ok 600 serves 1
	check 'no unit failed, nothing is left to install' on 1 '! systemctl --failed --no-legend | grep . && ! ls /var/cache/pibake/debs/apt 2>/dev/null'
}
