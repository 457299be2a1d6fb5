#!/bin/sh
# Run as root on a booted node: what it is, one KEY=VALUE a line. Keys that begin with
# "now." differ from start to start; all others must not.
set -u
export LC_ALL=C PATH=/usr/sbin:/usr/bin:/sbin:/bin

fact() {
	key=$1
	shift
	printf '%s=%s\n' "$key" "$("$@" 2>&1 | paste -s -d ';')"
}

# A job that never ends is a prompt that waits for somebody
settled=0
for _ in $(seq 90); do
	if systemctl list-jobs | grep -q 'No jobs'; then
		settled=1
		break
	fi
	sleep 2
done
fact jobs sh -c "[ $settled = 1 ] && echo none || systemctl list-jobs --no-legend"
fact failed systemctl --failed --no-legend --plain
fact running systemctl is-system-running
fact prompts sh -c "ps -eo comm= | grep -E 'whiptail|dialog|firstboot|userconf' || true"

fact hostname hostname
fact hostname-i hostname -i
fact address sh -c "ip -4 -o addr show scope global | awk '{ print \$2, \$4 }'"
fact route sh -c "ip -4 route show default | awk '{ print \$3, \$5 }'"
fact resolv.conf grep -v '^#' /etc/resolv.conf
fact resolv.type stat -c '%F %A %U:%G' /etc/resolv.conf
fact resolv.flags sh -c "lsattr /etc/resolv.conf | cut -d' ' -f1 | tr -d -- -"
fact resolv.write sh -c "echo x 2>/dev/null >>/etc/resolv.conf && echo written || echo refused"
fact lookup.peer sh -c "getent hosts pi2 | awk '{ print \$1 }'"

fact user sh -c "getent passwd 1000 | cut -d: -f1,6"
fact user.pi sh -c "getent passwd pi || echo none"
fact user.password sh -c "getent shadow \"\$(id -nu 1000)\" | cut -d: -f2 | cut -c1"
fact root.password sh -c "getent shadow root | cut -d: -f2 | cut -c1"
fact sudoers.stock sh -c "grep -rl NOPASSWD /etc/sudoers /etc/sudoers.d | grep 010_pi-nopasswd || true"
fact sudoers.valid visudo -cq
fact sshd sh -c "sshd -T | grep -E '^(permitrootlogin|passwordauthentication|kbdinteractiveauthentication|challengeresponseauthentication) ' | sort"
fact timezone sh -c "readlink -f /etc/localtime | sed 's|.*/zoneinfo/||'"

root=$(findmnt -n -o SOURCE /)
disk=/dev/$(lsblk -n -o PKNAME "$root")
fact disk.sectors blockdev --getsz "$disk"
fact disk.table sfdisk -d "$disk"
fact root.sectors blockdev --getsz "$root"
fact root.start cat "/sys/class/block/${root#/dev/}/start"
fact root.fs sh -c "dumpe2fs -h $root 2>/dev/null | awk '/^Block count/ { c = \$3 } /^Block size/ { s = \$3 } END { print c * (s / 512) }'"
fact root.errors sh -c "dumpe2fs -h $root 2>/dev/null | grep -E '^(Filesystem state|FS Error count)'"
fact cmdline sh -c "cat /boot/firmware/cmdline.txt 2>/dev/null || cat /boot/cmdline.txt"
fact node.txt sh -c "cat /boot/firmware/pibake-node.txt 2>/dev/null || cat /boot/pibake-node.txt"
fact manifest stat -c '%a %U:%G %s' /usr/share/pibake/manifest.json
fact log.done sh -c "grep -c 'first-boot: done' /var/log/pibake.log || true"

fact now.time date +%s
fact now.boot cat /proc/sys/kernel/random/boot_id
fact now.log cat /var/log/pibake.log

# from the files: asking the manager runs into a time limit where the machine is slow
systemctl --root=/ list-unit-files --no-legend | awk '$2 !~ /transient|generated/ { print "unit:" $1 "=" $2 }'
find /etc -xdev -type f ! -name machine-id ! -name adjtime ! -name fake-hwclock.data ! -name .updated \
	! -name ld.so.cache ! -name 'resolv.conf.bak' -exec sha256sum {} + | awk '{ print "etc:" $2 "=" $1 }' | sort
find /etc -xdev -type l -printf 'etc:%p=-> %l\n' | sort
find /home -xdev -printf 'home:%p=%M %U:%G\n' | sort
