//! Which sectors were written, as the node's kernel noted it down.

use crate::disk::range::ByteRange;

/// The unit of the kernel's block layer, in bytes, whatever the disk's own is.
const SECTOR: u64 = 512;

/// What was written up to a mark.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Written {
    pub(super) ranges: Vec<ByteRange>,
    /// Why that may not be all.
    pub(super) doubt: Option<String>,
}

impl Written {
    /// Reads `SECTOR COUNT` a line, `mark MARK`, and `lost COUNT` for what there was no room for.
    pub(super) fn parse(answer: &[u8], mark: u64) -> Self {
        let text = String::from_utf8_lossy(answer);
        let mut written = Self { ranges: Vec::new(), doubt: None };
        let mut marked = false;
        for line in text.lines() {
            match line.split_once(' ').map(|(word, number)| (word, number.parse::<u64>())) {
                Some(("mark", Ok(found))) => marked |= found == mark,
                Some(("lost", Ok(0))) => {}
                Some(("lost", Ok(count))) => written.doubt = Some(format!("it lost count of {count} writes")),
                Some((sector, Ok(count))) if sector.parse::<u64>().is_ok() => {
                    let sector = sector.parse().unwrap_or(u64::MAX);
                    let range = ByteRange::with_len(
                        u64::saturating_mul(sector, SECTOR),
                        count.saturating_mul(SECTOR),
                    );
                    written.ranges.extend(range.filter(|range| !range.is_empty()));
                }
                _ => written.doubt = Some("its list of writes makes no sense".to_owned()),
            }
        }
        if !marked {
            written.doubt.get_or_insert_with(|| "its list of writes has no end".to_owned());
        }
        written
    }
}

#[cfg(test)]
mod tests {
    use super::Written;
    use crate::disk::range::ByteRange;

    #[test]
    fn writes_up_to_the_mark_and_any_doubt_about_them() {
        let written = Written::parse(b"8 2\n100 0\nmark 7\n16 1\n", 7);
        let range = |start, end| ByteRange::new(start, end).unwrap();
        assert_eq!(written.ranges, [range(4096, 5120), range(8192, 8704)]);
        assert_eq!(written.doubt, None);
        assert_eq!(Written::parse(b"mark 7\nlost 0\n", 7).doubt, None);
        for (text, doubt) in [
            ("mark 6\n", "has no end"),
            ("", "has no end"),
            ("mark 7\nlost 12\n", "12 writes"),
            ("8\nmark 7\n", "makes no sense"),
            ("-8 2\nmark 7\n", "makes no sense"),
        ] {
            assert!(Written::parse(text.as_bytes(), 7).doubt.unwrap().contains(doubt), "{text}");
        }
    }
}
