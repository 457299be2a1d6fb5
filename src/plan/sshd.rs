//! `sshd_config` (`sshd_config(5)`): the first value of a key counts, except that every `HostKey` does.

/// The text without the host keys it names itself, when it names any.
pub(super) fn without_host_keys(text: &str) -> Option<String> {
    let kept = without(text, &["hostkey"]);
    (kept != text).then_some(kept)
}

/// The text with `settings` above it, and its own lines for the same keys taken out as far as they are for
/// everybody. For releases whose sshd reads no directory of files.
pub(super) fn with_settings(text: &str, settings: &str) -> String {
    let mut keys: Vec<String> = settings.lines().filter_map(key_of).collect();
    keys.push("hostkey".to_owned());
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    let (begin, end) = ("# pibake: begin", "# pibake: end");
    let rest = match text.strip_prefix(begin).and_then(|text| text.split_once(&format!("{end}\n"))) {
        Some((_, rest)) => rest,
        None => text,
    };
    format!("{begin}\n{settings}{end}\n{}", without(rest, &keys))
}

/// Whether a line sets something that the OpenSSH of Jessie, 6.7, does not take for single users.
pub(super) fn is_newer_than_jessie(line: &str) -> bool {
    const NEWER: [&str; 3] = ["allowstreamlocalforwarding", "disableforwarding", "permituserrc"];
    key_of(line).is_some_and(|key| NEWER.contains(&key.as_str()))
}

/// Whether the text takes in `/etc/ssh/sshd_config.d`.
pub(super) fn includes_directory(text: &str) -> bool {
    text.lines().any(|line| {
        key_of(line).as_deref() == Some("include") && line.contains("/etc/ssh/sshd_config.d/*.conf")
    })
}

/// Lines of these keys before the first `Match`, whose lines are for some users only, are turned into
/// comments.
fn without(text: &str, keys: &[&str]) -> String {
    let mut for_all = true;
    text.split_inclusive('\n')
        .map(|line| match key_of(line) {
            Some(key) if key == "match" => {
                for_all = false;
                line.to_owned()
            }
            Some(key) if for_all && keys.contains(&key.as_str()) => format!("# taken out by pibake: {line}"),
            _ => line.to_owned(),
        })
        .collect()
}

fn key_of(line: &str) -> Option<String> {
    let word = line.trim_start().split(|letter: char| letter.is_whitespace() || letter == '=').next()?;
    (!word.is_empty() && !word.starts_with('#')).then(|| word.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::{includes_directory, with_settings, without_host_keys};

    const JESSIE: &str = "Port 22\nHostKey /etc/ssh/ssh_host_rsa_key\nHostKey /etc/ssh/ssh_host_dsa_key\n\
                          permitrootlogin without-password\n#PasswordAuthentication yes\nUsePAM yes\n\
                          Match User x\n  PasswordAuthentication yes\n";

    #[test]
    fn our_settings_stand_first_and_theirs_go() {
        let settings = "PermitRootLogin no\nPasswordAuthentication no\n";
        let edited = with_settings(JESSIE, settings);
        let expected = "# pibake: begin\nPermitRootLogin no\nPasswordAuthentication no\n# pibake: end\n\
                        Port 22\n# taken out by pibake: HostKey /etc/ssh/ssh_host_rsa_key\n\
                        # taken out by pibake: HostKey /etc/ssh/ssh_host_dsa_key\n\
                        # taken out by pibake: permitrootlogin without-password\n#PasswordAuthentication yes\n\
                        UsePAM yes\nMatch User x\n  PasswordAuthentication yes\n";
        assert_eq!(edited, expected);
        assert_eq!(with_settings(&edited, settings), expected);
    }

    #[test]
    fn host_keys_of_the_main_file_are_found() {
        assert!(without_host_keys(JESSIE).unwrap().contains("# taken out by pibake: HostKey"));
        assert_eq!(without_host_keys("#HostKey /etc/ssh/ssh_host_rsa_key\nUsePAM yes\n"), None);
    }

    #[test]
    fn tells_whether_the_directory_is_read() {
        assert!(includes_directory("# x\nInclude /etc/ssh/sshd_config.d/*.conf\n"));
        assert!(!includes_directory("#Include /etc/ssh/sshd_config.d/*.conf\n"));
        assert!(!includes_directory("Include /etc/ssh/other/*.conf\n"));
    }
}
