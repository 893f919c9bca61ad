//! The library's log (`crates/eudaemon/examples/log.rs`) in systemd's own journal, as `journalctl -o export` tells it.

use eudaemon_lab::pid1::{self, Pid1};
use std::path::{Path, PathBuf};

/// The example, which cargo builds with the tests of the workspace.
fn example() -> Option<PathBuf> {
    let tests = std::env::current_exe().expect("this program");
    let path = tests.parent().and_then(Path::parent)?.join("examples/log");
    if path.exists() {
        return Some(path);
    }
    eudaemon_lab::skipped("cargo build -p eudaemon --example log");
    None
}

type Entry = Vec<(String, Vec<u8>)>;

/// Entries end with an empty line; a field is `NAME=value`, or its name, 8 bytes of length and the value. Source: systemd,
/// `docs/JOURNAL_EXPORT_FORMATS.md`.
fn entries(mut export: &[u8]) -> Vec<Entry> {
    let mut entries = vec![Vec::new()];
    while let Some(end) = export.iter().position(|&byte| byte == b'\n') {
        let (line, rest) = (&export[..end], &export[end + 1..]);
        export = rest;
        let name = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("a name");
        let last = entries.last_mut().expect("never empty");
        if line.is_empty() {
            entries.push(Vec::new());
        } else if let Some(equals) = line.iter().position(|&byte| byte == b'=') {
            last.push((name(&line[..equals]), line[equals + 1..].to_vec()));
        } else {
            let length = u64::from_le_bytes(rest[..8].try_into().expect("8 bytes"));
            let length = usize::try_from(length).expect("it is in memory");
            last.push((name(line), rest[8..8 + length].to_vec()));
            assert_eq!(rest[8 + length], b'\n');
            export = &rest[9 + length..];
        }
    }
    entries.retain(|entry| !entry.is_empty());
    entries
}

fn all(entry: &Entry, name: &str) -> Vec<Vec<u8>> {
    let named = entry.iter().filter(|(known, _)| known == name);
    named.map(|(_, value)| value.clone()).collect()
}

fn one(entry: &Entry, name: &str) -> String {
    let found = all(entry, name);
    assert_eq!(found.len(), 1, "{name} of {entry:?}");
    String::from_utf8(found[0].clone()).expect("text")
}

/// What the service of this unit wrote, by the way it came: `journal` or `stdout`.
fn written(machine: &Pid1, transport: &str) -> Vec<Entry> {
    let export = std::fs::read(machine.path("export")).expect("what the judge left");
    let mut entries = entries(&export);
    entries.retain(|entry| one(entry, "_TRANSPORT") == transport && one(entry, "_PID") != "1");
    entries
}

fn machine(example: &Path, words: &str, more: &str) -> Pid1 {
    let machine = Pid1::new().lend(example);
    let unit = format!("[Service]\nExecStart={} {words}\n{more}", example.display());
    machine.unit("logs.service", &unit);
    machine
}

const EXPORT: &str = "journalctl --sync; journalctl -u logs -o export >export";

#[test]
fn the_journal_has_every_record_as_it_was() {
    let (true, Some(example)) = (pid1::need(), example()) else {
        return;
    };
    let words = "auto levels lines bytes large=1048576 large=12000000 panic threads";
    let machine = machine(&example, words, "Type=oneshot\n");
    let seen = machine.judge(&format!("systemctl start logs && {EXPORT}"));
    assert_eq!(seen.code, 0, "{seen:?}");
    let (threads, records): (Vec<_>, Vec<_>) = written(&machine, "journal")
        .into_iter()
        .partition(|entry| one(entry, "MESSAGE").starts_with("thread "));
    let told: Vec<(String, String)> = records
        .iter()
        .map(|entry| (one(entry, "PRIORITY"), one(entry, "MESSAGE")))
        .collect();
    let told: Vec<(&str, &str)> = told.iter().map(|(n, m)| (n.as_str(), m.as_str())).collect();
    let (panic, before) = told.split_last().expect("records");
    assert_eq!(
        before,
        [
            ("0", "at emergency"),
            ("1", "at alert"),
            ("2", "at critical"),
            ("3", "at error"),
            ("4", "at warning"),
            ("5", "at notice"),
            ("6", "at info"),
            ("3", "one\n<0>two\n\n\tfour"),
            ("4", "bytes\u{1b}[31m \u{e9}"),
            ("5", "large"),
            ("5", "large"),
        ]
    );
    assert!(
        panic.0 == "2" && panic.1.ends_with(": as asked"),
        "{panic:?}"
    );
    let bytes = &records[8];
    assert_eq!(all(bytes, "BYTES"), [(0..=255).collect::<Vec<u8>>()]);
    assert_eq!(all(bytes, "AGAIN"), [b"a=b".to_vec(), b"c".to_vec()]);
    assert_eq!(one(bytes, "HTTP_STATUS_CODE"), "404");
    assert_eq!(one(bytes, "MESSAGE_ID"), "7d4958e842da4a758f6c1cdc7b36dcc5");
    assert_eq!(one(bytes, "EMPTY"), "");
    assert_eq!(one(bytes, "SYSLOG_IDENTIFIER"), "eudaemon-log");
    assert_eq!(one(bytes, "SYSLOG_PID"), one(bytes, "_PID"));
    assert_eq!(
        one(bytes, "INVOCATION_ID"),
        one(bytes, "_SYSTEMD_INVOCATION_ID")
    );
    assert!(one(bytes, "CODE_FILE").ends_with("examples/log.rs"));
    assert_eq!(one(&records[9], "LARGE").len(), 1 << 20);
    assert_eq!(one(&records[10], "LARGE").len(), 12_000_000);
    assert_eq!(threads.len(), 1600);
}

#[test]
fn numbers_before_lines_mean_the_same_to_the_journal() {
    let (true, Some(example)) = (pid1::need(), example()) else {
        return;
    };
    let machine = machine(&example, "prefixed levels lines", "Type=oneshot\n");
    let seen = machine.judge(&format!(
        "systemctl start logs && {EXPORT}
         for p in 0 1 2 3 4 5 6 7; do echo $p | systemd-cat -t cat -p $p; done
         printf '<04>4\\n<007>7\\n<30>6\\n<8>6\\n<0007>6\\n' | systemd-cat -t cat
         journalctl --sync
         journalctl -t cat -o export --output-fields=PRIORITY,MESSAGE >cat"
    ));
    assert_eq!(seen.code, 0, "{seen:?}");
    let told: Vec<String> = written(&machine, "stdout")
        .iter()
        .map(|entry| format!("{} {}", one(entry, "PRIORITY"), one(entry, "MESSAGE")))
        .collect();
    // The journal takes no empty lines from a stream.
    assert_eq!(
        told,
        [
            "0 at emergency",
            "1 at alert",
            "2 at critical",
            "3 at error",
            "4 at warning",
            "5 at notice",
            "6 at info",
            "3 one",
            "3   <0>two",
            "3   \tfour",
        ]
    );
    let cat = entries(&std::fs::read(machine.path("cat")).expect("what the judge left"));
    assert_eq!(cat.len(), 13);
    for entry in &cat {
        // What follows the number, or all of it, ends with the priority the journal should have found.
        let priority = one(entry, "PRIORITY");
        let message = one(entry, "MESSAGE");
        assert!(message.ends_with(&priority), "{priority} {message}");
        assert_eq!(message.starts_with('<'), message.len() > 1, "{message}");
    }
}

#[test]
fn a_log_goes_on_behind_a_changed_root_and_another_journal() {
    let (true, Some(example)) = (pid1::need(), example()) else {
        return;
    };
    let machine = machine(
        &example,
        // It waits once more: a journal that is new and meets a process that is gone cannot tell its unit.
        "auto chroot=/run/root say=one wait say=two wait lost",
        "StandardInput=file:/run/fifo\n",
    );
    let seen = machine.judge(&format!(
        "mkfifo /run/fifo; mkdir /run/root
         has() {{ journalctl -u logs -o cat | grep -qx $1; }}
         systemctl start logs --no-block; exec 9>/run/fifo
         soon has one && systemctl restart systemd-journald && echo >&9 && soon has two &&
         echo >&9 && soon is logs ActiveState inactive && {EXPORT}"
    ));
    assert_eq!(seen.code, 0, "{seen:?}");
    let told: Vec<String> = written(&machine, "journal")
        .iter()
        .map(|entry| one(entry, "MESSAGE"))
        .collect();
    assert_eq!(told, ["one", "two"]);
}
