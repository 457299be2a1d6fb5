#!/bin/sh
# What a running node is, one KEY=VALUE a line. `pibake check` sends this to `sh -s`,
# as root where sudo asks nothing. It changes nothing, and neither asks for nor says
# anything secret. What cannot be found out is left out; the last line is end=1.
set -u
export LC_ALL=C PATH=/usr/sbin:/usr/bin:/sbin:/bin
MANIFEST=/usr/share/pibake/manifest.json
STAGED=/var/cache/pibake/debs/list
IMAGES=/var/cache/pibake/images
JOINED=/var/lib/pibake/swarm/cluster_id

# fact KEY VALUE: one line, if there is a value
fact() {
	[ -z "$2" ] || printf '%s=%s\n' "$1" "$2"
}

# each KEY: a line for every line of the input
each() {
	sed "s|^|$1=|"
}

# ask COMMAND...: dockerd may be there and not answer; on a small board that is busy its
# client alone takes many seconds to start
ask() {
	timeout 90 "$@" 2>/dev/null
}

# manifest KEY: a text of its top level, which pibake writes two blanks deep
manifest() {
	sed -n "s|^  \"$1\": \"\([^\"]*\)\",*\$|\1|p" "$MANIFEST" 2>/dev/null
}

identity() {
	fact uid "$(id -u)"
	fact hostname "$(cat /proc/sys/kernel/hostname)"
	# The id itself is nobody's business (machine-id(5)); whether two nodes share one is
	if grep -Eqx '[0-9a-f]{32}' /etc/machine-id; then
		fact machine "$(sha256sum </etc/machine-id | cut -c1-16)"
	fi
	ip -4 -o addr show scope global | awk '{ print $2 " " $4 }' | each address
	for key in cluster node bake_time plan; do
		fact "baked.$key" "$(manifest $key)"
	done
}

dns() {
	if [ -L /etc/resolv.conf ]; then
		fact resolv.kind link
	elif [ -f /etc/resolv.conf ]; then
		fact resolv.kind file
	else
		fact resolv.kind missing
	fi
	fact resolv.immutable "$(lsattr -d /etc/resolv.conf 2>/dev/null | awk '{ print ($1 ~ /i/) ? "yes" : "no" }')"
	awk '$1 == "nameserver" { print $2 }' /etc/resolv.conf | each nameserver
}

system() {
	fact now "$(date +%s)"
	fact disk "$(df -Pk / | awk 'NR == 2 { print $2 " " $4 }')"
	if failed=$(systemctl --failed --no-legend --plain 2>/dev/null); then
		fact units asked
		printf '%s\n' "$failed" | awk 'NF { print $1 }' | each failed
	fi
	tail -n 5 /var/log/pibake.log 2>/dev/null | each log
}

# Every staged package is installed, at its version or at a newer one that came since, or
# is told. Most are at their version: dpkg is asked about the others alone.
packages() {
	[ -r "$STAGED" ] || return 0
	fact staged "$(wc -l <"$STAGED")"
	{
		# shellcheck disable=SC2016 # the format is dpkg-query's
		dpkg-query -W -f='have ${Package} ${Version} ${db:Status-Status}\n' 2>/dev/null
		sed 's|^|want |' "$STAGED"
	} | awk '$1 == "have" && $4 == "installed" { have[$2] = $3 }
		$1 == "want" && have[$2] != $3 { print $2, $3, have[$2] }' |
		while read -r name want have; do
			[ -n "$have" ] && dpkg --compare-versions "$have" ge "$want" || echo "$name $want"
		done | each missing
}

docker_engine() {
	if command -v dockerd >/dev/null; then fact docker.installed yes; else fact docker.installed no; fi
	active=$(systemctl is-active docker.service 2>/dev/null)
	fact docker.active "$active"
	# Docker's two TCP ports in the kernel's table, listening (0A)
	for port in 2375 2376; do
		cat /proc/net/tcp /proc/net/tcp6 2>/dev/null | awk -v "port=:$(printf '%04X' $port)" \
			'$4 == "0A" && substr($2, length($2) - 4) == port { print "yes"; exit }' |
			sed "s|.*|docker.tcp=$port|"
	done
	if [ -d "$IMAGES" ]; then
		find "$IMAGES" -mindepth 1 -maxdepth 1 -type f 2>/dev/null | wc -l | each images.left
	fi
	[ "$active" != active ] || swarm
}

swarm() {
	said=$(ask docker info --format 'docker.version={{.ServerVersion}}
swarm.state={{.Swarm.LocalNodeState}}
swarm.node={{.Swarm.NodeID}}
swarm.manager={{.Swarm.ControlAvailable}}
swarm.cluster={{with .Swarm.Cluster}}{{.ID}}{{end}}
swarm.error={{json .Swarm.Error}}')
	printf '%s\n' "$said" | grep -Ev '=("")?$'
	fact swarm.joined "$(cat "$JOINED" 2>/dev/null)"
	case $said in
	*swarm.manager=true*)
		ask docker node ls --format '{{.ID}}|{{.Hostname}}|{{.Status}}|{{.Availability}}|{{.ManagerStatus}}' | each member
		ask docker config ls --format '{{.Name}}' | grep '^pibake-applied-' | each applied
		;;
	esac
}

everything() {
	identity
	dns
	system
	packages
	docker_engine
	fact end 1
}

# The script itself comes in on standard input: nothing it runs may read there
everything </dev/null
