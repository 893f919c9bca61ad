//! The manual pages, held against the tables: what a program says of itself is what its page says, in both directions.
//!
//! **Not checked:** that a page's sentences are true. Options and exit codes are compared by what they are, not by how they are
//! explained.

mod mdoc;

use crate::applets::{APPLETS, Applet};
use eudaemon_core::exit::Exit;
use mdoc::Page;
use std::fmt::Debug;
use std::path::{Path, PathBuf};

/// Pages of formats, which belong to no program.
const FORMATS: [&str; 2] = ["eudaemon-log", "eudaemon-service"];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/man")
}

fn pages() -> Vec<Page> {
    let files = std::fs::read_dir(folder()).expect("the pages are in docs/man");
    let mut paths: Vec<PathBuf> = files.map(|file| file.expect("a name").path()).collect();
    paths.sort();
    paths.iter().map(|path| Page::read(path)).collect()
}

/// Says what the one has and the other has not, both ways.
fn compare<T: PartialEq + Debug>(what: &str, table: &[T], page: &[T]) -> Vec<String> {
    let lacks = |whose: &str, one: &[T], other: &[T]| -> Vec<String> {
        let rest = one.iter().filter(|entry| !other.contains(entry));
        rest.map(|entry| format!("{what}: the {whose} has no {entry:?}"))
            .collect()
    };
    let mut found = lacks("page", table, page);
    found.extend(lacks("table", page, table));
    let doubled = |whose: &str, entries: &[T]| {
        let twice = |at: usize| entries[..at].contains(&entries[at]);
        let doubled = (0..entries.len()).filter(|&at| twice(at));
        doubled
            .map(|at| format!("{what}: the {whose} has {:?} twice", entries[at]))
            .collect::<Vec<_>>()
    };
    found.extend(doubled("table", table));
    found.extend(doubled("page", page));
    found
}

/// Where a program and its page differ.
fn differences(applet: &Applet, page: &Page) -> Vec<String> {
    let firsts = |rows: &[(&str, &str)]| -> Vec<String> {
        rows.iter().map(|(first, _)| (*first).to_owned()).collect()
    };
    let mut found = compare("name", &[applet.name.to_owned()], &page.names());
    found.extend(compare(
        "purpose",
        &[applet.purpose.to_owned()],
        &[page.purpose()],
    ));
    let synopsis = format!("{} {}", applet.name, applet.synopsis);
    found.extend(compare(
        "synopsis",
        &[synopsis.trim_end().to_lowercase()],
        &page
            .synopses()
            .iter()
            .map(|form| form.to_lowercase())
            .collect::<Vec<_>>(),
    ));
    found.extend(compare(
        "option",
        &firsts(applet.options),
        &page.items("OPTIONS"),
    ));
    found.extend(compare(
        "exit code",
        &firsts(applet.exits),
        &page.items("EXIT STATUS"),
    ));
    let unsaid = applet.options.iter().chain(applet.exits);
    let unsaid = unsaid.filter(|(_, meaning)| meaning.is_empty());
    found.extend(unsaid.map(|(what, _)| format!("{what}: the table does not say what it means")));
    found
}

#[test]
fn every_program_has_its_page_and_no_page_is_without_a_program() {
    let pages = pages();
    let mut found = Vec::new();
    for applet in APPLETS {
        let own: Vec<&Page> = pages
            .iter()
            .filter(|page| page.stem() == applet.name)
            .collect();
        match own[..] {
            [page] => {
                let differences = differences(applet, page);
                found.extend(
                    differences
                        .iter()
                        .map(|text| format!("{}: {text}", page.file())),
                );
            }
            [] => found.push(format!("{}: has no page in docs/man", applet.name)),
            [..] => found.push(format!("{}: has {} pages", applet.name, own.len())),
        }
    }
    for page in &pages {
        let known = page.stem() == "eudaemon"
            || FORMATS.contains(&page.stem())
            || APPLETS.iter().any(|applet| applet.name == page.stem());
        if !known {
            found.push(format!("{}: there is no such program", page.file()));
        }
        if let Some(wrong) = page.wrong_title() {
            found.push(format!("{}: {wrong}", page.file()));
        }
    }
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}

#[test]
fn the_table_of_programs_is_that_of_the_binary() {
    let text =
        std::fs::read_to_string(folder().join("../programs.md")).expect("the table is in docs");
    let rows = text
        .lines()
        .filter_map(|line| line.strip_prefix("| [")?.split_once("](man/"));
    let told: Vec<(String, String)> = rows
        .map(|(name, rest)| {
            let purpose = rest.split(" | ").nth(1).unwrap_or_default();
            (name.to_owned(), purpose.to_owned())
        })
        .collect();
    let rows: Vec<_> = APPLETS
        .iter()
        .map(|applet| (applet.name.to_owned(), applet.purpose.to_owned()))
        .collect();
    let found = compare("program", &rows, &told);
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}

fn page(file: &str) -> Page {
    Page::read(&folder().join(file))
}

/// An option as its page writes it: `-n, --lines N`.
fn written(arg: &clap::Arg) -> String {
    let short = arg.get_short().map(|short| format!("-{short}"));
    let long = arg.get_long().map(|long| format!("--{long}"));
    let mut text: Vec<String> = vec![short.into_iter().chain(long).collect::<Vec<_>>().join(", ")];
    if arg.get_action().takes_values() {
        let names = arg.get_value_names().unwrap_or_default();
        text.extend(names.iter().map(ToString::to_string));
    }
    text.join(" ")
}

#[test]
fn every_command_of_eudaemon_is_on_its_page_with_its_options() {
    use clap::CommandFactory;
    let page = page("eudaemon.1");
    let mut grammar = crate::verbs::Args::command();
    grammar.build();
    let about = grammar.get_about().map(ToString::to_string);
    let purpose = about.unwrap_or_default();
    assert_eq!(
        Some(page.purpose()),
        purpose
            .get(..1)
            .map(|first| first.to_lowercase() + &purpose[1..])
    );
    let options = |verb: &clap::Command, general: bool| -> Vec<String> {
        let own = verb.get_arguments().filter(|arg| {
            let is_general =
                arg.is_global_set() || ["help", "version"].contains(&arg.get_id().as_str());
            !arg.is_positional() && !arg.is_hide_set() && is_general == general
        });
        own.map(written).collect()
    };
    let mut found = compare("option", &options(&grammar, true), &page.items("OPTIONS"));
    // The page's items in order: a command, its options, the next command.
    let mut told: Vec<(String, Vec<String>)> = Vec::new();
    for item in page.items("COMMANDS") {
        match told.last_mut() {
            Some((_, options)) if item.starts_with('-') => options.push(item),
            _ => told.push((
                item.split(' ').next().unwrap_or_default().to_owned(),
                vec![],
            )),
        }
    }
    let verbs = grammar.get_subcommands().filter(|verb| !verb.is_hide_set());
    let mut known: Vec<_> = verbs
        .map(|verb| match verb.get_name() {
            // It takes the options of the command it explains.
            "help" => ("help".to_owned(), vec![]),
            name => (name.to_owned(), options(verb, false)),
        })
        .collect();
    // `main` answers this one before the grammar is asked.
    known.push(("applets".to_owned(), vec![]));
    found.extend(compare("command", &known, &told));
    let exits = [
        Exit::Done,
        Exit::Failed,
        Exit::TimedOut,
        Exit::Permanent,
        Exit::Temporary,
    ];
    found.extend(compare(
        "exit code",
        &exits.map(|exit| exit.code().to_string()),
        &page.items("EXIT STATUS"),
    ));
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}

#[test]
fn every_file_of_a_service_directory_is_on_its_page() {
    let items = page("eudaemon-service.5").items("DESCRIPTION");
    for name in eudaemon_config::service_dir::NAMES {
        assert!(
            items.iter().any(|item| item.trim_end_matches('/') == *name),
            "{name}"
        );
    }
}

#[test]
fn a_page_that_differs_is_told() {
    let applet = Applet {
        name: "envdir",
        main: |_| 0,
        synopsis: "[-p PREFIX] DIR PROG [ARG...]",
        purpose: "runs a program with variables from files",
        options: &[
            ("-p PREFIX", "stands before each name"),
            ("-q", "asks nothing"),
        ],
        exits: &[("100", "usage"), ("111", "")],
    };
    let page = Page::parse(
        "envdir.8",
        ".Dd May 1, 2026\n.Dt ENVDIR 8\n.Os eudaemon\n.Sh NAME\n.Nm envdir\n.Nd runs another\n.Sh SYNOPSIS\n.Nm\n\
         .Op Fl p Ar prefix\n.Ar dir\n.Ar prog\n.Op Ar arg ...\n.Sh OPTIONS\n.Bl -tag\n.It Fl p Ar prefix\n.It Fl r\n.El\n\
         .Sh EXIT STATUS\n.Bl -tag\n.It 111\n.It 1-99\n.It 111\n.El\n",
    );
    assert_eq!(
        differences(&applet, &page),
        [
            "purpose: the page has no \"runs a program with variables from files\"",
            "purpose: the table has no \"runs another\"",
            "option: the page has no \"-q\"",
            "option: the table has no \"-r\"",
            "exit code: the page has no \"100\"",
            "exit code: the table has no \"1-99\"",
            "exit code: the page has \"111\" twice",
            "111: the table does not say what it means",
        ]
    );
}

#[test]
#[allow(
    clippy::disallowed_methods,
    reason = "a test may start a program; no service is started here"
)]
fn the_pages_are_clean_under_mandoc() {
    use std::io::Write;
    let paths = pages()
        .iter()
        .map(|page| folder().join(page.file()))
        .collect::<Vec<_>>();
    assert!(!paths.is_empty());
    let linted = std::process::Command::new("mandoc")
        .args(["-T", "lint", "-W", "warning"])
        .args(paths)
        .output();
    let said = match linted {
        Ok(said) => said,
        Err(why) => {
            assert!(
                std::env::var_os("EUDAEMON_REQUIRE").is_none(),
                "EUDAEMON_REQUIRE is set, and mandoc does not run: {why}"
            );
            // Past the test harness, which keeps what eprintln says from the eyes of whoever should read it.
            let _told = writeln!(
                std::io::stderr(),
                "SKIPPED: mandoc does not run ({why}): nobody looked at the form of the manual pages"
            );
            return;
        }
    };
    let told = String::from_utf8_lossy(&said.stdout);
    assert!(said.status.success() && told.is_empty(), "\n{told}");
}
