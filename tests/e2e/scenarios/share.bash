# The profile plexicluster as `pibake init` writes it, with images that stand in for the user's own: the NFS
# share, and the stack. Sourced by cluster.
# shellcheck shell=bash disable=SC2154

# nfs_image: FILE, a copy of the image that has NFS in its kernel, which the test bed's small ones have not
nfs_image() {
	local out=$WORK/nfs-$ARCH.img release
	release=$(awk '$1 == "Package:" && $2 ~ /^linux-image-[0-9]/ { print substr($2, 13); exit }' "${BASE%.img}.dpkg-status")
	changed "$out" 32 with_modules "$release" >&2 && echo "$out"
}

# with_modules RELEASE DIR: into the image that is mounted there
with_modules() {
	local from=$WORK/nfs-kernel status=0
	rm -rf "$from" && mkdir -p "$from"
	(cd "$from" && apt-get download -q "linux-image-$1" && dpkg-deb -x ./*.deb . && cd "lib/modules/$1" &&
		cp -r --parents kernel/fs/{nfs,nfsd,nfs_common,lockd} kernel/net/sunrpc "$2/lib/modules/$1/") &&
		chroot "$2" depmod "$1" || status=1
	rm -rf "$from"
	return "$status"
}

# settled: the profile with what it leaves to the user filled in
settled() {
	local name
	"$PIBAKE" init plexicluster --dir "$CASE" -c "$CASE/pibake.toml" || return
	sed -i -e "s|^source = \"\"|source = \"$(nfs_image)\"|" -e "s|~/.ssh/id_ed25519.pub|$WORK/key.pub|" \
		-e 's|{ prompt = .* }|{ env = "E2E_GREETING" }|' "$CASE/pibake.toml"
	bundle "$WORK/nfs-client-$ARCH" nfs-common && bundle "$WORK/nfs-server-$ARCH" nfs-kernel-server || return
	ln -s "$BUNDLE" "$CASE/docker-debs"
	ln -s "$WORK/nfs-client-$ARCH" "$CASE/nfs-debs"
	ln -s "$WORK/nfs-server-$ARCH" "$CASE/nfs-server-debs"
	mkdir "$CASE/images"
	for name in ldap gerrit jenkins2; do
		[[ -e $WORK/$name-$ARCH.tar ]] || image_archive "$WORK/$name-$ARCH.tar" "$name:latest" || return
		ln -s "$WORK/$name-$ARCH.tar" "$CASE/images/$name.tar"
	done
}

scenario_share() {
	# shellcheck disable=SC2034 # whom `on` asks as
	local ACCOUNT=pi
	local n
	rm -rf "$CASE"
	mkdir -p "$CASE/docker-config"
	check 'the profile is written and filled in' settled
	check 'the cards are baked' bake --all -o "$CASE"
	outfit || return 1
	insert 1 2 3
	power 1 2 3
	check 'three nodes are Ready' all_ready 1 3
	check 'the overlay network is there' until_ok 600 engine 1 network inspect pi-swarm-net
	check 'what pi2 writes to the share' until_ok 300 on 2 'echo from pi2 | sudo -n tee /mnt/data/note >/dev/null'
	check 'is read on pi3' is "$(on 3 cat /mnt/data/note 2>&1)" 'from pi2'
	check 'and lies on pi1' is "$(on 1 'cat /mnt/data/note; stat -f -c %T /mnt/data' 2>&1)" $'from pi2\next2/ext3'
	check 'pi3 has it over NFS' is "$(on 3 stat -f -c %T /mnt/data 2>&1)" nfs
	for n in ldap gerrit jenkins; do check "services_$n-service runs" until_ok 900 runs "services_$n-service"; done
	for n in 1 2 3; do
		check "Gerrit answers on pi$n" until_ok 120 answers "$n" 8081/config/server/version
		check "Jenkins answers on pi$n" until_ok 120 answers "$n" 8082/login
	done
	check 'LDAP is not published' not bed exec curl -sS -m 10 http://192.168.0.1:389/
	check 'LDAP has its password' is "$(on 1 sudo -n cat /mnt/data/ldap-data/password 2>&1)" "${#GREETING} letters"
	check 'which is not in its service' not grep -qF "$GREETING" <(engine 1 service inspect services_ldap-service)
	check 'Gerrit finds LDAP by its name' until_ok 120 on 1 'sudo -n cat /mnt/data/gerrit/ldap'
	check 'pibake check --all agrees' bed exec env HOME="$CASE" "$PIBAKE" check -c "$CASE/pibake.toml" --all --ssh-config "$CASE/ssh_config"
}

not() { ! "$@"; }

runs() { engine 1 service ps --filter desired-state=running --format '{{.CurrentState}}' "$1" | grep '^Running'; }

answers() { bed exec curl -fsS -m 10 "http://192.168.0.$1:$2"; }
