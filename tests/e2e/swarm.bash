# A swarm of baked cards in the test bed: making its parts, powering it on, asking it. Sourced by cluster,
# which sets what is in capitals.
# shellcheck shell=bash disable=SC2154,SC2153

bed() { "$TESTBED/cluster" --state "$CASE/cluster" "$@"; }

# --- parts -----------------------------------------------------------------------

# bundle DIR PACKAGE[,PACKAGE...]: what the image lacks of them
bundle() {
	[[ -e $1/SHA256SUMS ]] || "$TESTBED/make-docker-bundle" --image "$BASE" --packages "$2" --out "$1"
}

# changed FILE MIB COMMAND...: unless it is there, a copy of the image that is so much larger, changed by the command,
# which is told where its root is mounted
changed() {
	local out=$1 size=$2 mnt=$WORK/changed-root loop start status=0
	shift 2
	[[ ! -e $out ]] || return 0
	cp --sparse=always "$BASE" "$out.new" && truncate -s "+${size}M" "$out.new" && echo ', +' | sfdisk -q -N 2 "$out.new" || return
	mkdir -p "$mnt"
	start=$(sfdisk --json "$out.new" | jq '.partitiontable.partitions[1].start * 512')
	loop=$(losetup --find --show --offset "$start" "$out.new") || return
	e2fsck -fp "$loop" && resize2fs "$loop" && mount "$loop" "$mnt" && "$@" "$mnt" || status=1
	! mountpoint -q "$mnt" || umount "$mnt"
	losetup --detach "$loop"
	((!status)) && mv "$out.new" "$out"
}

# with_packages BUNDLE DIR: a bundle, installed into the image that is mounted there
with_packages() {
	mkdir "$2/debs" && cp "$1"/*.deb "$2/debs/" && printf '#!/bin/sh\nexit 101\n' >"$2/usr/sbin/policy-rc.d" &&
		chmod 755 "$2/usr/sbin/policy-rc.d" && chroot "$2" sh -c 'DEBIAN_FRONTEND=noninteractive dpkg -i /debs/*.deb' &&
		rm -r "$2/debs" "$2/usr/sbin/policy-rc.d"
}

# image_archive FILE NAME: what `docker save` would write, of a busybox that does what its name asks it to
image_archive() {
	local dir applet
	dir=$(mktemp -d)
	mkdir -p "$dir/root/bin" "$dir/root/www" "$dir/root/tmp"
	"$TESTBED/make-docker-bundle" --arch "$ARCH" --release bookworm --packages busybox-static --out "$dir/debs" >/dev/null
	dpkg-deb -x "$dir"/debs/busybox-static_*.deb "$dir/deb"
	cp "$dir/deb/bin/busybox" "$dir/root/bin/"
	for applet in sh httpd cat date hostname mkdir sleep ping wget nslookup touch; do ln -sf busybox "$dir/root/bin/$applet"; done
	cp "$E2E/stand-in" "$dir/root/entrypoint.sh"
	tar -C "$dir/root" --owner=0 --group=0 --numeric-owner -cf "$dir/layer.tar" .
	jq -n --arg id "sha256:$(sha256sum "$dir/layer.tar" | cut -d' ' -f1)" --arg arch "$ARCH" --arg name "$2" '{
		architecture: $arch, os: "linux", created: "2025-01-01T00:00:00Z",
		config: { Entrypoint: ["/entrypoint.sh"], Env: ["PATH=/bin", "IMAGE=\($name)"] },
		rootfs: { type: "layers", diff_ids: [$id] }, history: [{ created: "2025-01-01T00:00:00Z" }] }' >"$dir/config.json"
	jq -n --arg name "$2" '[{ Config: "config.json", RepoTags: [$name], Layers: ["layer.tar"] }]' >"$dir/manifest.json"
	tar -C "$dir" -cf "$1" manifest.json config.json layer.tar
	rm -rf "$dir"
}

stack_file() {
	cat <<-'YML'
		version: "3.8"
		services:
		  web:
		    image: e2e/web:1
		    entrypoint: ["/bin/sh", "-c"]
		    command: ["hostname >/www/index.html; cat /run/secrets/greeting >/www/secret.html; exec httpd -f -p 80 -h /www"]
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

# cluster_file ROLE[@NUMBER]...: nodes with these roles; their numbers are 1, 2, … where none is given
cluster_file() {
	local place=0 n role docker="install = \"$INSTALL\""
	[[ $INSTALL != debs ]] || docker+=$'\nbundle = "'$BUNDLE'"'
	cat <<-TOML
		name = "e2e"

		[image]
		source = "$BASE"

		[network]
		gateway = "192.168.255.254"
		dns = ["192.168.255.254"]

		[user]
		name = "$ACCOUNT"
		authorized_keys = ["$WORK/key.pub"]

		[docker]
		$docker
		tls = ${TLS:-true}
		images = ["$WEB"]

		[swarm]
		networks = [{ name = "mesh", attachable = true }]
		stacks = [{ name = "web", file = "$CASE/web.yml" }]
		secrets = { greeting = { env = "E2E_GREETING" } }
	TOML
	for role; do
		place=$((place + 1)) n=$place
		[[ $role != *@* ]] || n=${role#*@}
		printf '\n[[node]]\nname = "pi%d"\naddress = "192.168.0.%d/16"\nrole = "%s"\nlabels = { number = "%d" }\n' "$n" "$n" "${role%@*}" "$n"
	done
}

# bake OPTION...: as a user would
bake() {
	E2E_GREETING=$GREETING "$PIBAKE" bake -c "$CASE/pibake.toml" -y "$@" </dev/null
}

# describe ROLE[@NUMBER]...: a new cluster of such nodes, not baked yet
describe() {
	rm -rf "$CASE"
	mkdir -p "$CASE/docker-config"
	stack_file >"$CASE/web.yml"
	cluster_file "$@" >"$CASE/pibake.toml"
}

# outfit: what the operator has once the cards are baked
outfit() {
	"$PIBAKE" keys export "$CASE/client" -c "$CASE/pibake.toml" >"$CASE/keys.log" 2>&1 ||
		{ failed "keys export: $(tail -n 3 "$CASE/keys.log")" && return 1; }
	ssh_config >"$CASE/ssh_config"
}

# bake_all: every card
bake_all() {
	if ! bake --all -o "$CASE" >"$CASE/bake.log" 2>&1; then
		failed "bake: $(tail -n 5 "$CASE/bake.log")"
		return 1
	fi
	ok "$(find "$CASE" -maxdepth 1 -name '*.img' | wc -l) cards baked, of $(($(stat -c %s "$CASE/pi1.img") >> 20)) MiB"
}

# prepare ROLE[@NUMBER]...: a new cluster of such nodes, baked
prepare() {
	describe "$@"
	bake_all && outfit
}

# --- power -----------------------------------------------------------------------

card() { echo "$CASE/pi$1.img"; }

# insert NUMBER...: machines with these cards, off; the network is there. A machine that is no node of its own
# is NAME=CARD@ADDRESS.
insert() {
	local n specs=()
	for n; do
		[[ $n == *=* ]] || n="pi$n=$(card "$n")@192.168.0.$n/16"
		specs+=("$n")
	done
	bed up --mem "$MEM" --cpus 1 --size "$SIZE" --host 192.168.255.254/16 --timeout 0 "${specs[@]}"
	for n in "${specs[@]%%=*}"; do
		bed kill "$n"
		rm -f "$CASE/cluster/nodes/$n"/{overlay.qcow2,console.log}
	done
}

# wakes_at NUMBER TIME: what its clock will say whenever it is switched on
wakes_at() { echo "$2" >"$CASE/wakes.$1"; }

# power NUMBER...: on. An emulated PC has a clock of its own; the QEMU found first sets it.
power() {
	local n
	for n; do
		if [[ -e $CASE/wakes.$n ]]; then
			# each has a directory of its own: the machine before may not have been started yet
			mkdir -p "$CASE/bin.$n"
			printf '#!/bin/sh\nexec %q -rtc base=%s "$@"\n' "$(command -v qemu-system-x86_64)" \
				"$(date -u -d "@$(cat "$CASE/wakes.$n")" +%Y-%m-%dT%H:%M:%S)" >"$CASE/bin.$n/qemu-system-x86_64"
			chmod 755 "$CASE/bin.$n/qemu-system-x86_64"
			PATH="$CASE/bin.$n:$PATH" bed start "pi$n"
		else
			bed start "pi$n"
		fi
	done
}

# flash NUMBER: another card in the machine, which is off
flash() {
	rm -f "$CASE/cluster/nodes/pi$1/overlay.qcow2"
}

console() { cat "$CASE/cluster/nodes/pi$1/console.log" 2>/dev/null; }

# until_line NUMBER TEXT: its console says so, for at most $LIMIT
until_line() { until_line_of "pi$1" "$2"; }

# until_line_of MACHINE TEXT
until_line_of() {
	local end=$((SECONDS + LIMIT))
	until grep -qF -- "$2" "$CASE/cluster/nodes/$1/console.log" 2>/dev/null; do
		((SECONDS < end)) || { echo "$1 never said: $2" && return 1; }
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

known_hosts() { find "$CASE/.pibake" -name known_hosts; }

# on NUMBER COMMAND: over SSH, only if the host key is the one in the state
on() {
	local n=$1
	shift
	bed exec ssh -F "$CASE/ssh_config" "$ACCOUNT@192.168.0.$n" "$@"
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

node_id() { engine "$1" node ls --filter "name=$2" --format '{{.Hostname}} {{.ID}}' | awk -v name="$2" '$1 == name { print $2 }'; }

cluster_id() { engine "$1" info --format '{{.Swarm.Cluster.ID}}'; }

# formed MANAGER NUMBER...: all Ready, the network and the stack there, every node serving
formed() {
	local manager=$1 n
	shift
	check "$# nodes are Ready" all_ready "$manager" $# || return
	check 'the overlay network is there' until_ok 600 engine "$manager" network inspect mesh
	check 'the stack runs' until_ok 600 replicas "$manager" $#
	for n; do check "pi$n serves the published port" until_ok 120 serves "$n"; done
}

# serves NUMBER: the published port answers there
serves() { bed exec curl -fsS -m 10 "http://192.168.0.$1:8080/"; }

# replicas MANAGER COUNT: so many tasks of the stack run
replicas() {
	local running
	running=$(engine "$1" service ps --filter desired-state=running --format '{{.CurrentState}}' web_web 2>&1 | grep -c '^Running')
	[[ $running == "$2" ]] || { echo "$running run" && engine "$1" service ps --no-trunc web_web && return 1; }
}
