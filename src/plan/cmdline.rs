//! `cmdline.txt`: one line of words for the kernel, ended by a newline.

/// The words of a kernel command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cmdline {
    words: Vec<String>,
}

impl Cmdline {
    /// Takes a text apart at white space; double quotes keep it together, as in the kernel's
    /// `lib/cmdline.c` (`next_arg`).
    pub(super) fn parse(text: &str) -> Self {
        let mut words = Vec::new();
        let mut word = String::new();
        let mut quoted = false;
        for letter in text.chars() {
            if letter == '"' {
                quoted = !quoted;
            }
            if letter.is_ascii_whitespace() && !(quoted && letter == ' ') {
                if !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
                quoted &= letter == ' ';
            } else {
                word.push(letter);
            }
        }
        if !word.is_empty() {
            words.push(word);
        }
        Self { words }
    }

    /// Whether a text is one word, whole and alone.
    pub(super) fn is_word(text: &str) -> bool {
        let quotes = text.matches('"').count();
        quotes.is_multiple_of(2) && !text.contains(char::is_control) && Self::parse(text).words == [text]
    }

    /// One line, one space between words, a newline at the end: the vendor's hooks look for their words
    /// with a space before them.
    pub(super) fn text(&self) -> String {
        self.words.join(" ") + "\n"
    }

    /// Whether the word is there.
    #[cfg(test)]
    pub(super) fn has(&self, word: &str) -> bool {
        self.words.iter().any(|other| other == word)
    }

    /// Takes out every word the test holds for; tells whether there was one.
    pub(super) fn remove(&mut self, test: impl Fn(&str) -> bool) -> bool {
        let before = self.words.len();
        self.words.retain(|word| !test(word));
        self.words.len() != before
    }

    /// Appends a word that is not there yet.
    pub(super) fn add(&mut self, word: &str) {
        if !self.words.iter().any(|other| other == word) {
            self.words.push(word.to_owned());
        }
    }

    /// Gives a `key=value` word its value, in the place of any value it has.
    pub(super) fn set(&mut self, key: &str, value: &str) {
        let prefix = format!("{key}=");
        let word = format!("{prefix}{value}");
        let mut there = false;
        self.words.retain_mut(|other| {
            if !other.starts_with(&prefix) {
                return true;
            }
            other.clone_from(&word);
            !std::mem::replace(&mut there, true)
        });
        if !there {
            self.words.push(word);
        }
    }

    /// Puts another text in the place of one, in the words that begin with `root=`.
    pub(super) fn replace_in_root(&mut self, old: &str, new: &str) {
        for word in self.words.iter_mut().filter(|word| word.starts_with("root=")) {
            *word = word.replace(old, new);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Cmdline;

    const STOCK: &str = "console=serial0,115200 console=tty1 root=PARTUUID=eff22469-02 rootfstype=ext4 \
                         fsck.repair=yes rootwait quiet init=/usr/lib/raspberrypi-sys-mods/firstboot\n";

    #[test]
    fn what_is_not_touched_stays() {
        assert_eq!(Cmdline::parse(STOCK).text(), STOCK);
    }

    #[test]
    fn becomes_one_line_with_single_spaces() {
        assert_eq!(Cmdline::parse("  a  b\r\nc\td\n\n").text(), "a b c d\n");
        assert_eq!(Cmdline::parse("").text(), "\n");
        assert_eq!(Cmdline::parse("x=\"a b\" c").text(), "x=\"a b\" c\n");
        assert_eq!(Cmdline::parse("x=\"a\nb c").text(), "x=\"a b c\n");
    }

    #[test]
    fn removes_by_whole_words() {
        let mut line = Cmdline::parse("resize resize2 a");
        assert!(line.remove(|word| word == "resize"));
        assert!(!line.remove(|word| word == "resize"));
        assert_eq!(line.text(), "resize2 a\n");
    }

    #[test]
    fn adds_once() {
        let mut line = Cmdline::parse("console=tty1 console=serial0 cgroup_enable=memory");
        line.add("cgroup_enable=memory");
        line.add("cgroup_enable=cpuset");
        assert_eq!(line.text(), "console=tty1 console=serial0 cgroup_enable=memory cgroup_enable=cpuset\n");
        assert!(line.has("cgroup_enable=cpuset"));
    }

    #[test]
    fn sets_in_place_and_leaves_no_second() {
        let mut line = Cmdline::parse("a r=GB b r=US");
        line.set("r", "DE");
        assert_eq!(line.text(), "a r=DE b\n");
        line.set("s", "1");
        assert_eq!(line.text(), "a r=DE b s=1\n");
    }

    #[test]
    fn only_the_root_word_gets_the_new_disk() {
        let mut line = Cmdline::parse("x=eff22469 root=PARTUUID=eff22469-02");
        line.replace_in_root("PARTUUID=eff22469-", "PARTUUID=00000001-");
        assert_eq!(line.text(), "x=eff22469 root=PARTUUID=00000001-02\n");
    }
}
