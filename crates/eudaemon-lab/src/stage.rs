//! A stage: a scene is played by the originals and by ours, and the two transcripts must be equal to the byte, after
//! pids and seconds are masked.

use crate::world::{Outcome, Running, World};
use crate::{Bins, SOON, Subject, bins, until};
use std::cell::RefCell;
use std::fmt::Write as _;
use std::ops::Deref;

/// Where a scene is played: a world, whose programs are on stage, and what was seen.
pub struct Stage {
    world: World,
    /// Whose supervise, svscan, multilog and readproctitle.
    pub service: &'static Bins,
    /// Whose svc, svok and svstat.
    pub tools: &'static Bins,
    seen: RefCell<String>,
}

impl Deref for Stage {
    type Target = World;
    fn deref(&self) -> &World {
        &self.world
    }
}

impl Stage {
    /// Whose programs play this name on this stage.
    #[must_use]
    pub fn cast(&self, program: &str) -> &'static Bins {
        match program {
            "svc" | "svok" | "svstat" | "sv" => self.tools,
            _ => self.service,
        }
    }

    /// Runs a program to its end and writes down what it said.
    pub fn play(&self, line: &str) -> Outcome {
        self.play_with(line, "", &[], b"")
    }

    /// As [`Stage::play`], in a directory below the world's, with more environment, with standard input.
    pub fn play_with(&self, line: &str, cwd: &str, env: &[(&str, &str)], input: &[u8]) -> Outcome {
        let argv = words(line);
        let outcome = self
            .world
            .run_with(self.cast(&argv[0]), &argv, cwd, env, input);
        self.note(&format!(
            "$ {line}\n{}{}> {}",
            marked(' ', &masked(&outcome.out)),
            marked('!', &masked(&outcome.err)),
            outcome.code
        ));
        outcome
    }

    /// Runs a line of the shell to its end, with the subject's programs first in its PATH, and writes down what was said.
    pub fn play_shell(&self, line: &str) -> Outcome {
        let outcome = self.world.run(self.service, &["/bin/sh", "-c", line]);
        self.note(&format!(
            "$ {line}\n{}{}> {}",
            marked(' ', &masked(&outcome.out)),
            marked('!', &masked(&outcome.err)),
            outcome.code
        ));
        outcome
    }

    /// Runs a program to its end and keeps it out of the transcript.
    pub fn ask(&self, line: &str) -> Outcome {
        let argv = words(line);
        self.world.run(self.cast(&argv[0]), &argv)
    }

    /// Starts a program that goes on.
    pub fn begin(&self, line: &str) -> Running {
        let argv = words(line);
        self.world.start(self.cast(&argv[0]), &argv)
    }

    /// Starts supervise on a directory and waits until svok says yes.
    pub fn supervise(&self, dir: &str) -> Running {
        let running = self.begin(&format!("supervise {dir}"));
        self.soon(&format!("svok {dir}"), || {
            self.ask(&format!("svok {dir}")).code == 0
        });
        running
    }

    /// Waits until svstat's line about `dir` contains `part`.
    pub fn until_status(&self, dir: &str, part: &str) {
        self.soon(&format!("svstat {dir} to say {part:?}"), || {
            self.ask(&format!("svstat {dir}")).out.contains(part)
        });
    }

    /// Waits for something that must happen soon.
    ///
    /// # Panics
    /// When it does not.
    pub fn soon(&self, what: &str, seen: impl FnMut() -> bool) {
        assert!(
            until(SOON, seen),
            "waited in vain for: {what}\nseen so far:\n{}",
            self.seen.borrow()
        );
    }

    /// Writes down how a program that was begun ended, and what it said.
    ///
    /// # Panics
    /// When it does not end.
    pub fn ending(&self, what: &str, running: &Running) -> Outcome {
        let Some(outcome) = running.outcome(SOON) else {
            panic!("{what} did not end; seen so far:\n{}", self.seen.borrow())
        };
        self.note(&format!(
            "{what} ended\n{}{}> {}",
            marked(' ', &masked(&outcome.out)),
            marked('!', &masked(&outcome.err)),
            outcome.code
        ));
        outcome
    }

    /// Writes a line into the transcript: a fact both must share.
    pub fn note(&self, line: &str) {
        let _infallible = writeln!(self.seen.borrow_mut(), "{line}");
    }

    /// The pid svstat names.
    ///
    /// # Panics
    /// When it names none.
    #[must_use]
    pub fn pid(&self, dir: &str) -> i32 {
        let line = self.ask(&format!("svstat {dir}")).out;
        line.split_once("(pid ")
            .and_then(|(_, rest)| rest.split_once(')'))
            .and_then(|(pid, _)| pid.parse().ok())
            .unwrap_or_else(|| panic!("no pid in {line:?}"))
    }
}

fn words(line: &str) -> Vec<String> {
    // Words are split at spaces; an underscore pair stands for an empty word, which no shell-less line can write.
    line.split(' ')
        .map(|word| {
            if word == "__" {
                String::new()
            } else {
                word.to_owned()
            }
        })
        .collect()
}

fn marked(mark: char, text: &str) -> String {
    let mut all = String::new();
    for line in text.split_inclusive('\n') {
        all.push(mark);
        all.push_str(line);
        if !line.ends_with('\n') {
            all.push_str("<no newline>\n");
        }
    }
    all
}

/// Whether a number stands before sv's `s`: `12s`, at the end of something.
fn is_seconds(after: &str) -> bool {
    let mut rest = after.chars();
    rest.next() == Some('s') && rest.next().is_none_or(|next| !next.is_alphanumeric())
}

/// Puts `PID` for the number after `pid ` and `S` for the number before ` seconds` or sv's `s`.
#[must_use]
pub fn masked(text: &str) -> String {
    let mut all = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(|c: char| c.is_ascii_digit()) {
        let (before, from) = rest.split_at(at);
        let digits = from
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(from.len());
        let (number, after) = from.split_at(digits);
        all.push_str(before);
        all.push_str(if all.ends_with("pid ") {
            "PID"
        } else if after.starts_with(" seconds") || is_seconds(after) {
            "S"
        } else {
            number
        });
        rest = after;
    }
    all + rest
}

fn transcript(
    name: &str,
    service: &'static Bins,
    tools: &'static Bins,
    scene: &dyn Fn(&Stage),
) -> String {
    let stage = Stage {
        world: World::new(name),
        service,
        tools,
        seen: RefCell::default(),
    };
    scene(&stage);
    stage.seen.take()
}

fn compare(
    original: Subject,
    name: &str,
    pairs: &[(Subject, Subject)],
    scene: &(dyn Fn(&Stage) + Sync),
) {
    let Some(theirs) = bins(original) else {
        return;
    };
    let ours = bins(Subject::Ours);
    std::thread::scope(|scope| {
        let play = |service, tools| scope.spawn(move || transcript(name, service, tools, scene));
        let reference = play(theirs, theirs);
        let others: Vec<_> = pairs
            .iter()
            .filter_map(|&(service, tools)| {
                let pick = |subject| {
                    if subject == original {
                        Some(theirs)
                    } else {
                        ours
                    }
                };
                Some((service, tools, play(pick(service)?, pick(tools)?)))
            })
            .collect();
        let expected = reference
            .join()
            .unwrap_or_else(|_| panic!("{name}: the scene failed with the originals"));
        assert!(
            !expected.is_empty(),
            "{name}: a scene without a transcript proves nothing"
        );
        // All pairs are heard before one fails, so that one look shows who is wrong with whom.
        let mut wrong = String::new();
        for (service, tools, thread) in others {
            let who = format!("{name}: services by {service:?}, tools by {tools:?}");
            match thread.join() {
                Ok(seen) if seen == expected => {}
                Ok(seen) => {
                    wrong += &format!(
                        "{who}: not as the originals\n{}\n",
                        differences(&expected, &seen)
                    )
                }
                Err(_) => wrong += &format!("{who}: the scene failed\n"),
            }
        }
        assert!(wrong.is_empty(), "{wrong}");
    });
}

/// Plays the scene with the originals and with ours, and demands equal transcripts.
pub fn both(name: &str, scene: impl Fn(&Stage) + Sync) {
    compare(
        Subject::Djb,
        name,
        &[(Subject::Ours, Subject::Ours)],
        &scene,
    );
}

/// As [`both`], and also our tools on the original supervise, and the original tools on ours.
pub fn every_pair(name: &str, scene: impl Fn(&Stage) + Sync) {
    compare(
        Subject::Djb,
        name,
        &[
            (Subject::Ours, Subject::Ours),
            (Subject::Djb, Subject::Ours),
            (Subject::Ours, Subject::Djb),
        ],
        &scene,
    );
}

/// As [`both`], with runit as the original.
pub fn both_runit(name: &str, scene: impl Fn(&Stage) + Sync) {
    compare(
        Subject::Runit,
        name,
        &[(Subject::Ours, Subject::Ours)],
        &scene,
    );
}

/// As [`both_runit`], and also our `sv` on the original runsv, and the original `sv` on ours.
pub fn every_pair_runit(name: &str, scene: impl Fn(&Stage) + Sync) {
    compare(
        Subject::Runit,
        name,
        &[
            (Subject::Ours, Subject::Ours),
            (Subject::Runit, Subject::Ours),
            (Subject::Ours, Subject::Runit),
        ],
        &scene,
    );
}

/// Both transcripts, line by line, `-` original and `+` other where they part.
pub(crate) fn differences(expected: &str, seen: &str) -> String {
    let (left, right): (Vec<_>, Vec<_>) = (expected.lines().collect(), seen.lines().collect());
    let same_start = left.iter().zip(&right).take_while(|(a, b)| a == b).count();
    let same_end = left[same_start..]
        .iter()
        .rev()
        .zip(right[same_start..].iter().rev())
        .take_while(|(a, b)| a == b)
        .count();
    let mut all = String::new();
    for line in &left[..same_start] {
        all += &format!("  {line}\n");
    }
    for line in &left[same_start..left.len() - same_end] {
        all += &format!("- {line}\n");
    }
    for line in &right[same_start..right.len() - same_end] {
        all += &format!("+ {line}\n");
    }
    for line in &left[left.len() - same_end..] {
        all += &format!("  {line}\n");
    }
    all
}

#[cfg(test)]
mod tests {
    use super::{differences, masked};

    #[test]
    fn masks_pids_and_seconds_and_nothing_else() {
        assert_eq!(
            masked("a1: up (pid 4711) 12 seconds, normally down\nmultilog 0744"),
            "a1: up (pid PID) S seconds, normally down\nmultilog 0744"
        );
    }

    #[test]
    fn shows_where_two_transcripts_part() {
        assert_eq!(differences("a\nb\nc", "a\nx\nc"), "  a\n- b\n+ x\n  c\n");
    }
}
