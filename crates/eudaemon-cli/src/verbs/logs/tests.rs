use super::*;
use jiff::tz::TimeZone;
use std::fs::OpenOptions;

const PIPE: Screen = Screen {
    terminal: false,
    colour: false,
    fancy: false,
};

struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Place {
        let dir = std::env::temp_dir().join(format!("eud-logs-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&dir);
        std::fs::create_dir_all(&dir).unwrap();
        Place(dir)
    }
    /// Appends lines `SECOND TEXT` to the log in this directory.
    fn log(&self, dir: &str, lines: &[(u64, &str)]) {
        let dir = self.0.join(dir);
        std::fs::create_dir_all(&dir).unwrap();
        let mut text = String::new();
        for (second, said) in lines {
            let stamp = Tai64n::from_wall(Wall::new(*second, 0));
            text.push_str(&format!("{stamp} {said}\n"));
        }
        append(&dir, &text);
    }
}

fn append(dir: &Path, text: &str) {
    let file = OpenOptions::new()
        .append(true)
        .create(true)
        .open(dir.join("current"));
    file.unwrap().write_all(text.as_bytes()).unwrap();
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn what(lines: u64, follow: bool, since: Option<f64>) -> Logs {
    Logs {
        names: Vec::new(),
        follow,
        lines: Some(lines),
        viewer: since.is_some(),
        began: since,
        since: None,
        until: None,
        grep: None,
    }
}

fn reader(place: &Place, names: &[&str], what: &Logs) -> Reader<Vec<u8>> {
    let names = names.iter().map(|&name| name.to_owned()).collect();
    let mut reader = Reader::new(&place.0, names, what, Vec::new());
    reader.screen = PIPE;
    reader.clock = Clock::without_dates(TimeZone::UTC);
    reader
}

fn shown(reader: &mut Reader<Vec<u8>>, rest: bool) -> String {
    reader.show(rest).unwrap();
    String::from_utf8(std::mem::take(&mut reader.out)).unwrap()
}

#[test]
fn services_are_shown_in_the_order_of_their_stamps() {
    let place = Place::new("order");
    place.log("web/log/main", &[(1, "gone"), (10, "w1"), (30, "w2")]);
    place.log("worker/log", &[(20, "k1"), (40, "k2")]);
    place.log(".eudaemon/log/cron", &[(20, "c1")]);
    let mut reader = reader(&place, &[], &what(2, false, None));
    reader.discover(None);
    assert_eq!(
        shown(&mut reader, true),
        "00:00:10.000 web    | w1\n\
         00:00:20.000 cron   | c1\n\
         00:00:20.000 worker | k1\n\
         00:00:30.000 web    | w2\n\
         00:00:40.000 worker | k2\n"
    );
}

#[test]
fn the_built_in_log_is_found_once() {
    let place = Place::new("once");
    place.log(".eudaemon/log/web/main", &[(10, "w1")]);
    let dir = place.0.join(".eudaemon/log/web/main");
    let again = place.0.join(".eudaemon/log/../log/web/main");
    for told in [None, dir.to_str(), again.to_str()] {
        assert_eq!(
            directories(&place.0, "web", told),
            std::slice::from_ref(&dir)
        );
    }
    place.log("elsewhere", &[(10, "w1")]);
    let told = place.0.join("elsewhere");
    let both = directories(&place.0, "web", told.to_str());
    assert_eq!(both, [dir, told]);
}

#[test]
fn one_service_needs_no_name_before_its_lines() {
    let place = Place::new("one");
    place.log("web/log/a/b", &[(10, "w1"), (30, "w2")]);
    append(&place.0.join("web/log/a/b"), "no stamp\nunfinished");
    let mut reader = reader(&place, &["web"], &what(3, false, None));
    reader.discover(None);
    assert_eq!(reader.missing(), Exit::Done);
    assert_eq!(
        shown(&mut reader, true),
        "00:00:30.000 w2\nno stamp\nunfinished\n"
    );
}

#[test]
fn who_has_no_lines_is_spoken_of() {
    let place = Place::new("none");
    std::fs::create_dir(place.0.join("web")).unwrap();
    for name in ["web", "nobody"] {
        let mut reader = reader(&place, &[name], &what(3, false, None));
        reader.discover(None);
        assert_eq!(reader.missing(), Exit::Failed);
        assert_eq!(shown(&mut reader, true), "");
    }
}

#[test]
fn the_viewer_shows_what_is_new_and_all_of_what_comes() {
    let place = Place::new("viewer");
    place.log("web/log/main", &[(10, "old"), (20, "new")]);
    let bare = place.0.join("bare/log");
    std::fs::create_dir_all(&bare).unwrap();
    append(&bare, "from another day\n");
    let mut reader = reader(&place, &[], &what(0, true, Some(15.0)));
    reader.began = Tai64n::from_wall(Wall::new(15, 0));
    reader.discover(None);
    assert_eq!(shown(&mut reader, false), "00:00:20.000 web  | new\n");
    // A service whose log comes later, directory by directory.
    let wait = |reader: &mut Reader<Vec<u8>>| {
        let woken = reader
            .watch
            .wait(Some(std::time::Duration::from_secs(5)))
            .unwrap();
        assert!(!woken.marks.is_empty(), "nothing woke us");
        for mark in woken.marks {
            match reader.marks.get(&mark).cloned().unwrap() {
                Role::Log(at) => reader.sources[at].woken = true,
                Role::Service(name) => reader.discover(Some(&name)),
                Role::Tree => reader.discover(None),
            }
        }
    };
    std::fs::create_dir(place.0.join("late")).unwrap();
    wait(&mut reader);
    std::fs::create_dir(place.0.join("late/log")).unwrap();
    wait(&mut reader);
    std::fs::create_dir(place.0.join("late/log/main")).unwrap();
    wait(&mut reader);
    assert_eq!(shown(&mut reader, false), "");
    place.log("late/log/main", &[(30, "first")]);
    wait(&mut reader);
    assert_eq!(shown(&mut reader, false), "00:00:30.000 late | first\n");
    place.log("late/log/main", &[(31, "second")]);
    wait(&mut reader);
    assert_eq!(shown(&mut reader, false), "00:00:31.000 late | second\n");
    // The built-in logger of a service comes to be as well.
    place.log(".eudaemon/log/late", &[(32, "third")]);
    wait(&mut reader);
    std::fs::create_dir(place.0.join(".eudaemon/log/also")).unwrap();
    wait(&mut reader);
    assert_eq!(shown(&mut reader, false), "00:00:32.000 late | third\n");
    append(&bare, "now\n");
    wait(&mut reader);
    let now = shown(&mut reader, false);
    assert!(now.ends_with(" bare | now\n") && now.starts_with(|c: char| c.is_ascii_digit()));
}

#[test]
fn a_viewer_that_is_started_again_does_not_repeat_the_day() {
    const SECOND: u64 = 1_000_000_000;
    assert_eq!(beginning(None, 100 * SECOND), 100 * SECOND);
    assert_eq!(beginning(Some(99.0), 100 * SECOND), 99 * SECOND);
    assert_eq!(beginning(Some(10.0), 100 * SECOND), 99 * SECOND);
    assert_eq!(beginning(Some(200.0), 100 * SECOND), 100 * SECOND);
}

#[test]
fn a_stamp_is_split_from_its_line() {
    let split = |line: &str| {
        let (stamp, text) = split(line.as_bytes(), &TimeZone::UTC);
        (stamp, String::from_utf8(text.to_vec()).unwrap())
    };
    let stamp = Tai64n::from_wall(Wall::new(1, 0));
    assert_eq!(
        split(&format!("{stamp} text")),
        (Some(stamp), "text".into())
    );
    assert_eq!(split(&format!("{stamp}")), (Some(stamp), String::new()));
    let line = format!("{stamp}text");
    assert_eq!(split(&line), (None, line));
    let line = "1970-01-01 00:00:01.000000000  text";
    assert_eq!(split(line), (Some(stamp), "text".into()));
}

#[test]
fn only_the_lines_that_are_wanted_are_shown() {
    let place = Place::new("choice");
    let name = |second| Tai64n::from_wall(Wall::new(second, 0));
    let dir = place.0.join("web/log/main");
    let old = [(10, "w1"), (20, "w2"), (30, "w3")];
    place.log("web/log/main", &old);
    std::fs::rename(dir.join("current"), dir.join(format!("{}.s", name(31)))).unwrap();
    place.log("web/log/main", &[(40, "w4")]);
    append(&dir, "  of w4\n");
    place.log("web/log/main", &[(50, "w5")]);
    place.log("db/log", &[(15, "d1"), (35, "d2 w4"), (45, "d3")]);
    let choose = |since: Option<u64>, until: Option<u64>, grep: Option<&str>, lines| {
        let what = Logs {
            lines,
            since: since.map(name),
            until: until.map(name),
            grep: grep.map(|grep| regex_lite::Regex::new(grep).unwrap()),
            ..what(0, false, None)
        };
        let mut reader = reader(&place, &[], &what);
        reader.discover(None);
        let shown = shown(&mut reader, true);
        let texts = shown.lines().filter_map(|line| line.split("| ").nth(1));
        texts.map(str::trim).collect::<Vec<_>>().join(",")
    };
    let all = "w1,d1,w2,w3,d2 w4,w4,of w4,d3,w5";
    assert_eq!(choose(None, None, Some(""), None), all);
    assert_eq!(
        choose(Some(30), None, None, None),
        "w3,d2 w4,w4,of w4,d3,w5"
    );
    assert_eq!(choose(Some(31), Some(40), None, None), "d2 w4,w4,of w4");
    assert_eq!(choose(None, Some(29), None, None), "w1,d1,w2");
    assert_eq!(choose(None, None, Some("w4$"), None), "d2 w4,w4,of w4");
    assert_eq!(choose(Some(0), None, None, Some(1)), "d3,w5");
    assert_eq!(choose(None, None, Some("[1-3]$"), Some(2)), "d1,w2,w3,d3");
    assert_eq!(choose(Some(60), None, None, None), "");
}

#[test]
fn files_whose_names_are_outside_are_not_read() {
    let place = Place::new("names");
    let name = |second| Tai64n::from_wall(Wall::new(second, 0)).to_string();
    // Lines say another time than the names: who reads a file shows that he did. Of the first file beyond, its first line
    // is looked at.
    let beyond = [(35, "later"), (25, "d")];
    let files: [(u64, &[(u64, &str)]); 4] = [
        (10, &[(25, "a")]),
        (20, &[(25, "b")]),
        (30, &[(25, "c")]),
        (40, &beyond),
    ];
    for (named, lines) in files {
        place.log("web/log", lines);
        let dir = place.0.join("web/log");
        std::fs::rename(
            dir.join("current"),
            dir.join(format!("@{}.s", &name(named)[1..])),
        )
        .unwrap();
    }
    place.log("web/log", &[(25, "e")]);
    let stamp = |second| Some(Tai64n::from_wall(Wall::new(second, 0)));
    let what = Logs {
        lines: None,
        since: stamp(15),
        until: stamp(29),
        ..what(0, false, None)
    };
    let mut reader = reader(&place, &["web"], &what);
    reader.discover(None);
    assert_eq!(shown(&mut reader, true), "00:00:25.000 b\n00:00:25.000 c\n");
}
