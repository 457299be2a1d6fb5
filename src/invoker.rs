//! Who called pibake: under sudo or doas the user behind it, whose files everything is read from and written
//! as; root's privilege is used for opening a card and for nothing else.

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::process::Command;

use nix::unistd::{Gid, Uid, User, geteuid, getgid, getuid};

/// What reads the environment: `std::env::var_os` but in tests.
pub type Environment<'a> = &'a dyn Fn(&str) -> Option<OsString>;

/// The user pibake works for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invoker {
    /// User id.
    pub uid: u32,
    /// Primary group id.
    pub gid: u32,
    /// Home directory.
    pub home: PathBuf,
    /// Login name.
    pub name: String,
    via: Option<Via>,
}

/// What lent root's privilege.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Via {
    Sudo,
    Doas,
}

/// Becomes the user who called, to be done before anything else and before there are threads: under sudo or
/// doas the process, and every child of it, runs as the invoking user from here on. The privilege stays
/// within reach of [`Invoker::as_root`], but not of children.
///
/// # Errors
/// When the environment names a user the system does not know, or the system refuses the change.
pub fn assume() -> io::Result<Invoker> {
    let env: Environment<'_> = &|name| std::env::var_os(name);
    if !geteuid().is_root() {
        return Invoker::plain(env);
    }
    let Some(caller) = Caller::from_environment(env)? else { return Invoker::plain(env) };
    let user = caller.look_up()?;
    let gid = caller.gid.map_or(user.gid, Gid::from_raw);
    system::become_user(&user, gid)?;
    Ok(Invoker {
        uid: user.uid.as_raw(),
        gid: gid.as_raw(),
        home: user.dir,
        name: user.name,
        via: Some(caller.via),
    })
}

impl Invoker {
    /// Nobody's caller but the process's own user.
    fn plain(env: Environment<'_>) -> io::Result<Self> {
        let uid = getuid();
        let user = User::from_uid(uid)?;
        let home = env("HOME").map(PathBuf::from).filter(|home| home.is_absolute());
        let known = user.as_ref().map(|user| user.dir.clone());
        let unknown = || io::Error::other(format!("user {uid} has no home directory: set HOME"));
        Ok(Self {
            uid: uid.as_raw(),
            gid: getgid().as_raw(),
            home: home.or(known).ok_or_else(unknown)?,
            name: user.map_or_else(|| uid.to_string(), |user| user.name),
            via: None,
        })
    }

    /// Whether pibake was run through sudo or doas.
    #[must_use]
    pub fn is_elevated(&self) -> bool {
        self.via.is_some()
    }

    /// Runs `f` with root's privilege if sudo or doas lent it, and plainly otherwise. Only for opening a device:
    /// what `f` makes is root's. Other threads, which may be making files, stay the user's; one that `f` starts
    /// would not.
    ///
    /// # Errors
    /// When the privilege cannot be regained. Should it be impossible to give up again, the process aborts.
    pub fn as_root<T>(&self, f: impl FnOnce() -> T) -> io::Result<T> {
        if self.via.is_none() {
            return Ok(f());
        }
        let _back = Elevated::to_root(Uid::from_raw(self.uid))?;
        Ok(f())
    }

    /// Where things that can be made again are kept: `$XDG_CACHE_HOME/pibake`, or `~/.cache/pibake`. Under
    /// sudo the variable is not looked at: it may be root's.
    #[must_use]
    pub fn cache_dir(&self, env: Environment<'_>) -> PathBuf {
        // The XDG base directory specification wants relative paths ignored.
        let given = env("XDG_CACHE_HOME").map(PathBuf::from).filter(|dir| dir.is_absolute());
        let base = given.filter(|_| self.via.is_none());
        base.unwrap_or_else(|| self.home.join(".cache")).join("pibake")
    }

    /// Puts the home directory where a path begins with `~`. Another user's (`~name`) is left as it is.
    #[must_use]
    pub fn expand_home(&self, path: &str) -> PathBuf {
        match path.strip_prefix('~') {
            Some("") => self.home.clone(),
            Some(rest) if rest.starts_with('/') => self.home.join(rest.trim_start_matches('/')),
            _ => PathBuf::from(path),
        }
    }

    /// The program that `words` name, with its arguments, to be run for this user. Spawning it fails when
    /// there are no words.
    #[must_use]
    pub fn command(&self, words: &[String]) -> Command {
        let mut words = words.iter();
        let mut command = Command::new(words.next().map_or("", String::as_str));
        command.args(words).env("HOME", &self.home).env("USER", &self.name).env("LOGNAME", &self.name);
        command
    }
}

/// Gives the privilege up again when dropped, a panic included.
struct Elevated {
    user: Uid,
}

impl Elevated {
    fn to_root(user: Uid) -> io::Result<Self> {
        system::become_for_now(Uid::from_raw(0))?;
        Ok(Self { user })
    }
}

impl Drop for Elevated {
    fn drop(&mut self) {
        if system::become_for_now(self.user).is_err() {
            // Going on as root would write files the user cannot remove.
            std::process::abort();
        }
    }
}

/// Who the environment says is behind root.
#[derive(Debug, PartialEq, Eq)]
struct Caller {
    via: Via,
    who: Who,
    gid: Option<u32>,
}

#[derive(Debug, PartialEq, Eq)]
enum Who {
    Id(u32),
    Name(String),
}

impl Caller {
    /// Reads what sudo(8) and doas(1) put into the environment; `None` when nobody but root is behind it.
    fn from_environment(env: Environment<'_>) -> io::Result<Option<Self>> {
        if let Some(value) = env("SUDO_UID") {
            let uid = parse_id("SUDO_UID", &value)?;
            let gid = env("SUDO_GID").map(|value| parse_id("SUDO_GID", &value)).transpose()?;
            return Ok((uid != 0).then_some(Self { via: Via::Sudo, who: Who::Id(uid), gid }));
        }
        let Some(name) = env("DOAS_USER").filter(|name| !name.is_empty() && name != "root") else {
            return Ok(None);
        };
        let name = name.into_string().map_err(|name| invalid("DOAS_USER", &name))?;
        Ok(Some(Self { via: Via::Doas, who: Who::Name(name), gid: None }))
    }

    fn look_up(&self) -> io::Result<User> {
        let (user, variable) = match &self.who {
            Who::Id(uid) => (User::from_uid(Uid::from_raw(*uid))?, format!("SUDO_UID={uid}")),
            Who::Name(name) => (User::from_name(name)?, format!("DOAS_USER={name}")),
        };
        user.ok_or_else(|| io::Error::other(format!("{variable} names a user this system does not know")))
    }
}

fn parse_id(variable: &str, value: &OsString) -> io::Result<u32> {
    value.to_str().and_then(|value| value.parse().ok()).ok_or_else(|| invalid(variable, value))
}

fn invalid(variable: &str, value: &OsString) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, format!("{variable}={value:?} names no user"))
}

/// Linux, where every thread has user ids of its own and the C library hides that.
#[cfg(target_os = "linux")]
mod system {
    use std::ffi::CString;
    use std::io;

    use nix::unistd::{Gid, Uid, User, initgroups, setresgid, setresuid};

    /// Leaves root as the saved user id and nowhere else. The order is fixed: only root may change groups.
    pub(super) fn become_user(user: &User, gid: Gid) -> io::Result<()> {
        let name = CString::new(user.name.as_str()).map_err(io::Error::other)?;
        initgroups(&name, gid)?;
        setresgid(gid, gid, gid)?;
        setresuid(user.uid, user.uid, Uid::from_raw(0))?;
        Ok(())
    }

    /// Changes the effective user of the calling thread alone.
    pub(super) fn become_for_now(user: Uid) -> io::Result<()> {
        let user = rustix::thread::Uid::from_raw(user.as_raw());
        Ok(rustix::thread::set_thread_res_uid(None, user, None)?)
    }
}

/// Elsewhere the privilege would be every thread's, or children's.
#[cfg(not(target_os = "linux"))]
mod system {
    use std::io;

    use nix::unistd::{Gid, Uid, User};

    /// Refuses.
    pub(super) fn become_user(_user: &User, _gid: Gid) -> io::Result<()> {
        Err(unsupported())
    }

    /// Refuses.
    pub(super) fn become_for_now(_user: Uid) -> io::Result<()> {
        Err(unsupported())
    }

    fn unsupported() -> io::Error {
        io::Error::new(io::ErrorKind::Unsupported, "run without sudo on this system")
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;
    use std::path::PathBuf;

    use super::{Caller, Invoker, Via, Who};

    fn env<'a>(pairs: &'a [(&'a str, &'a str)]) -> impl Fn(&str) -> Option<OsString> + 'a {
        move |name| pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| OsString::from(value))
    }

    fn invoker(via: Option<Via>) -> Invoker {
        Invoker { uid: 1000, gid: 1000, home: "/home/ann".into(), name: "ann".into(), via }
    }

    fn caller(pairs: &[(&str, &str)]) -> Result<Option<Caller>, String> {
        Caller::from_environment(&env(pairs)).map_err(|error| error.to_string())
    }

    #[test]
    fn sudo_and_doas_name_the_caller() {
        let sudo = Caller { via: Via::Sudo, who: Who::Id(1000), gid: Some(100) };
        assert_eq!(caller(&[("SUDO_UID", "1000"), ("SUDO_GID", "100")]), Ok(Some(sudo)));
        let doas = Caller { via: Via::Doas, who: Who::Name("ann".into()), gid: None };
        assert_eq!(caller(&[("DOAS_USER", "ann")]), Ok(Some(doas)));
    }

    #[test]
    fn root_itself_stays_root() {
        assert_eq!(caller(&[]), Ok(None));
        assert_eq!(caller(&[("SUDO_UID", "0"), ("SUDO_GID", "0")]), Ok(None));
        assert_eq!(caller(&[("DOAS_USER", "root")]), Ok(None));
        assert_eq!(caller(&[("DOAS_USER", "")]), Ok(None));
    }

    #[test]
    fn nonsense_is_refused_not_taken_for_root() {
        for value in ["", "ann", "-1", "4294967296", "1000 "] {
            let error = caller(&[("SUDO_UID", value)]).unwrap_err();
            assert!(error.contains("SUDO_UID"), "{error}");
        }
        assert!(caller(&[("SUDO_UID", "1000"), ("SUDO_GID", "x")]).unwrap_err().contains("SUDO_GID"));
        let nobody = Caller { via: Via::Doas, who: Who::Name("no such user".into()), gid: None };
        assert!(nobody.look_up().unwrap_err().to_string().contains("DOAS_USER=no such user"));
    }

    #[test]
    fn the_cache_is_the_callers() {
        let given = env(&[("XDG_CACHE_HOME", "/fast")]);
        assert_eq!(invoker(None).cache_dir(&given), PathBuf::from("/fast/pibake"));
        let home = PathBuf::from("/home/ann/.cache/pibake");
        assert_eq!(invoker(Some(Via::Sudo)).cache_dir(&given), home);
        assert_eq!(invoker(None).cache_dir(&env(&[("XDG_CACHE_HOME", "relative")])), home);
        assert_eq!(invoker(None).cache_dir(&env(&[])), home);
    }

    #[test]
    fn a_tilde_is_the_callers_home() {
        let ann = invoker(Some(Via::Doas));
        for (path, want) in [
            ("~", "/home/ann"),
            ("~/.ssh/id.pub", "/home/ann/.ssh/id.pub"),
            ("~//x", "/home/ann/x"),
            ("~bob/x", "~bob/x"),
            ("a/~/x", "a/~/x"),
            ("/etc/x", "/etc/x"),
            ("", ""),
        ] {
            assert_eq!(ann.expand_home(path), PathBuf::from(want), "{path}");
        }
    }

    #[test]
    fn commands_see_the_callers_home() {
        let words = ["sh", "-c", "echo $HOME $USER $LOGNAME $0", "a b"].map(String::from);
        let output = invoker(Some(Via::Sudo)).command(&words).output().unwrap();
        assert_eq!(String::from_utf8(output.stdout).unwrap(), "/home/ann ann ann a b\n");
        assert!(invoker(None).command(&[]).output().is_err());
    }

    #[test]
    fn without_borrowed_privilege_nothing_changes() {
        let before = nix::unistd::geteuid();
        assert_eq!(invoker(None).as_root(nix::unistd::geteuid).unwrap(), before);
        let plain = Invoker::plain(&env(&[("HOME", "/somewhere")])).unwrap();
        assert_eq!(plain.home, PathBuf::from("/somewhere"));
        assert!(!plain.is_elevated());
    }
}
