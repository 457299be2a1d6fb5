//! Apt sources in both styles.

use super::archive::image;
use crate::fetch::sources::{Archive, SignedBy, of_image};

/// The archives of an arm64 image with these files in /etc/apt, and the warnings.
fn archives(files: &[(&str, &str)]) -> (Vec<Archive>, Vec<String>) {
    let paths: Vec<String> = files.iter().map(|(name, _)| format!("/etc/apt/{name}")).collect();
    let files: Vec<(&str, &[u8])> =
        paths.iter().zip(files).map(|(path, (_, text))| (path.as_str(), text.as_bytes())).collect();
    let mut warnings = Vec::new();
    (of_image(&image(Vec::new(), &files), &mut warnings), warnings)
}

fn names(archives: &[Archive]) -> Vec<String> {
    archives.iter().map(|archive| format!("{archive} {}", archive.components.join(" "))).collect()
}

#[test]
fn one_line_style() {
    let (found, warnings) = archives(&[(
        "sources.list",
        "# deb http://comment x main\n\
         deb http://deb.debian.org/debian/ bookworm main contrib # more\n\
         deb-src http://deb.debian.org/debian bookworm main\n\
         deb [ arch=arm64,armhf signed-by=/k.gpg,ABCD ] https://a.test/x/$(ARCH) bookworm/updates main\n\
         deb [arch=amd64] http://elsewhere.test x main\n\
         \tdeb\thttp://tabs.test\tbookworm\tmain\n",
    )]);
    assert_eq!(
        names(&found),
        [
            "http://deb.debian.org/debian bookworm main contrib",
            "https://a.test/x/arm64 bookworm/updates main",
            "http://tabs.test bookworm main"
        ]
    );
    let signed_by =
        SignedBy { files: vec!["/k.gpg".into()], fingerprints: vec!["ABCD".into()], ..SignedBy::default() };
    assert_eq!(found[1].signed_by, signed_by);
    assert_eq!(found[0].signed_by, SignedBy::default());
    assert!(warnings.is_empty(), "{warnings:?}");
}

#[test]
fn deb822_style_and_the_order_of_files() {
    let (found, warnings) = archives(&[
        (
            "sources.list.d/b.sources",
            "Types: deb deb-src\nURIs: http://one.test http://two.test\nSuites: s s-updates\n\
          Components: main\nSigned-By: /usr/share/keyrings/x.pgp\n\n\
          Enabled: no\nTypes: deb\nURIs: http://off.test\nSuites: s\nComponents: main\n\n\
          types: deb\nuris: http://armhf.test\nsuites: s\ncomponents: main\narchitectures: armhf\n\n\
          Types: deb-src\nURIs: http://src.test\nSuites: s\nComponents: main\n",
        ),
        ("sources.list.d/a.list", "deb http://first.test s main\n"),
        ("sources.list.d/c.list.save", "deb http://save.test s main\n"),
    ]);
    assert_eq!(
        names(&found),
        [
            "http://first.test s main",
            "http://one.test s main",
            "http://one.test s-updates main",
            "http://two.test s main",
            "http://two.test s-updates main"
        ]
    );
    assert_eq!(found[1].signed_by.files, ["/usr/share/keyrings/x.pgp"]);
    assert!(warnings.is_empty(), "{warnings:?}");
}

#[test]
fn a_key_in_the_source_itself() {
    let (found, _) = archives(&[(
        "sources.list.d/x.sources",
        "Types: deb\nURIs: http://x.test\nSuites: s\nComponents: main\n\
         Signed-By:\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n AAAA\n -----END PGP PUBLIC KEY BLOCK-----\n",
    )]);
    let armour = "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nAAAA\n-----END PGP PUBLIC KEY BLOCK-----\n";
    assert_eq!(found[0].signed_by.inline.as_deref(), Some(armour));
}

#[test]
fn what_cannot_be_used_is_left_out_with_a_warning() {
    let (found, warnings) = archives(&[
        (
            "sources.list",
            "deb cdrom:[Debian]/ bookworm main\n\
             deb http://flat.test ./\n\
             deb http://a.test ../../x main\n\
             deb http://a.test/?q bookworm main\n\
             deb http://alone.test\n\
             deb [unclosed http://a.test bookworm main\n",
        ),
        ("sources.list.d/x.sources", "no field\n"),
    ]);
    assert!(found.is_empty(), "{found:?}");
    for (warning, says) in warnings.iter().zip([
        "only http and https",
        "flat archives are not read",
        "no address of an archive",
        "no address of an archive",
        "line 5 is no apt source",
        "line 6 is no apt source",
        "x.sources is no list of apt sources",
    ]) {
        assert!(warning.contains(says), "{warning}");
    }
    assert_eq!(warnings.len(), 7, "{warnings:?}");
}

#[test]
fn archives_named_on_the_command_line() {
    let archive: Archive = "https://download.docker.com/linux/debian/ bookworm stable test".parse().unwrap();
    assert_eq!(
        names(std::slice::from_ref(&archive)),
        ["https://download.docker.com/linux/debian bookworm stable test"]
    );
    assert!(archive.signed_by.given);
    for wrong in ["", "http://a.test", "http://a.test s", "ftp://a.test s main", "http://a.test ./ main"] {
        assert!(wrong.parse::<Archive>().is_err(), "{wrong}");
    }
}
