//! **Not tested here:** that zsh and fish understand their scripts; only that these name what the grammar has, and no more.

use super::super::client::tests::{Fake, service};
use super::super::grammar::Args;
use super::*;
use clap::{Arg, Command, CommandFactory};
use eudaemon_engine::request::Answer;
use std::collections::BTreeSet;
use std::io::Write;
use std::path::Path;

type Words = BTreeSet<String>;

fn grammar() -> Command {
    let mut grammar = Args::command();
    grammar.build();
    grammar
}

fn verbs(grammar: &Command) -> impl Iterator<Item = &Command> {
    grammar.get_subcommands().filter(|verb| !verb.is_hide_set())
}

fn options(verb: &Command) -> impl Iterator<Item = &Arg> {
    let seen = |arg: &&Arg| !arg.is_hide_set() && !arg.is_positional();
    verb.get_arguments().filter(seen)
}

fn longs(grammar: &Command) -> Words {
    let all = verbs(grammar).chain([grammar]).flat_map(options);
    all.filter_map(|arg| arg.get_long().map(str::to_owned))
        .collect()
}

fn words(text: &str) -> Words {
    text.split_whitespace().map(str::to_owned).collect()
}

/// What bash offers behind these words, the last of which is being typed.
#[allow(
    clippy::disallowed_methods,
    reason = "a test may start a program; no service is started here"
)]
fn bash(line: &[&str]) -> Option<Words> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/completions/eudaemon.bash");
    let ask = "set -u; source \"$1\"; shift; COMP_WORDS=(\"$@\"); COMP_CWORD=$(($# - 1)); _eudaemon; \
               echo \"${COMPREPLY[@]}\"";
    let asked = std::process::Command::new("bash")
        .args(["--norc", "-c", ask, "bash", script])
        .args(line)
        .output();
    match asked {
        Ok(said) => {
            let err = String::from_utf8_lossy(&said.stderr);
            assert!(said.status.success() && err.is_empty(), "{line:?}: {err}");
            Some(words(&String::from_utf8_lossy(&said.stdout)))
        }
        Err(why) => {
            assert!(
                std::env::var_os("EUDAEMON_REQUIRE").is_none(),
                "EUDAEMON_REQUIRE is set, and bash does not run: {why}"
            );
            // Past the test harness, which keeps what eprintln says from whoever should read it.
            let _told = writeln!(std::io::stderr(), "SKIPPED: bash does not run ({why})");
            None
        }
    }
}

#[test]
fn bash_offers_what_the_grammar_has() {
    let grammar = grammar();
    let names: Words = verbs(&grammar)
        .map(|verb| verb.get_name().to_owned())
        .collect();
    let Some(offered) = bash(&["eudaemon", ""]) else {
        return;
    };
    assert_eq!(offered, names);
    for verb in verbs(&grammar).chain([&grammar]) {
        let written = options(verb).flat_map(|arg| {
            let short = arg.get_short().map(|short| format!("-{short}"));
            let long = arg.get_long().map(|long| format!("--{long}"));
            short.into_iter().chain(long)
        });
        // `help VERB` takes no options but these.
        let general = ["-C", "--directory", "-h", "--help"].map(str::to_owned);
        let wanted: Words = written.chain(general).collect();
        let name = verb.get_name();
        let line: &[&str] = match name {
            "eudaemon" => &["eudaemon", "-"],
            name => &["eudaemon", "-C", "/", name, "-"],
        };
        assert_eq!(bash(line), Some(wanted), "{name}");
    }
    let signals: Words = eudaemon_core::words::SIGNALS
        .iter()
        .map(|signal| signal.name().to_owned())
        .collect();
    let offered = bash(&["eudaemon", "kill", "-s", ""]).expect("bash runs");
    assert!(
        offered.is_subset(&signals),
        "{:?}",
        offered.difference(&signals)
    );
    assert_eq!(
        bash(&["eudaemon", "completions", "z"]),
        Some(words("zsh")),
        "what is typed is completed"
    );
}

/// The words behind each place where `mark` stands.
fn behind(text: &str, mark: &str) -> Words {
    let word = |rest: &str| {
        let end = rest.find(|c: char| c != '-' && !c.is_ascii_alphanumeric());
        rest[..end.unwrap_or(rest.len())].to_owned()
    };
    text.split(mark)
        .skip(1)
        .map(word)
        .filter(|w| !w.is_empty())
        .collect()
}

#[test]
fn zsh_and_fish_name_what_the_grammar_has() {
    let grammar = grammar();
    let zsh = include_str!("../../../completions/eudaemon.zsh");
    let fish = include_str!("../../../completions/eudaemon.fish");
    assert_eq!(behind(zsh, "--"), longs(&grammar));
    let fish_rules: String = fish
        .split_inclusive('\n')
        .filter(|line| line.starts_with("complete "))
        .collect();
    assert_eq!(behind(&fish_rules, " -l "), longs(&grammar));
    for verb in verbs(&grammar) {
        let name = verb.get_name();
        assert!(zsh.contains(&format!("\n        '{name}:")), "zsh: {name}");
        assert!(fish.contains(&format!(" -a {name} -d ")), "fish: {name}");
    }
}

#[test]
fn the_services_of_a_running_tree_are_named() {
    let fake = Fake::new("names", |_, _| {
        let about = |name: &str| Answer::about(name, Some(service(name, "up", Some(7))), None);
        let mut lines: Vec<Answer> = ["web", "a\nb", "mail/log"].map(about).into();
        lines.push(Answer::done());
        Some(lines)
    });
    assert_eq!(
        service_names(Ok(fake.dir().to_owned())),
        "web\nmail/log\n",
        "a name that breaks lines is left out"
    );
    assert_eq!(service_names(Ok(Path::new("/nonexistent").into())), "");
}
