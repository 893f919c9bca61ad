//! The guide is what is there: every chapter is rendered, listed and linked, and the program it shows is the example.

use std::path::Path;

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|why| panic!("{}: {why}", path.display()))
}

#[test]
fn every_chapter_is_rendered_listed_and_linked() {
    let (module, list) = (read("src/guide.rs"), read("guide/README.md"));
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("guide");
    let mut chapters = 0;
    for entry in std::fs::read_dir(folder).expect("the guide") {
        let name = entry.expect("an entry").file_name();
        let name = name.to_str().expect("a plain name");
        if name == "README.md" {
            continue;
        }
        chapters += 1;
        let module_name = name.trim_end_matches(".md").replace('-', "_");
        for wanted in [
            format!("chapter!({module_name}, \"{name}\""),
            format!("[{name}]: crate::guide::{module_name}\n"),
        ] {
            assert!(module.contains(&wanted), "src/guide.rs has no {wanted}");
        }
        assert!(
            list.contains(&format!("][{name}] |")),
            "guide/README.md does not list {name}"
        );
        // Where the source is read, the links are files'; rendered, the definitions above come first.
        let text = read(&format!("guide/{name}"));
        for link in text.split("][").skip(1) {
            let target = link.split(']').next().unwrap_or_default();
            assert!(
                text.contains(&format!("\n[{target}]: "))
                    && module.contains(&format!("\n[{target}]: ")),
                "{name} or src/guide.rs does not say what {target} is"
            );
        }
        assert!(
            !text.contains(".md)"),
            "{name} links to a file, which leads nowhere when rendered: write [words][FILE]"
        );
    }
    assert!(chapters >= 17, "{chapters}");
}

#[test]
fn the_first_daemon_is_the_example() {
    let (guide, example) = (read("guide/first.md"), read("examples/first.rs"));
    let shown = guide.split("```rust,no_run\n").nth(1).expect("a program");
    let shown = shown.split("```").next().expect("its end");
    let (_, code) = example.split_once("\n\n").expect("code behind the title");
    assert_eq!(shown, code);
    let lines = shown.lines().filter(|line| !line.trim().is_empty());
    assert!(lines.count() <= 40, "a first daemon is small");
}

#[test]
fn the_daemon_without_a_gap_is_the_example() {
    let (guide, example) = (read("guide/zero-downtime.md"), read("examples/counter.rs"));
    let shown = between(&guide, "```rust,no_run\n", "```");
    let (_, code) = example.split_once("\n\n").expect("code behind the title");
    assert_eq!(shown, code);
}

/// What is between the first of these and the next.
fn between<'a>(text: &'a str, begin: &str, end: &str) -> &'a str {
    let (_, rest) = text.split_once(begin).expect("its begin");
    rest.split(end).next().expect("its end")
}

/// The front pages show one program, and the crate's page is where it is compiled.
#[test]
fn the_front_pages_show_the_same_program() {
    let page = read("README.md");
    let shown = between(&page, "```rust,no_run\n", "```");
    let library = read("src/lib.rs");
    let library = between(&library, "//! ```no_run\n", "//! ```");
    let lines = library.lines().map(|line| {
        let rest = line.strip_prefix("//!").expect("documentation");
        rest.strip_prefix(' ').unwrap_or(rest)
    });
    assert_eq!(lines.collect::<Vec<_>>().join("\n"), shown.trim_end());
    // A packaged crate has nothing above its root.
    if Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../README.md")
        .exists()
    {
        let project = read("../../README.md");
        assert_eq!(between(&project, "```rust\n", "```"), shown);
    }
}
