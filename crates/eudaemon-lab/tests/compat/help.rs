//! `--help` is to each historic program what it always was: a directory, a pattern, a program, an end of options, or wrong.
//!
//! **Not compared:** svscanboot, whose original goes on where there is no such directory (observed with 0.76-8.1); runsvdir
//! with a directory, for which it waits; programs without an original on Debian.

use eudaemon_lab::{Bins, Subject, World, bins};
use std::collections::BTreeMap;

/// What each of our programs says of these words, as played by this subject's program; those it has not are left out.
fn answers(w: &World, subject: &Bins, names: &str, words: &[&str]) -> BTreeMap<String, String> {
    let played = names.lines().filter_map(|name| {
        let program = subject.dir().join(name);
        let waits = name == "svscanboot" || (name == "runsvdir" && words.len() > 1);
        if waits || !program.exists() {
            return None;
        }
        let program = program.display().to_string();
        let argv = [&[program.as_str()], words].concat();
        let outcome = w.run(subject, &argv);
        let said = format!("{}{}> {}", outcome.out, outcome.err, outcome.code);
        // Some usage lines begin with the path that was called.
        Some((name.to_owned(), said.replace(&program, name)))
    });
    played.collect()
}

#[test]
fn help_is_no_option_of_a_historic_program() {
    let (Some(djb), Some(ours)) = (bins(Subject::Djb), bins(Subject::Ours)) else {
        return;
    };
    let w = World::new("help");
    let names = w.run(ours, &["eudaemon", "applets"]).out;
    for words in [&["--help"][..], &["--help", "x"]] {
        let wanted = answers(&w, djb, &names, words);
        let seen = answers(&w, ours, &names, words);
        assert!(wanted.len() >= 8, "only {:?}", wanted.keys());
        let differs = wanted
            .iter()
            .filter(|(name, said)| seen.get(*name) != Some(said));
        let differs: Vec<String> = differs
            .map(|(name, said)| format!("{name}: {said:?}, ours {:?}", seen.get(name)))
            .collect();
        assert!(differs.is_empty(), "{words:?}\n{}", differs.join("\n"));
    }
    // Behind an option that 0.76 does not know, it still is a directory.
    let told = w.run(ours, &["svstat", "-l", "--help"]);
    assert_eq!(
        (told.out.as_str(), told.code),
        ("--help: unable to chdir: file does not exist\n", 0)
    );
}
