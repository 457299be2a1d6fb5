//! `fstab`: only the ids of partitions change.

/// The text with another disk id in every `PARTUUID=` of the old one (`fstab(5)`, first field).
pub(super) fn with_disk_id(text: &str, old: u32, new: u32) -> String {
    let (old, new) = (partuuid(old), partuuid(new));
    text.split_inclusive('\n')
        .map(|line| match line.strip_prefix(&old) {
            Some(rest) => format!("{new}{rest}"),
            None => line.to_owned(),
        })
        .collect()
}

/// How a partition of a disk with an MBR begins: `PARTUUID=eff22469-`.
pub(super) fn partuuid(disk_id: u32) -> String {
    format!("PARTUUID={disk_id:08x}-")
}

#[cfg(test)]
mod tests {
    use super::with_disk_id;

    #[test]
    fn changes_ids_and_nothing_else() {
        let text = "proc            /proc           proc    defaults          0       0\n\
                    PARTUUID=0ff22469-01  /boot/firmware  vfat    defaults          0       2\n\
                    PARTUUID=0ff22469-02  /               ext4    defaults,noatime  0       1\n\
                    # PARTUUID=0ff22469-03\nPARTUUID=11111111-01 /mnt ext4 defaults 0 0\n";
        let edited = with_disk_id(text, 0x0ff2_2469, 0x1);
        let expected = text.replacen("PARTUUID=0ff22469-01", "PARTUUID=00000001-01", 1);
        assert_eq!(edited, expected.replacen("PARTUUID=0ff22469-02", "PARTUUID=00000001-02", 1));
    }

    #[test]
    fn device_names_of_2016_stay() {
        let text = "/dev/mmcblk0p1  /boot  vfat  defaults  0  2\n/dev/mmcblk0p2  /  ext4  defaults  0  1";
        assert_eq!(with_disk_id(text, 1, 2), text);
    }
}
