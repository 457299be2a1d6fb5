//! The test driver: exit statuses, and an image that changes only when all went well.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use crate::support::content;
use crate::support::disk::{Workspace, fixture, write_sparse};
use crate::support::kernel::Mount;
use crate::support::tier::oracles_for;
use crate::support::tools::assert_fsck_clean;

/// Builds the driver once.
fn driver() -> &'static Path {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| {
        let built = Command::new(env!("CARGO"))
            .args(["build", "--quiet", "--example", "fsops", "--manifest-path"])
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml"))
            .status()
            .expect("running cargo");
        assert!(built.success(), "building the driver");
        let test = std::env::current_exe().expect("a path");
        let profile = test.parent().and_then(Path::parent).expect("target/PROFILE/deps/TEST");
        profile.join("examples/fsops")
    })
}

fn fsops(image: &Path, options: &[&str], script: &str) -> Output {
    let path = image.with_extension("script");
    fs::write(&path, script).expect("writing the script");
    Command::new(driver())
        .arg(image)
        .args(options)
        .arg(&path)
        .env("SOURCE_DATE_EPOCH", "1750000000")
        .output()
        .expect("running the driver")
}

#[track_caller]
fn assert_status(output: &Output, status: i32) {
    assert_eq!(output.status.code(), Some(status), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn every_operation_through_the_driver() {
    if !oracles_for("every_operation_through_the_driver") {
        return;
    }
    let space = Workspace::new();
    let (image, host, value) = (space.path("image"), space.path("host"), space.path("value"));
    let filesystem = fixture("ext4-pigen");
    let offset = 3 << 20;
    write_sparse(&image, &[vec![0x55; offset], filesystem.clone(), vec![0x66; 1 << 20]].concat());
    let data = content::bytes(1, 123_456);
    fs::write(&host, &data).expect("writing");
    fs::write(&value, b"v").expect("writing");
    let (host, value) = (host.display(), value.display());
    let script = format!(
        "mkdir\t/new\t0755\t1000\t70000\nput\t{host}\t/new/file\t4755\t0\t42\nput\t{host}\t/etc/size-1\t600\t0\t0\n\
         symlink\t../etc\t/new/link\nrm\t/etc/size-60\nchmod\t/etc/size-59\t0400\nchown\t/etc/size-59\t5\t6\n\
         xattr\t/new/file\tuser.x\t{value}\nimmut\t/new/file\nfill\t/new\t300\tf\ncat\t/new/f00007\nused\n"
    );
    let window = [offset.to_string(), filesystem.len().to_string()];
    let output = fsops(&image, &["--offset", &window[0], "--size", &window[1]], &script);
    assert_status(&output, 0);
    let printed = String::from_utf8(output.stdout).expect("text");
    assert!(printed.starts_with("f000070-"), "the file's content, then the used blocks: {printed}");
    let bytes = fs::read(&image).expect("reading");
    assert!(bytes[..offset].iter().all(|byte| *byte == 0x55), "before the window");
    assert!(bytes[offset + filesystem.len()..].iter().all(|byte| *byte == 0x66), "after the window");
    let inner = space.path("inner");
    fs::write(&inner, &bytes[offset..offset + filesystem.len()]).expect("writing");
    assert_fsck_clean(&inner, "after the driver");
    let mount = Mount::new(&inner);
    assert!(fs::read(mount.path().join("new/file")).expect("there") == data[..]);
    assert_eq!(fs::read(mount.path().join("new/f00299")).expect("there"), b"f00299");
    assert_eq!(fs::read_link(mount.path().join("new/link")).expect("there"), Path::new("../etc"));
    let attributes = crate::support::kernel::snapshot(mount.path());
    mount.close();
    assert!(
        attributes.node("/new/file").is_some_and(|node| node.immutable && node.xattrs.contains_key("user.x"))
    );
    assert!(
        attributes.node("/etc/size-1").is_some_and(|node| node.xattrs.contains_key("user.small")),
        "put keeps attributes"
    );
}

#[test]
fn failures_leave_the_image_alone() {
    if !oracles_for("failures_leave_the_image_alone") {
        return;
    }
    let space = Workspace::new();
    let image = space.path("image");
    let filesystem = fixture("ext4-plain");
    let unchanged = |bytes: &[u8], script: &str, status: i32| {
        fs::write(&image, bytes).expect("writing");
        assert_status(&fsops(&image, &[], script), status);
        assert!(fs::read(&image).expect("reading") == bytes, "{script:?} changed the image");
    };
    unchanged(&filesystem, "mkdir\t/new\t0755\t0\t0\nrm\t/nowhere\n", 1);
    unchanged(&filesystem, "mkdir\t/new\t0755\t0\t0\nno-such-operation\n", 1);
    unchanged(&filesystem, "mkdir\t/new\t0755\t0\t0\nput\t/nonexistent/file\t/x\t0644\t0\t0\n", 1);
    unchanged(&filesystem, "fill\t/etc\t5000\tx\n", 1);
    unchanged(&filesystem, "mkdir\t/new\t99\t0\t0\n", 1);
    let mut dirty = filesystem.clone();
    dirty[1024 + 0x60] |= 4;
    unchanged(&dirty, "mkdir\t/new\t0755\t0\t0\n", 3);
    let mut unknown = filesystem.clone();
    unknown[1024 + 0x63] |= 0x40;
    unchanged(&unknown, "mkdir\t/new\t0755\t0\t0\n", 3);
    unchanged(&[0; 100_000], "mkdir\t/new\t0755\t0\t0\n", 1);
}

#[test]
fn grow_lengthens_the_image() {
    if !oracles_for("grow_lengthens_the_image") {
        return;
    }
    let space = Workspace::new();
    let image = space.path("image");
    fs::write(&image, fixture("ext4-pigen")).expect("writing");
    assert_status(&fsops(&image, &[], "grow\t100663296\nfill\t/etc\t1200\tx\n"), 0);
    assert_eq!(fs::metadata(&image).expect("there").len(), 96 << 20);
    assert_fsck_clean(&image, "after growing");
    let again = space.path("again");
    fs::write(&again, fixture("ext4-pigen")).expect("writing");
    assert_status(&fsops(&again, &[], "grow\t100663296\nfill\t/etc\t1200\tx\n"), 0);
    assert!(
        fs::read(&image).expect("reading") == fs::read(&again).expect("reading"),
        "the same script, other bytes"
    );
}
