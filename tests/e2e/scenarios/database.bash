# A manager that works, captured over ssh: a database that flushes, a container that writes its log, a stack. Sourced by
# cluster.
# shellcheck shell=bash disable=SC2154,SC2153

# write_records: the node adds records to a database, a transaction each, flushed, until it is switched off
write_records() {
	on 1 'cat >writer.sh; sqlite3 records.db "PRAGMA journal_mode = WAL; CREATE TABLE record (n INTEGER PRIMARY KEY, text)"
		setsid nohup sh writer.sh >/dev/null 2>&1 </dev/null &' <<-'SH'
		while :; do
			echo 'PRAGMA synchronous = FULL;'
			for n in 1 2 3 4 5 6 7 8 9 10; do echo 'INSERT INTO record (text) VALUES (hex(randomblob(300)));'; done
		done | sqlite3 records.db
	SH
}

# write_log: a container does nothing else
write_log() {
	on 1 "sudo -n docker run -d --name log --restart always --network none --entrypoint /bin/sh e2e/web:1 -c 'while :; do date; sleep 1; done'"
}

records() { on 1 'sqlite3 -readonly records.db "SELECT count(*) FROM record"'; }

# containers: which run, since when
containers() { on 1 "sudo -n docker ps -q --no-trunc | xargs sudo -n docker inspect --format '{{.Id}} {{.State.StartedAt}} {{.State.Running}}' | sort"; }

# works_on: the database grows, the container writes, and nothing of the capture is left
works_on() {
	# shellcheck disable=SC2016
	on 1 '
		set -e
		look() { sqlite3 -readonly records.db "SELECT count(*) FROM record"; sudo -n docker logs log 2>/dev/null | wc -l; }
		before=$(look); sleep 6; after=$(look)
		set -- $before $after
		[ "$3" -gt "$1" ] && [ "$4" -gt "$2" ] || { echo "before: $before, after: $after"; exit 1; }
		systemctl is-active docker.service ssh.service systemd-journald.service
		[ ! -e /run/pibake-capture ] && [ -z "$(systemctl list-units -q "pibake-capture*")" ]'
}

capture_1() {
	bed exec env HOME="$CASE" "$PIBAKE" capture -c "$CASE/pibake.toml" --ssh-config "$CASE/ssh_config" --node pi1 -y -o "$1" --json </dev/null
}

# sound IMAGE: the database of a card, without its having been started
sound() {
	local file
	for file in records.db records.db-wal; do
		debugfs -R "dump /home/$ACCOUNT/$file $CASE/$file" "$CASE/root.img" 2>/dev/null
	done
	python3 - "$CASE/records.db" <<-'PY'
		import sqlite3, sys
		database = sqlite3.connect(sys.argv[1])
		count, = database.execute("SELECT count(*) FROM record").fetchone()
		verdict, = database.execute("PRAGMA integrity_check").fetchone()
		print(count, verdict)
		sys.exit(count < 100 or verdict != "ok")
	PY
}

scenario_database() {
	bundle "$WORK/sqlite-$ARCH" sqlite3
	local sqlite=${BASE%.img}-sqlite.img image=$CASE/back.img.zst before
	sqlite=$WORK/${sqlite##*/}
	changed "$sqlite" 64 with_packages "$WORK/sqlite-$ARCH" >"$WORK/sqlite-image.log" 2>&1 || { failed "see $WORK/sqlite-image.log" && return 1; }
	local BASE=$sqlite
	prepare manager || return 1
	insert 1
	power 1
	formed 1 1
	check 'a database is written to' write_records
	check 'and a log' write_log
	check 'for a while' until_ok 300 works_on
	before=$(containers)
	check 'the running node is captured' capture_1 "$image"
	check 'it is told how long its filesystem was frozen' jq -e '.source | .. | .frozen_ms? // empty | . > 0 and . < 60000' "${image%.img.zst}.json"
	jq -c .source "${image%.img.zst}.json" | sed 's/^/      /'
	check 'no container was started again' is "$(containers)" "$before"
	check 'the node works on' works_on

	bed kill pi1
	zstd -qdfc "$image" >"$CASE/plain.img"
	card_parts "$CASE/plain.img"
	check 'e2fsck finds nothing' e2fsck -fn "$CASE/root.img"
	check 'its journal is empty' journal_is_empty "$CASE/root.img"
	check 'fsck.vfat finds nothing' fsck.vfat -n "$CASE/boot.img"
	check 'the database is sound, without any start' sound
	rm -f "$CASE"/{plain,root,boot}.img

	check 'a new card is made of it' restore 1 "$image"
	power 1
	formed 1 1
	check 'the database is sound' is "$(on 1 'sqlite3 records.db "PRAGMA integrity_check"')" ok
	check "with its $(records) records" test "$(records)" -ge 100
	check 'the container writes on' until_ok 300 on 1 'sudo -n docker ps --format "{{.Names}} {{.Status}}" | grep "^log Up"'
}
