# Everything of a filesystem as text, a line a path. Sourced by static and backup; knows nothing of
# pibake: what the kernel and mtools say.
# shellcheck shell=bash

# list_root DIR: PATH, then all about it, for everything in a mounted root filesystem.
# Inode number and change time are in it: a file that nobody asked for is not touched at
# all. Directories have their entries' business, so only what is their own.
list_root() {
	(
		cd "$1" || exit
		find . -xdev ! -type d -printf '%P\t%y %m %U:%G n%n i%i s%s %T@ %C@ %l\n' -o -printf '%P\t%y %m %U:%G i%i\n'
		find . -xdev -type f -print0 | xargs -0 sha256sum | sed -E 's|^([0-9a-f]+)  \./(.*)|\2\t\1|'
		find . -xdev \( -type f -o -type d \) -print0 | xargs -0 lsattr -d | sed -E 's|^([^ ]+) \./?(.*)|\2\t\1|; s/\t(.*)I(.*)$/\t\1-\2/'
		getfattr -h -R -m - -d -e hex . 2>/dev/null | awk '/^# file: / { f = substr($0, 9); next } NF { print f "\t" $0 }'
	) | merge
}

# list_files DIR: the same but for what a filesystem that was resized may number anew: inodes,
# and change times
list_files() {
	list_root "$1" | sed -E 's/ i[0-9]+( |$)/\1/; s/ ([0-9]{10}\.[0-9]+) [0-9]{10}\.[0-9]+ / \1 /'
}

# list_fat FILE DIR: the same for a FAT filesystem, unpacked into DIR
list_fat() {
	local tree=$2
	rm -rf "$tree"
	mkdir "$tree"
	MTOOLS_SKIP_CHECK=1 mcopy -s -n -m -Q -i "$1" :: "$tree"
	(
		cd "$tree" || exit
		find . -printf '%P\t%y %s\n'
		find . -type f -printf '%P\t%T@\n'
		find . -type f -print0 | xargs -0 sha256sum | sed -E 's|^([0-9a-f]+)  \./(.*)|\2\t\1|'
	) | merge
}

# merge: one line a path
merge() {
	LC_ALL=C sort -s -t $'\t' -k1,1 |
		awk -F'\t' '$1 != p { if (NR > 1) print p "\t" v; p = $1; v = ""} { v = v " " $2 } END { print p "\t" v }'
}

# differences BASE CARD: the paths that are not the same in both
differences() {
	LC_ALL=C comm -3 <(LC_ALL=C sort "$1") <(LC_ALL=C sort "$2") | sed 's/^\t//' | cut -f1 | LC_ALL=C sort -u
}
