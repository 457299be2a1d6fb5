//! Sizes, digests, time zones, locales, countries, Wi-Fi names, kernel words, password hashes.

use data_encoding::HEXLOWER_PERMISSIVE;
use globset::Glob;

/// Words of the kernel command line that decide what boots; pibake writes these itself.
const OWN_WORDS: [&str; 4] = ["root", "init", "rootfstype", "resize"];

/// The longest name an IEEE 802.11 network can have, in bytes.
const SSID_MAX: usize = 32;

/// A size in bytes: `4GiB`, `4096MiB`, `4GB`.
pub(in crate::config) fn size(text: &str) -> Result<u64, String> {
    let wrong = || format!("{text:?} is no size such as 4GiB or 7800MB");
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let unit: u64 = match unit.trim_start() {
        "B" => 1,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "" => return Err(format!("{text:?} has no unit; write {text}GiB or {text}MiB")),
        _ => return Err(wrong()),
    };
    match number.checked_mul(unit) {
        Some(bytes @ 1..=CARD_MAX) => Ok(bytes),
        Some(0) => Err("a card of no size holds nothing".to_owned()),
        _ => Err(format!("{text} is more than the 2 TiB that a partition table of this kind can describe")),
    }
}

/// 2 TiB less a sector: the 32-bit sector numbers of an MBR.
const CARD_MAX: u64 = (u32::MAX as u64) * 512;

/// A SHA-256 in hexadecimal.
pub(in crate::config) fn sha256(text: &str) -> Result<[u8; 32], String> {
    HEXLOWER_PERMISSIVE.decode(text.as_bytes()).ok().and_then(|bytes| bytes.try_into().ok()).ok_or_else(
        || format!("a SHA-256 is 64 hexadecimal digits, this has {} characters", text.chars().count()),
    )
}

/// A time zone's name as under /usr/share/zoneinfo; whether the image has it is seen later.
pub(in crate::config) fn timezone(text: &str) -> Result<String, String> {
    let part = |part: &str| {
        part.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic())
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_+-".contains(&byte))
    };
    if text.len() <= 64 && text.split('/').count() <= 3 && text.split('/').all(part) {
        Ok(text.to_owned())
    } else {
        Err(format!("{text:?} is no time zone such as Europe/Berlin"))
    }
}

/// A locale: `en_GB.UTF-8`, `de_DE.UTF-8@euro`, `C.UTF-8`.
pub(in crate::config) fn locale(text: &str) -> Result<String, String> {
    let wrong = || format!("{text:?} is no locale such as en_GB.UTF-8");
    let (rest, modifier) = text.split_once('@').unwrap_or((text, "x"));
    let (language, codeset) = rest.split_once('.').unwrap_or((rest, "UTF-8"));
    let language_sound = match language.split_once('_') {
        Some((language, territory)) => {
            (2..=3).contains(&language.len())
                && language.bytes().all(|byte| byte.is_ascii_lowercase())
                && territory.len() == 2
                && territory.bytes().all(|byte| byte.is_ascii_uppercase())
        }
        None => language == "C" || language == "POSIX",
    };
    let codeset_sound =
        !codeset.is_empty() && codeset.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    let modifier_sound = !modifier.is_empty() && modifier.bytes().all(|byte| byte.is_ascii_alphabetic());
    if language_sound && codeset_sound && modifier_sound { Ok(text.to_owned()) } else { Err(wrong()) }
}

/// An XKB layout: `gb`, `us`, `latam`.
pub(in crate::config) fn keymap(text: &str) -> Result<String, String> {
    let sound = (2..=32).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-,".contains(&byte));
    if sound { Ok(text.to_owned()) } else { Err(format!("{text:?} is no keyboard layout such as gb")) }
}

/// A country by ISO 3166-1 alpha-2.
pub(in crate::config) fn country(text: &str) -> Result<String, String> {
    if text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_uppercase()) {
        return Ok(text.to_owned());
    }
    let hint = if text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_alphabetic()) {
        format!("; write {:?}", text.to_ascii_uppercase())
    } else {
        String::new()
    };
    Err(format!("{text:?} is no country code of two capital letters such as DE{hint}"))
}

/// A Wi-Fi network's name: 1 to 32 bytes.
pub(in crate::config) fn ssid(text: &str) -> Result<String, String> {
    if !(1..=SSID_MAX).contains(&text.len()) {
        return Err(format!("a network name has 1 to {SSID_MAX} bytes, this has {}", text.len()));
    }
    if text.chars().any(char::is_control) {
        return Err("control characters in a network name are not supported".to_owned());
    }
    Ok(text.to_owned())
}

/// One word of the kernel command line.
pub(in crate::config) fn cmdline_word(text: &str) -> Result<String, String> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(format!(
            "{text:?} is not one word of printable ASCII; give each word as an entry of its own"
        ));
    }
    let name = text.split('=').next().unwrap_or(text);
    if OWN_WORDS.contains(&name) {
        return Err(format!("{text:?}: `{name}` decides how the card boots and is pibake's own"));
    }
    Ok(text.to_owned())
}

/// A pattern of files, as written.
pub(in crate::config) fn glob(text: &str) -> Result<String, String> {
    match Glob::new(text) {
        Ok(_) if !text.is_empty() => Ok(text.to_owned()),
        Ok(_) => Err("an empty pattern matches nothing".to_owned()),
        Err(error) => Err(format!("{text:?} is no file pattern: {}", error.kind())),
    }
}

/// A password hash of crypt(5) that every release (`$6$`, `$5$`) or the newer ones (`$y$`) can check. The
/// hash itself is in no message.
pub(in crate::config) fn crypt_hash(text: &str) -> Result<(), String> {
    let mut fields = text.split('$');
    if fields.next() != Some("") {
        return Err("this is no password hash; make one with `openssl passwd -6`".to_owned());
    }
    let scheme = fields.next().unwrap_or("");
    let rest: Vec<&str> = fields.collect();
    let digest_length = match scheme {
        "6" => 86,
        "5" | "y" => 43,
        _ => {
            return Err(
                "this hash is not one of $6$, $5$ and $y$; make one with `openssl passwd -6`".to_owned()
            );
        }
    };
    let parameters = match (scheme, rest.as_slice()) {
        ("y", [parameters, _, _]) => !parameters.is_empty(),
        (_, [rounds, _, _]) => rounds.strip_prefix("rounds=").is_some_and(|n| n.parse::<u32>().is_ok()),
        ("5" | "6", [_, _]) => true,
        _ => false,
    };
    let crypt64 =
        |field: &&str| field.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"./".contains(&byte));
    let salt_and_digest = rest.iter().rev().take(2).all(crypt64);
    let whole = rest.last().is_some_and(|digest| digest.len() == digest_length);
    if parameters && salt_and_digest && whole {
        Ok(())
    } else {
        Err(format!(
            "this ${scheme}$ hash is not whole: nobody could log in with it; make one with `openssl passwd -6`"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::{cmdline_word, country, crypt_hash, glob, keymap, locale, sha256, size, ssid, timezone};

    #[test]
    fn sizes() {
        assert_eq!(size("4GiB"), Ok(4 << 30));
        assert_eq!(size("7800 MB"), Ok(7_800_000_000));
        for wrong in
            ["", "4", "GiB", "4 gib", "-4GiB", "4.5GiB", "0GiB", "3000GiB", "99999999999999999999GiB"]
        {
            assert!(size(wrong).is_err(), "{wrong}");
        }
        assert!(size("18446744073709551615GiB").is_err());
    }

    #[test]
    fn digests() {
        assert_eq!(sha256(&"aB".repeat(32)), Ok([0xab; 32]));
        assert!(sha256("ab").is_err() && sha256(&"zz".repeat(32)).is_err() && sha256("…").is_err());
    }

    #[test]
    fn places() {
        assert!(
            ["Europe/Berlin", "UTC", "Etc/GMT+1", "America/Argentina/Ushuaia"]
                .iter()
                .all(|t| timezone(t).is_ok())
        );
        assert!(
            ["", "/etc/passwd", "../x", "Europe/", "a b", "a/b/c/d"].iter().all(|t| timezone(t).is_err())
        );
        assert!(["en_GB.UTF-8", "de_DE@euro", "C.UTF-8", "POSIX", "de_DE"].iter().all(|t| locale(t).is_ok()));
        assert!(
            ["", "en", "english", "en_gb.UTF-8", "en_GB.", "en_GB UTF-8"].iter().all(|t| locale(t).is_err())
        );
        assert!(keymap("gb").is_ok() && keymap("GB").is_err() && keymap("").is_err());
        assert!(country("DE").is_ok() && country("DEU").is_err());
        assert!(country("de").expect_err("small letters").contains("\"DE\""));
    }

    #[test]
    fn wifi_names_and_words() {
        assert!(ssid("Café 5G").is_ok() && ssid("").is_err() && ssid("a\nb").is_err());
        assert!(ssid(&"é".repeat(17)).is_err(), "it is bytes that count");
        assert!(cmdline_word("dwc_otg.lpm_enable=0").is_ok());
        assert!(
            ["", "a b", "a\nb", "root=/dev/sda", "init=/bin/sh", "resize"]
                .iter()
                .all(|w| cmdline_word(w).is_err())
        );
        assert!(glob("debs/*.deb").is_ok() && glob("debs/[").is_err() && glob("").is_err());
    }

    #[test]
    fn hashes_are_whole_or_refused_unprinted() {
        let (long, short) = ("a".repeat(86), "b".repeat(43));
        for right in [
            format!("$6$salt${long}"),
            format!("$6$rounds=5000$salt${long}"),
            format!("$5$salt${short}"),
            format!("$y$j9T$salt${short}"),
        ] {
            assert_eq!(crypt_hash(&right), Ok(()), "{right}");
        }
        for wrong in [
            "",
            "secret",
            "$6$salt$secret",
            "$1$salt$secret",
            &format!("$6$salt${long}\n"),
            &format!("$6$sa:lt${long}"),
            &format!("$6$x$salt${long}"),
            &format!("$y$salt${short}"),
        ] {
            let message = crypt_hash(wrong).expect_err(wrong);
            assert!(!message.contains("secret"), "{message}");
        }
    }
}
