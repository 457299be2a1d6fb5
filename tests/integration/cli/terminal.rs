//! The program at a terminal: what it asks, and what Ctrl-C does.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use nix::pty::{Winsize, openpty};
use nix::sys::termios::{Termios, tcgetattr};

use super::desk::{Desk, KEY, cluster};
use super::image::digest;

/// A run of the program at a terminal.
pub(super) struct AtTerminal {
    child: Child,
    terminal: File,
    /// The terminal's before the run.
    settings: Termios,
    hears: Receiver<String>,
    said: String,
}

impl AtTerminal {
    pub(super) fn start(desk: &Desk, args: &[&str]) -> Self {
        let window = Winsize { ws_row: 24, ws_col: 120, ws_xpixel: 0, ws_ypixel: 0 };
        let pair = openpty(&window, None).unwrap();
        // The terminal is the run's own, so that Ctrl-C reaches it.
        let plain = desk.command(args);
        let mut command = Command::new("setsid");
        command.arg("--ctty").arg(plain.get_program()).args(args).env_clear();
        command.envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?))));
        command.current_dir(desk.path(""));
        command.stdin(pair.slave.try_clone().unwrap()).stderr(pair.slave).stdout(Stdio::null());
        let child = command.spawn().unwrap();
        // The command holds the other end of the terminal, too.
        drop(command);
        let terminal = File::from(pair.master);
        let mut ear = terminal.try_clone().unwrap();
        let (tell, hears) = channel();
        thread::spawn(move || {
            let mut buf = [0; 4096];
            // Reading fails once the program has let go of its end.
            while let Ok(count @ 1..) = ear.read(&mut buf) {
                let _ = tell.send(String::from_utf8_lossy(&buf[..count]).into_owned());
            }
        });
        let settings = tcgetattr(&terminal).unwrap();
        Self { child, terminal, settings, hears, said: String::new() }
    }

    /// Waits until it says this.
    #[track_caller]
    pub(super) fn says(&mut self, text: &str) {
        while !self.said.contains(text) {
            match self.hears.recv_timeout(Duration::from_secs(60)) {
                Ok(heard) => self.said += &heard,
                Err(why) => panic!("{why}: {text:?} is missing from {:?}", self.said),
            }
        }
        let end = self.said.find(text).unwrap_or(0) + text.len();
        self.said.drain(..end);
    }

    pub(super) fn types(&mut self, line: &str) {
        writeln!(self.terminal, "{line}").unwrap();
    }

    /// Ctrl-C, as the terminal makes a signal of it.
    pub(super) fn ctrl_c(&mut self) {
        self.terminal.write_all(&[3]).unwrap();
    }

    /// Its exit status; the terminal is as it was.
    #[track_caller]
    pub(super) fn ends(mut self) -> Option<i32> {
        let code = self.child.wait().unwrap().code();
        assert!(tcgetattr(&self.terminal).unwrap() == self.settings, "the terminal is not as it was");
        self.said.extend(self.hears.try_iter());
        let shown = |sequence| self.said.rfind(sequence);
        assert!(shown("\x1b[?25h") >= shown("\x1b[?25l"), "the cursor is gone: {:?}", self.said);
        code
    }
}

impl Drop for AtTerminal {
    fn drop(&mut self) {
        // A test that failed leaves nobody waiting for a card.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn ctrl_c_at_a_question_is_a_no_at_once() {
    let desk = Desk::new(&["pi1"]);
    let card = desk.card("card", 128);
    desk.run(&["bake", "--all", "-y"]).ends(0);
    let before = digest(&card);
    let mut run = AtTerminal::start(&desk, &["flash", "--node", "pi1", "card"]);
    run.says("Type yes");
    run.ctrl_c();
    run.says("nothing was written");
    assert_eq!(run.ends(), Some(130));
    assert_eq!(digest(&card), before);
}

#[test]
fn ctrl_c_at_a_secret_is_a_no_at_once() {
    let desk = Desk::bare();
    let user =
        format!("[user]\nauthorized_keys = [\"{KEY}\"]\npassword = {{ prompt = \"password for pi\" }}\n");
    desk.write("pibake.toml", cluster("lab", &user, &["pi1"]));
    let card = desk.card("card", 128);
    let before = digest(&card);
    let mut run = AtTerminal::start(&desk, &["flash", "--node", "pi1", "card", "-y"]);
    run.says("password for pi");
    // The question is shown before the terminal is told not to echo.
    thread::sleep(Duration::from_millis(300));
    run.ctrl_c();
    run.says("nothing was written");
    assert_eq!(run.ends(), Some(130));
    assert_eq!(digest(&card), before);
}

#[test]
fn ctrl_c_while_the_card_is_written_leaves_the_terminal_as_it_was() {
    let desk = Desk::new(&["pi1"]);
    let card = desk.card("card", 128);
    let mut run = AtTerminal::start(&desk, &["flash", "--node", "pi1", "card", "-y"]);
    run.says("writing");
    run.ctrl_c();
    let status = run.ends();
    let seen = desk.run(&["inspect", card.to_str().unwrap(), "--json"]).ends(0).json();
    // A machine may be quick enough to be done before the signal.
    assert!(
        status == Some(130) || (status == Some(0) && seen["system"]["hostname"] == "pi1"),
        "{status:?} {seen}"
    );
    if status == Some(130) {
        assert_eq!(seen["table"], serde_json::Value::Null);
    }
}

#[test]
fn only_a_yes_is_a_yes() {
    let desk = Desk::new(&["pi1"]);
    let card = desk.card("card", 128);
    desk.run(&["bake", "--all", "-y"]).ends(0);
    let before = digest(&card);
    for answer in ["y", "no", "", "yes please"] {
        let mut run = AtTerminal::start(&desk, &["flash", "--node", "pi1", "card"]);
        run.says("Type yes");
        run.types(answer);
        run.says("nothing was written");
        assert_eq!(run.ends(), Some(3), "{answer:?}");
    }
    assert_eq!(digest(&card), before);
}

#[test]
fn a_card_that_changes_while_the_question_stands_is_refused() {
    let desk = Desk::new(&["pi1"]);
    desk.run(&["bake", "--all", "-y"]).ends(0);
    let open = |path: &Path| File::options().write(true).open(path).unwrap();
    let poke = |path: &Path| open(path).write_all_at(b"x", 440).unwrap();
    let grow = |path: &Path| open(path).set_len(129 << 20).unwrap();
    let replace = |path: &Path| {
        fs::copy(path, path.with_extension("new")).unwrap();
        fs::rename(path.with_extension("new"), path).unwrap();
    };
    let remove = |path: &Path| fs::remove_file(path).unwrap();
    for (change, says) in [
        (&poke as &dyn Fn(&Path), "is not what was confirmed: another content"),
        (&grow, "is not what was confirmed: another size"),
        (&replace, "is not what was confirmed: another device"),
        (&remove, "is gone"),
    ] {
        let card = desk.card("card", 128);
        std::os::unix::fs::symlink("card", desk.path("link")).unwrap();
        let mut run = AtTerminal::start(&desk, &["flash", "--node", "pi1", "link"]);
        // What a link leads to is shown, and that is what is opened.
        run.says(&format!("{}: a regular file", card.display()));
        run.says("Type yes");
        change(&card);
        let before = card.exists().then(|| digest(&card));
        run.types("yes");
        run.says(says);
        assert_eq!(run.ends(), Some(3), "{says}");
        assert_eq!(card.exists().then(|| digest(&card)), before, "{says}");
        fs::remove_file(desk.path("link")).unwrap();
    }
}
