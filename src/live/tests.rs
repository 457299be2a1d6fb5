use std::fs::{self, File};
use std::io::Read as _;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use super::error::LiveError;
use super::{Order, Taken, take};
use crate::disk::range::ByteRange;
use crate::disk::ranges;
use crate::interrupt::Interrupt;
use crate::node::link::{Link, LinkError, Terms};
use crate::node::packing::Pack;
use crate::node::request::Unit;
use crate::node::ssh::{To, Way};
use crate::progress::{Progress, Silent};
use crate::tier::asked;
use crate::usage::testing::{MIB, card};
use crate::usage::used::used;

/// A node that is played: it has a file for a disk, and does as the script does. Before the read or the freeze
/// whose number is in CHANGE, LATER becomes the disk, and the next list of writes says so.
const NODE: &str = r#"
at=0 writes=''
ok() { printf 'ok %s\n%s' "${#1}" "$1"; }
change() {
    [ "$1" = "${CHANGE-}" ] || return 0
    cp "$LATER" "$IMAGE"
    writes=$WRITES
}
echo "pibake-node ${PACK:-none}"
while read -r request first second; do
    at=$((at + 1))
    echo "$request" >>"$LOG"
    if [ "$at" = "${CUT-}" ]; then exit 1; fi
    case $request in
    facts) ok "disk sda
size $(wc -c <"$IMAGE")
host pi3
kernel 6.1" ;;
    track) ${TRACK:-ok} '' ;;
    read)
        change $((reads += 1))
        if [ "${BAD-}" = "$first" ]; then
            echo 'no Input/output error'
        else
            dd if="$IMAGE" iflag=skip_bytes,count_bytes skip="$first" count="$second" bs=1M 2>/dev/null |
                ${PACKER:-cat} >"$LOG.data"
            printf 'ok %s\n' "$(wc -c <"$LOG.data")"
            cat "$LOG.data"
        fi ;;
    digest) ok "$(dd if="$IMAGE" iflag=skip_bytes,count_bytes skip="$first" count="$second" bs=1M 2>/dev/null |
        sha256sum | cut -c 1-64)" ;;
    dirty)
        text="${writes}mark $first
${LOST-}"
        ok "$text"
        writes='' ;;
    freeze) change freeze; ok '' ;;
    thaw) if [ -n "${LATE-}" ]; then echo no late; else ok 37; fi ;;
    start) if [ -n "${LAME-}" ]; then echo no x.service; else ok ''; fi ;;
    quit) exit 0 ;;
    *) ok '' ;;
    esac
done
"#;

/// The node, its disk and what it becomes, and the file that it is taken into.
struct Stage {
    dir: tempfile::TempDir,
    environment: Vec<(&'static str, String)>,
    terms: Terms,
    stop: Vec<Unit>,
}

impl Stage {
    /// A node whose disk changes in use and out of use: in the last file of its FAT, which is rewritten.
    fn new(environment: &[(&'static str, &str)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let before = card();
        let mut later = before.clone();
        let fresh = changed();
        for range in &fresh {
            later[range.start() as usize..range.end() as usize].fill(0x5a);
        }
        fs::write(dir.path().join("image"), before).unwrap();
        fs::write(dir.path().join("later"), later).unwrap();
        let writes: String =
            fresh.iter().map(|range| format!("{} {}\n", range.start() / 512, range.len() / 512)).collect();
        let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
        let mut all = vec![
            ("IMAGE", path("image")),
            ("LATER", path("later")),
            ("LOG", path("log")),
            ("WRITES", writes),
        ];
        all.extend(environment.iter().map(|(key, value)| (*key, (*value).to_owned())));
        let terms = Terms::new(Duration::from_secs(60), Pack::None);
        Self { dir, environment: all, terms, stop: Vec::new() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn open(&self, interrupt: &Interrupt) -> Result<Link, LinkError> {
        let command = |_: &str| {
            let mut command = Command::new("sh");
            command.args(["-c", NODE, "ssh"]).envs(self.environment.iter().cloned());
            command
        };
        let way = Way { ssh_config: None, command: &command };
        Link::open(&way, To::Host("pi@pi3"), &self.terms, &|| unreachable!(), interrupt)
    }

    fn take(&self) -> Result<Taken, LiveError> {
        let link = self.open(&Interrupt::default())?;
        let spool = File::create_new(self.path("spool")).unwrap();
        let order = Order {
            stop: &self.stop,
            limit: self.terms.limit,
            swap_files: &|_| Vec::new(),
            subject: "pi3",
            progress: &silent(),
        };
        take(link, spool, &order)
    }

    /// Takes it; every byte that the disk has in use in the end must be in the file.
    fn taken(&self) -> Taken {
        let taken = self.take().unwrap();
        let disk = fs::read(self.path("image")).unwrap();
        let changes = self.environment.iter().any(|(key, _)| *key == "CHANGE");
        assert_eq!(disk == fs::read(self.path("later")).unwrap(), changes, "whether it has changed");
        assert_eq!(taken.used, used(&disk, &[]).unwrap());
        let spool = File::open(self.path("spool")).unwrap();
        for range in &taken.used.ranges {
            let mut bytes = vec![0; range.len() as usize];
            spool.read_exact_at(&mut bytes, range.start()).unwrap();
            assert!(bytes == disk[range.start() as usize..range.end() as usize], "{range:?}");
        }
        taken
    }

    fn asked(&self, request: &str) -> usize {
        let mut log = String::new();
        File::open(self.path("log")).unwrap().read_to_string(&mut log).unwrap();
        log.lines().filter(|line| *line == request).count()
    }
}

fn silent() -> Arc<dyn Progress> {
    Arc::new(Silent)
}

/// What changes: the end of the gap before the first partition, a block that is in use.
fn changed() -> Vec<ByteRange> {
    vec![ByteRange::new(MIB - 8192, MIB).unwrap(), ByteRange::new(27 * MIB + 4096, 27 * MIB + 8192).unwrap()]
}

#[test]
fn what_is_written_after_it_was_read_is_read_again() {
    // While the node works, where looking for swap files reads it again before the freeze, and at the last moment
    for (change, while_frozen) in [("3", false), ("freeze", true)] {
        let stage = Stage::new(&[("CHANGE", change)]);
        let taken = stage.taken();
        assert_eq!(taken.hashed, None);
        assert_eq!((taken.frozen, taken.passes), (Duration::from_millis(370), 1));
        assert_eq!(taken.read_frozen > 0, while_frozen, "{taken:?}");
        assert!(taken.read_frozen < taken.read / 10, "{taken:?}");
        assert_eq!(stage.asked("digest"), 0);
    }
}

#[test]
fn without_a_list_of_writes_the_frozen_disk_is_hashed() {
    for (key, value) in [("TRACK", "echo no"), ("LOST", "lost 3")] {
        let stage = Stage::new(&[("CHANGE", "freeze"), (key, value)]);
        let taken = stage.taken();
        assert!(taken.hashed.is_some());
        assert!(stage.asked("digest") > 0);
    }
    // A list that leaves out what was written, to see that the comparison can fail
    let stage = Stage::new(&[("CHANGE", "freeze"), ("WRITES", "")]);
    stage.take().unwrap();
    let (disk, spool) = (fs::read(stage.path("image")).unwrap(), fs::read(stage.path("spool")).unwrap());
    assert_ne!(disk[(MIB - 8192) as usize..MIB as usize], spool[(MIB - 8192) as usize..MIB as usize]);
}

#[test]
fn the_node_may_pack_what_it_gives() {
    let mut packers = vec![("gzip", "gzip -1 -c")];
    if asked("oracles", "a node that packs with zstd") {
        packers.push(("zstd", "zstd -1 -q -c"));
    }
    for (pack, packer) in packers {
        let stage = Stage::new(&[("CHANGE", "3"), ("PACKER", packer), ("PACK", pack)]);
        stage.taken();
        // Something else than was agreed on
        let stage = Stage::new(&[("PACK", pack)]);
        assert!(matches!(stage.take().unwrap_err(), LiveError::Link(LinkError::Io(_))));
    }
}

#[test]
fn no_more_is_read_than_is_in_use() {
    let stage = Stage::new(&[]);
    let taken = stage.taken();
    assert!(taken.read < taken.used.bytes() + 8 * MIB, "{} of {}", taken.read, taken.used.bytes());
    let spool = fs::metadata(stage.path("spool")).unwrap();
    assert_eq!(spool.len(), card().len() as u64);
}

#[test]
fn a_freeze_that_was_ended_by_the_node_is_worth_nothing() {
    assert!(matches!(Stage::new(&[("LATE", "1")]).take().unwrap_err(), LiveError::Late(_)));
}

#[test]
fn a_freeze_that_would_take_too_long_is_given_up() {
    let mut stage = Stage::new(&[("CHANGE", "freeze")]);
    stage.terms.limit = Duration::ZERO;
    let error = stage.take().unwrap_err();
    assert!(matches!(error, LiveError::TooBusy { changed: 1.., .. }), "{error}");
    assert!(error.advice().contains("--stop"));
    assert_eq!(stage.asked("thaw"), 0, "the end of the connection thaws");
}

#[test]
fn what_cannot_be_read_is_named() {
    let at = ranges::union(used(&card(), &[]).unwrap().ranges)[0].start().to_string();
    let error = Stage::new(&[("BAD", &at)]).take().unwrap_err();
    assert!(error.to_string().contains(&format!("bytes {at} to")), "{error}");
    assert!(error.to_string().contains("Input/output error"), "{error}");
}

#[test]
fn units_are_stopped_before_and_started_after() {
    let mut stage = Stage::new(&[]);
    stage.stop = vec!["a.service".parse().unwrap(), "b.service".parse().unwrap()];
    assert_eq!(stage.taken().warnings, [""; 0]);
    let log = fs::read_to_string(stage.path("log")).unwrap();
    let end: Vec<&str> = log.lines().filter(|line| !matches!(*line, "read" | "dirty")).collect();
    assert_eq!(end[end.len() - 6..], ["stop", "stop", "freeze", "thaw", "start", "quit"]);
    let mut stage = Stage::new(&[("LAME", "1")]);
    stage.stop = vec!["a.service".parse().unwrap()];
    assert!(stage.taken().warnings[0].contains("x.service"));
}

#[test]
fn a_connection_that_breaks_off_anywhere_is_told() {
    let whole = Stage::new(&[]);
    whole.taken();
    let requests = fs::read_to_string(whole.path("log")).unwrap().lines().count();
    assert!(requests > 10);
    for cut in 1..=requests {
        let stage = Stage::new(&[("CUT", &cut.to_string())]);
        let error = stage.take().unwrap_err();
        assert!(matches!(error, LiveError::Link(LinkError::Cut(_))), "{cut}: {error}");
    }
}

#[test]
fn an_interrupted_capture_leaves_at_once() {
    let interrupt = Interrupt::default();
    let stage = Stage::new(&[]);
    let link = stage.open(&interrupt).unwrap();
    interrupt.request();
    let spool = File::create_new(stage.path("spool")).unwrap();
    let order = Order {
        stop: &[],
        limit: Duration::from_secs(60),
        swap_files: &|_| Vec::new(),
        subject: "pi3",
        progress: &silent(),
    };
    let error = take(link, spool, &order).unwrap_err();
    assert!(matches!(error, LiveError::Link(LinkError::Interrupted(_))), "{error}");
}
