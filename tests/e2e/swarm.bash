# A swarm of baked cards in the test bed: making its parts, powering it on, asking it. Sourced by cluster,
# which sets WORK, CASE, PIBAKE, TESTBED, BASE, BUNDLE, LIMIT.
# shellcheck shell=bash disable=SC2154

bed() { "$TESTBED/cluster" --state "$CASE/cluster" "$@"; }

# --- parts -----------------------------------------------------------------------

# image_archive FILE: what `docker save` would write, of a busybox that serves its host's name
image_archive() {
	local dir
	dir=$(mktemp -d)
	mkdir -p "$dir/root/bin" "$dir/root/www" "$dir/root/tmp"
	(cd "$dir" && apt-get download -q busybox-static >/dev/null && dpkg-deb -x busybox-static_*.deb deb)
	cp "$dir/deb/bin/busybox" "$dir/root/bin/"
	for name in sh httpd cat hostname sleep ping wget nslookup touch; do ln -sf busybox "$dir/root/bin/$name"; done
	tar -C "$dir/root" --owner=0 --group=0 --numeric-owner -cf "$dir/layer.tar" .
	jq -n --arg id "sha256:$(sha256sum "$dir/layer.tar" | cut -d' ' -f1)" '{
		architecture: "amd64", os: "linux", created: "2025-01-01T00:00:00Z",
		config: { Cmd: ["/bin/sh"], Env: ["PATH=/bin"] },
		rootfs: { type: "layers", diff_ids: [$id] }, history: [{ created: "2025-01-01T00:00:00Z" }] }' >"$dir/config.json"
	echo '[{"Config":"config.json","RepoTags":["e2e/web:1"],"Layers":["layer.tar"]}]' >"$dir/manifest.json"
	tar -C "$dir" -cf "$1" manifest.json config.json layer.tar
	rm -rf "$dir"
}

stack_file() {
	cat <<-'YML'
		version: "3.8"
		services:
		  web:
		    image: e2e/web:1
		    command: ["/bin/sh", "-c", "hostname >/www/index.html; cat /run/secrets/greeting >/www/secret.html; exec httpd -f -p 80 -h /www"]
		    networks: [mesh]
		    ports: ["8080:80"]
		    secrets: [greeting]
		    deploy:
		      replicas: {{ cluster.nodes | length }}
		      placement:
		        max_replicas_per_node: 1
		networks:
		  mesh:
		    external: true
		secrets:
		  greeting:
		    external: true
	YML
}

# cluster_file ROLE...: nodes pi1, pi2, … with these roles
cluster_file() {
	local n=0 role
	cat <<-TOML
		name = "e2e"

		[image]
		source = "$BASE"

		[network]
		gateway = "192.168.255.254"
		dns = ["192.168.255.254"]

		[user]
		name = "baker"
		authorized_keys = ["$WORK/key.pub"]

		[docker]
		install = "debs"
		bundle = "$BUNDLE"
		tls = true
		images = ["$WORK/web.tar"]

		[swarm]
		networks = [{ name = "mesh", attachable = true }]
		stacks = [{ name = "web", file = "$CASE/web.yml" }]
		secrets = { greeting = { env = "E2E_GREETING" } }
	TOML
	for role; do
		n=$((n + 1))
		printf '\n[[node]]\nname = "pi%d"\naddress = "192.168.0.%d/16"\nrole = "%s"\nlabels = { number = "%d" }\n' "$n" "$n" "$role" "$n"
	done
}

# bake OPTION...: as a user would
bake() {
	E2E_GREETING=$GREETING "$PIBAKE" bake -c "$CASE/pibake.toml" -y "$@" </dev/null
}

# --- power -----------------------------------------------------------------------

card() { echo "$CASE/pi$1.img"; }

# insert NUMBER...: machines with these cards, off; the network is there
insert() {
	local n specs=()
	for n; do specs+=("pi$n=$(card "$n")@192.168.0.$n/16"); done
	bed up --mem 768 --cpus 1 --size "$SIZE" --host 192.168.255.254/16 --timeout 0 "${specs[@]}"
	for n; do
		bed kill "pi$n"
		rm -f "$CASE/cluster/nodes/pi$n"/{overlay.qcow2,console.log}
	done
}

# power NUMBER...: on
power() {
	local n
	for n; do bed start "pi$n"; done
}

# flash NUMBER: another card in the machine, which is off
flash() {
	rm -f "$CASE/cluster/nodes/pi$1/overlay.qcow2"
}

console() { cat "$CASE/cluster/nodes/pi$1/console.log" 2>/dev/null; }

# until_line NUMBER TEXT: its console says so, for at most $LIMIT
until_line() {
	local end=$((SECONDS + LIMIT))
	until console "$1" | grep -qF -- "$2"; do
		((SECONDS < end)) || { echo "pi$1 never said: $2" && return 1; }
		sleep 0.1
	done
}

# until_ok SECONDS COMMAND...: again and again until it succeeds
until_ok() {
	local end=$((SECONDS + $1))
	shift
	until "$@"; do
		((SECONDS < end)) || return 1
		sleep 3
	done
}

# --- questions -------------------------------------------------------------------

known_hosts() { find "$CASE/.pibake/e2e" -name known_hosts; }

# on NUMBER COMMAND: over SSH, only if the host key is the one in the state
on() {
	local n=$1
	shift
	bed exec ssh -F "$CASE/ssh_config" "baker@192.168.0.$n" "$@"
}

ssh_config() {
	cat <<-SSH
		Host *
		  StrictHostKeyChecking yes
		  UserKnownHostsFile $(known_hosts)
		  GlobalKnownHostsFile /dev/null
		  IdentitiesOnly yes
		  IdentityFile $WORK/key
		  BatchMode yes
		  ConnectTimeout 15
		  ServerAliveInterval 15
		  LogLevel ERROR
	SSH
}

# engine NUMBER ARGUMENT...: the docker client on this side, with the operator's certificate
engine() {
	local n=$1
	shift
	bed exec timeout 60 env DOCKER_CONFIG="$CASE/docker-config" "$DOCKER" --host "tcp://192.168.0.$n:2376" --tlsverify \
		--tlscacert "$CASE/client/ca.pem" --tlscert "$CASE/client/cert.pem" --tlskey "$CASE/client/key.pem" "$@"
}

# ready MANAGER COUNT: so many nodes, every one of them Ready, and no other entry
ready() {
	local list
	list=$(engine "$1" node ls --format '{{.Hostname}} {{.Status}}' 2>&1) || { echo "$list" && return 1; }
	[[ $(grep -c ' Ready$' <<<"$list") == "$2" && $(wc -l <<<"$list") == "$2" ]] || { echo "$list" && return 1; }
}

# all_ready MANAGER COUNT: within the limit; the seconds it took are in $CASE/took
all_ready() {
	local began=$SECONDS
	if ! until_ok "$LIMIT" ready "$1" "$2" >"$CASE/ready.log" 2>&1; then
		tail -n 5 "$CASE/ready.log"
		local n
		for n in $(bed status | awk 'NR > 1 { print substr($1, 3) }'); do
			echo "pi$n:" && console "$n" | grep -a pibake: | tail -n 6
		done
		return 1
	fi
	echo $((SECONDS - began)) >"$CASE/took"
}

# serves NUMBER: the published port answers there
serves() { bed exec curl -fsS -m 10 "http://192.168.0.$1:8080/"; }

# replicas MANAGER COUNT: so many tasks of the stack run
replicas() {
	local running
	running=$(engine "$1" service ps --filter desired-state=running --format '{{.CurrentState}}' web_web 2>&1 | grep -c '^Running')
	[[ $running == "$2" ]] || { echo "$running run" && engine "$1" service ps --no-trunc web_web && return 1; }
}
