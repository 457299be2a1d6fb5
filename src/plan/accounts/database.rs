//! The account tables of an image together, and the edits that keep them agreeing with each other.

use std::ops::RangeInclusive;

use crate::plan::error::PlanError;

use super::table::{Table, add_to_list, rename_in_list};

/// The lowest number for an account that is added: 1000 is the image's own.
const FIRST_UID: u32 = 1001;

/// One past the highest (`login.defs`, `UID_MAX`).
const END_UID: u32 = 60_000;

/// Groups of packages (`login.defs`, `SYS_GID_MIN`, `SYS_GID_MAX`).
const SYSTEM_GIDS: RangeInclusive<u32> = 100..=999;

/// How many subordinate ids an account gets, and where they begin (`login.defs`, `SUB_UID_COUNT`).
const SUBORDINATES: u32 = 65_536;
const FIRST_SUBORDINATE: u32 = 100_000;

/// An account as `passwd` has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) home: String,
}

/// The tables. `gshadow`, `subuid` and `subgid` may be missing.
#[derive(Clone, Debug)]
pub(super) struct Database {
    pub(super) passwd: Table,
    pub(super) shadow: Table,
    pub(super) group: Table,
    pub(super) gshadow: Option<Table>,
    pub(super) subuid: Option<Table>,
    pub(super) subgid: Option<Table>,
}

impl Database {
    /// The account with a number.
    pub(super) fn by_uid(&self, uid: u32) -> Option<Entry> {
        self.passwd.rows().filter_map(entry).find(|entry| entry.uid == uid)
    }

    /// The account with a name.
    pub(super) fn by_name(&self, name: &str) -> Option<Entry> {
        self.passwd.row(name).and_then(entry)
    }

    /// Gives an account another name, wherever the old one stands: its own lines, its own group, every
    /// membership and administrator list, its subordinate ids. A home directory named after it follows.
    ///
    /// # Errors
    /// When the new name is taken.
    pub(super) fn rename(&mut self, old: &str, new: &str) -> Result<(), PlanError> {
        if old == new {
            return Ok(());
        }
        self.check_free(new)?;
        if let Some(row) = self.passwd.row_mut(old) {
            new.clone_into(&mut row[0]);
            if let Some(home) = row.get_mut(5).filter(|home| **home == format!("/home/{old}")) {
                *home = format!("/home/{new}");
            }
        }
        let named = [Some(&mut self.shadow), Some(&mut self.group), self.gshadow.as_mut()];
        let subordinate = [self.subuid.as_mut(), self.subgid.as_mut()];
        for row in named.into_iter().chain(subordinate).flatten().flat_map(Table::rows_mut) {
            if row[0] == old {
                new.clone_into(&mut row[0]);
            }
        }
        for list in self.group.rows_mut().filter_map(|row| row.get_mut(3)) {
            rename_in_list(list, old, new);
        }
        for row in self.gshadow.iter_mut().flat_map(Table::rows_mut) {
            for list in row.iter_mut().skip(2) {
                rename_in_list(list, old, new);
            }
        }
        Ok(())
    }

    /// Sets the password field, and the day it was last changed.
    pub(super) fn set_password(&mut self, name: &str, hash: &str, day: i64) {
        let day = day.to_string();
        match self.shadow.row_mut(name).filter(|row| row.len() >= 3) {
            Some(row) => {
                hash.clone_into(&mut row[1]);
                row[2] = day;
            }
            None => self.shadow.push(&[name, hash, &day, "0", "99999", "7", "", "", ""]),
        }
    }

    /// Adds an account with a group of its own; the password is for [`Database::set_password`].
    ///
    /// # Errors
    /// When the name is taken or no number is left.
    pub(super) fn add(&mut self, name: &str) -> Result<Entry, PlanError> {
        self.check_free(name)?;
        let free = |id: &u32| !self.passwd.has_number(2, *id) && !self.group.has_number(2, *id);
        let Some(id) = (FIRST_UID..END_UID).find(free) else {
            return Err(account_error(name, "no user number is left in the image".to_owned()));
        };
        let (number, home) = (id.to_string(), format!("/home/{name}"));
        self.passwd.push(&[name, "x", &number, &number, "", &home, "/bin/bash"]);
        self.group.push(&[name, "x", &number, ""]);
        if let Some(gshadow) = &mut self.gshadow {
            gshadow.push(&[name, "!", "", ""]);
        }
        for table in [&mut self.subuid, &mut self.subgid].into_iter().flatten() {
            if let Some(start) = free_subordinates(table) {
                table.push(&[name, &start.to_string(), &SUBORDINATES.to_string()]);
            }
        }
        Ok(Entry { name: name.to_owned(), uid: id, gid: id, home })
    }

    /// Puts an account into a group.
    ///
    /// # Errors
    /// When there is no such group.
    pub(super) fn join(&mut self, name: &str, group: &str) -> Result<(), PlanError> {
        let Some(row) = self.group.row_mut(group) else {
            return Err(account_error(name, format!("there is no group {group:?} in the image")));
        };
        row.resize(row.len().max(4), String::new());
        add_to_list(&mut row[3], name);
        if let Some(row) = self.gshadow.as_mut().and_then(|table| table.row_mut(group)) {
            row.resize(row.len().max(4), String::new());
            add_to_list(&mut row[3], name);
        }
        Ok(())
    }

    /// Makes a group of a package that is installed only on the node, which then finds it there; the
    /// number as `groupadd --system` of Debian picks it.
    ///
    /// # Errors
    /// When no number is left.
    pub(super) fn ensure_system_group(&mut self, name: &str) -> Result<(), PlanError> {
        if self.group.row(name).is_some() {
            return Ok(());
        }
        let free = |id: &u32| !self.group.has_number(2, *id) && !self.passwd.has_number(2, *id);
        let Some(id) = SYSTEM_GIDS.rev().find(free) else {
            let message = "no system group's number is left in the image".to_owned();
            return Err(PlanError::Setting { key: format!("group {name:?}"), message });
        };
        self.group.push(&[name, "x", &id.to_string(), ""]);
        if let Some(gshadow) = &mut self.gshadow {
            gshadow.push(&[name, "!", "", ""]);
        }
        Ok(())
    }

    fn check_free(&self, name: &str) -> Result<(), PlanError> {
        if self.passwd.row(name).is_some() {
            return Err(account_error(name, "the image has an account of that name already".to_owned()));
        }
        if self.group.row(name).is_some() {
            return Err(account_error(name, "the image has a group of that name already".to_owned()));
        }
        Ok(())
    }
}

pub(super) fn account_error(name: &str, message: String) -> PlanError {
    PlanError::Setting { key: format!("account {name:?}"), message }
}

fn entry(row: &[String]) -> Option<Entry> {
    let [name, _, uid, gid, _, home, _] = row else { return None };
    Some(Entry { name: name.clone(), uid: uid.parse().ok()?, gid: gid.parse().ok()?, home: home.clone() })
}

/// The first number after every range handed out, as `useradd(8)` does it.
fn free_subordinates(table: &Table) -> Option<u32> {
    let mut end = FIRST_SUBORDINATE;
    for row in table.rows() {
        let [_, start, count] = row else { continue };
        let (Ok(start), Ok(count)) = (start.parse::<u32>(), count.parse::<u32>()) else { continue };
        end = end.max(start.checked_add(count)?);
    }
    end.checked_add(SUBORDINATES).map(|_| end)
}

#[cfg(test)]
mod tests {
    use super::Database;
    use crate::plan::accounts::table::Table;

    fn database() -> Database {
        Database {
            passwd: Table::parse(
                "root:x:0:0:root:/root:/bin/bash\npi:x:1000:1000:,,,:/home/pi:/bin/bash\npia:x:1001:1001::/home/pia:/bin/sh\n",
            ),
            shadow: Table::parse(
                "root:*:19000:0:99999:7:::\npi:$6$stock:19000:0:99999:7:::\npia:!:19000::::::\n",
            ),
            group: Table::parse(
                "sudo:x:27:pi\nvideo:x:44:pia,pi\nusers:x:100:\npi:x:1000:\npia:x:1001:\nfull:x:1002:pi\n",
            ),
            gshadow: Some(Table::parse("sudo:*:pi:pi\nvideo:*::pia,pi\nusers:*::\npi:!::\npia:!::\n")),
            subuid: Some(Table::parse("pi:100000:65536\n")),
            subgid: Some(Table::parse("pi:100000:65536\npia:165536:65536\n")),
        }
    }

    #[test]
    fn renames_everywhere_and_nothing_else() {
        let mut db = database();
        db.rename("pi", "anna").unwrap();
        assert_eq!(
            db.passwd.text(),
            "root:x:0:0:root:/root:/bin/bash\nanna:x:1000:1000:,,,:/home/anna:/bin/bash\npia:x:1001:1001::/home/pia:/bin/sh\n"
        );
        assert!(db.shadow.text().contains("\nanna:$6$stock:19000:0:99999:7:::\npia:"));
        assert_eq!(
            db.group.text(),
            "sudo:x:27:anna\nvideo:x:44:pia,anna\nusers:x:100:\nanna:x:1000:\npia:x:1001:\nfull:x:1002:anna\n"
        );
        assert_eq!(
            db.gshadow.unwrap().text(),
            "sudo:*:anna:anna\nvideo:*::pia,anna\nusers:*::\nanna:!::\npia:!::\n"
        );
        assert_eq!(db.subuid.unwrap().text(), "anna:100000:65536\n");
        assert_eq!(db.subgid.unwrap().text(), "anna:100000:65536\npia:165536:65536\n");
    }

    #[test]
    fn a_home_somewhere_else_stays() {
        let mut db = database();
        db.passwd = Table::parse("pi:x:1000:1000::/srv/pi:/bin/bash\n");
        db.rename("pi", "anna").unwrap();
        assert_eq!(db.passwd.text(), "anna:x:1000:1000::/srv/pi:/bin/bash\n");
    }

    #[test]
    fn the_same_name_changes_nothing() {
        let mut db = database();
        db.rename("pi", "pi").unwrap();
        assert_eq!(db.passwd.text(), database().passwd.text());
    }

    #[test]
    fn refuses_names_that_are_taken() {
        for name in ["root", "pia", "video"] {
            assert!(database().rename("pi", name).is_err(), "{name}");
            assert!(database().add(name).is_err(), "{name}");
        }
    }

    #[test]
    fn sets_passwords_in_place_or_adds_the_line() {
        let mut db = database();
        db.set_password("pi", "$6$new", 20_000);
        assert_eq!(
            db.shadow.text(),
            "root:*:19000:0:99999:7:::\npi:$6$new:20000:0:99999:7:::\npia:!:19000::::::\n"
        );
        db.set_password("new", "*", 20_000);
        assert!(db.shadow.text().ends_with("\nnew:*:20000:0:99999:7:::\n"));
    }

    #[test]
    fn adds_with_the_first_number_free_in_both_tables() {
        let mut db = database();
        let entry = db.add("jenkins").unwrap();
        assert_eq!((entry.uid, entry.gid, entry.home.as_str()), (1003, 1003, "/home/jenkins"));
        assert!(db.passwd.text().ends_with("\njenkins:x:1003:1003::/home/jenkins:/bin/bash\n"));
        assert!(db.group.text().ends_with("\njenkins:x:1003:\n"));
        assert!(db.gshadow.as_ref().unwrap().text().ends_with("\njenkins:!::\n"));
        assert!(db.subuid.as_ref().unwrap().text().ends_with("\njenkins:165536:65536\n"));
        assert!(db.subgid.as_ref().unwrap().text().ends_with("\njenkins:231072:65536\n"));
        db.join("jenkins", "users").unwrap();
        db.join("jenkins", "users").unwrap();
        db.join("jenkins", "video").unwrap();
        assert!(db.group.text().contains("users:x:100:jenkins\n"));
        assert!(db.gshadow.as_ref().unwrap().text().contains("video:*::pia,pi,jenkins\n"));
        assert!(db.join("jenkins", "docker").is_err());
    }

    #[test]
    fn lines_it_cannot_read_do_no_harm() {
        let mut db = database();
        db.passwd = Table::parse("pi:x:1000:1000:,,,:/home/pi:/bin/bash\n+\nbroken:x:y\n\n");
        db.subuid = Some(Table::parse("pi:4294967295:65536\n"));
        db.rename("pi", "anna").unwrap();
        db.add("x").unwrap();
        assert!(db.passwd.text().starts_with("anna:x:1000:1000:,,,:/home/anna:/bin/bash\n+\nbroken:x:y\n\n"));
        assert_eq!(db.subuid.unwrap().text(), "anna:4294967295:65536\n");
    }
}
