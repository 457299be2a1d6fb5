//! Progress for a person at a terminal, for a log, and for a program.

use std::collections::HashMap;
use std::io::{self, Write};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::progress::{Event, Phase, Progress, Silent};

/// How often a log gets a line about work still going on.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// What suits this run: JSON lines, bars on a terminal, a line now and then, or nothing.
#[must_use]
pub fn choose(json: bool, quiet: bool) -> Arc<dyn Progress> {
    if json {
        Arc::new(JsonLines)
    } else if quiet {
        Arc::new(Silent)
    } else if !ProgressDrawTarget::stderr().is_hidden() {
        Arc::new(Bars)
    } else {
        Arc::new(Lines::default())
    }
}

fn verb(phase: Phase) -> &'static str {
    match phase {
        Phase::Downloading => "fetching",
        Phase::Checking => "checking",
        Phase::Decoding => "unpacking",
        Phase::Proving => "proving",
        Phase::Baking => "baking",
        Phase::Probing => "trying",
        Phase::Writing => "writing",
        Phase::Verifying => "verifying",
        Phase::Capturing => "capturing",
    }
}

type Key = (Phase, String);

/// One bar for each phase under way. A process has one terminal, so there is one [`SCREEN`] for all.
struct Bars;

/// What is on the terminal, or would be.
struct Screen {
    shown: MultiProgress,
    bars: HashMap<Key, ProgressBar>,
    /// How many want nothing to be drawn, and what was to be said meanwhile.
    quiet: usize,
    unsaid: Vec<String>,
}

static SCREEN: LazyLock<Mutex<Screen>> = LazyLock::new(|| {
    let shown = MultiProgress::with_draw_target(ProgressDrawTarget::stderr());
    Mutex::new(Screen { shown, bars: HashMap::new(), quiet: 0, unsaid: Vec::new() })
});

fn screen() -> MutexGuard<'static, Screen> {
    SCREEN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// As long as there is one, bars stay off the terminal; the work they stand for goes on.
#[must_use]
pub struct Quiet(());

/// Clears the bars away, for questions and for lines that must not be drawn over.
pub fn quiet() -> Quiet {
    let mut screen = screen();
    screen.quiet += 1;
    if screen.quiet == 1 {
        // A terminal that cannot be written to shows no question either.
        let _ = screen.shown.clear();
        screen.shown.set_draw_target(ProgressDrawTarget::hidden());
    }
    Quiet(())
}

impl Drop for Quiet {
    fn drop(&mut self) {
        let mut screen = screen();
        screen.quiet -= 1;
        if screen.quiet == 0 {
            screen.shown.set_draw_target(ProgressDrawTarget::stderr());
            for text in std::mem::take(&mut screen.unsaid) {
                screen.say(text);
            }
        }
    }
}

impl Screen {
    fn bar(&self, phase: Phase, subject: &str, total: Option<u64>) -> ProgressBar {
        let (bar, template) = match total {
            Some(total) => (
                ProgressBar::new(total),
                "{prefix:>10} {msg:<28!} [{bar:24}] {percent:>3}% {bytes_per_sec:>11} {eta:>4} left",
            ),
            None => {
                (ProgressBar::no_length(), "{prefix:>10} {msg:<28!} {spinner} {bytes} {bytes_per_sec:>11}")
            }
        };
        let style = ProgressStyle::with_template(template).expect("the templates above are well formed");
        let bar = self.shown.add(bar.with_style(style.progress_chars("=> ")));
        bar.set_prefix(verb(phase));
        bar.set_message(subject.to_owned());
        bar
    }

    fn say(&mut self, text: String) {
        if self.quiet > 0 {
            self.unsaid.push(text);
        } else {
            // Where the bars cannot take a line the note is not worth an error.
            let _ = self.shown.println(text);
        }
    }
}

impl Progress for Bars {
    fn event(&self, event: Event) {
        let mut screen = screen();
        match event {
            Event::Start { phase, subject, total } => {
                let bar = screen.bar(phase, &subject, total);
                screen.bars.insert((phase, subject), bar);
            }
            Event::Advance { phase, subject, done } => {
                if let Some(bar) = screen.bars.get(&(phase, subject)) {
                    bar.set_position(done);
                }
            }
            Event::Stored { phase, subject, stored } => {
                let key = (phase, subject);
                if let Some(bar) = screen.bars.get(&key) {
                    bar.set_message(format!("{} {}", ratio(bar.position(), stored), key.1));
                }
            }
            Event::Finish { phase, subject } => {
                if let Some(bar) = screen.bars.remove(&(phase, subject)) {
                    bar.finish_and_clear();
                }
            }
            Event::Note(text) => screen.say(text),
        }
    }
}

impl Drop for Bars {
    /// A run that failed leaves no bar of what it did not finish.
    fn drop(&mut self) {
        screen().bars.clear();
    }
}

/// A line when work begins and ends, and one now and then between.
#[derive(Default)]
struct Lines(Mutex<HashMap<Key, Running>>);

/// Work that a log has heard the beginning of.
struct Running {
    total: Option<u64>,
    stored: Option<u64>,
    began: Instant,
    told: Instant,
}

impl Progress for Lines {
    fn event(&self, event: Event) {
        let Ok(mut running) = self.0.lock() else { return };
        let line = match event {
            Event::Start { phase, subject, total } => {
                let now = Instant::now();
                let line = format!("{} {subject}", verb(phase));
                running.insert((phase, subject), Running { total, stored: None, began: now, told: now });
                line
            }
            Event::Advance { phase, subject, done } => {
                let Some(work) = running.get_mut(&(phase, subject.clone())) else { return };
                if work.told.elapsed() < LINE_EVERY {
                    return;
                }
                work.told = Instant::now();
                let packed =
                    work.stored.map_or_else(String::new, |stored| format!(", {}", ratio(done, stored)));
                format!("{} {subject}: {}{packed}", verb(phase), how_far(done, work.total))
            }
            Event::Stored { phase, subject, stored } => {
                if let Some(work) = running.get_mut(&(phase, subject)) {
                    work.stored = Some(stored);
                }
                return;
            }
            Event::Finish { phase, subject } => {
                let Some(work) = running.remove(&(phase, subject.clone())) else { return };
                format!("{} {subject}: done in {:.1} s", verb(phase), work.began.elapsed().as_secs_f64())
            }
            Event::Note(text) => text,
        };
        // Standard error may be closed; progress is not worth failing for.
        let _ = writeln!(io::stderr(), "{line}");
    }
}

fn how_far(done: u64, total: Option<u64>) -> String {
    let mib = done >> 20;
    match total {
        Some(total) if total > 0 => format!("{mib} MiB, {} %", done.saturating_mul(100) / total),
        _ => format!("{mib} MiB"),
    }
}

/// What bytes were packed to.
fn ratio(done: u64, stored: u64) -> String {
    format!("to {} %", stored.saturating_mul(100).checked_div(done).unwrap_or(100))
}

/// One JSON object a line on standard error.
struct JsonLines;

impl Progress for JsonLines {
    fn event(&self, event: Event) {
        let value = match event {
            Event::Start { phase, subject, total } => {
                serde_json::json!({"event": "start", "phase": verb(phase), "subject": subject, "total": total})
            }
            Event::Advance { phase, subject, done } => {
                serde_json::json!({"event": "advance", "phase": verb(phase), "subject": subject, "done": done})
            }
            Event::Stored { phase, subject, stored } => {
                serde_json::json!({"event": "stored", "phase": verb(phase), "subject": subject, "stored": stored})
            }
            Event::Finish { phase, subject } => {
                serde_json::json!({"event": "finish", "phase": verb(phase), "subject": subject})
            }
            Event::Note(text) => serde_json::json!({"event": "note", "text": text}),
        };
        // As above: nobody may be listening.
        let _ = writeln!(io::stderr(), "{value}");
    }
}

#[cfg(test)]
mod tests {
    use super::{Bars, quiet, screen};
    use crate::progress::{Event, Phase, Progress};

    #[test]
    fn while_it_is_quiet_bars_go_on_and_notes_wait() {
        let (bars, phase, subject) = (Bars, Phase::Decoding, || "a.img.xz".to_owned());
        bars.event(Event::Start { phase, subject: subject(), total: Some(10) });
        let (one, other) = (quiet(), quiet());
        bars.event(Event::Note("a note".into()));
        bars.event(Event::Advance { phase, subject: subject(), done: 7 });
        drop(one);
        assert_eq!(screen().unsaid, ["a note"], "somebody still asks");
        assert!(screen().shown.is_hidden());
        drop(other);
        assert!(screen().unsaid.is_empty());
        assert_eq!(screen().bars[&(phase, subject())].position(), 7);
        bars.event(Event::Finish { phase, subject: subject() });
        assert!(screen().bars.is_empty());
    }
}
