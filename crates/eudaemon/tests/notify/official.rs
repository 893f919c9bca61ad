//! systemd's own sender, heard by our receiver; and the same words from ours, byte by byte.

use super::{Ear, is_here};
use eudaemon::notify::{Message, Notify};
use eudaemon_core::notify::{Heard, read};
use std::process::{Command, ExitStatus};

/// Everything it sent, barriers let through, and how it ended.
fn spoken(ear: &Ear, words: &[&str]) -> (Vec<Vec<u8>>, ExitStatus, u32) {
    let mut child = Command::new("systemd-notify")
        .args(words)
        .env("NOTIFY_SOCKET", std::str::from_utf8(&ear.address).unwrap())
        .spawn()
        .unwrap();
    let (mut heard, mut barriers) = (Vec::new(), 0);
    loop {
        let ended = child.try_wait().unwrap();
        while let Some((bytes, datagram)) = ear.next() {
            assert!(datagram.speaker.is_some() && !datagram.descriptors_lost);
            match read(&bytes, datagram.truncated, datagram.fds.len()) {
                // The descriptor is closed at the end of this turn, and it goes on.
                Ok(Heard::Barrier) => barriers += 1,
                _ => heard.push(bytes),
            }
        }
        if let Some(ended) = ended {
            return (heard, ended, barriers);
        }
        std::thread::yield_now();
    }
}

#[test]
fn the_same_words_are_the_same_bytes() {
    if !is_here("systemd-notify") {
        return;
    }
    for ear in [Ear::at_a_path(), Ear::abstract_one()] {
        let notify = Notify::to(&ear.address).unwrap();
        for (words, message) in [
            (&["--ready"][..], Message::new().ready()),
            (
                &["--ready", "--status=two wörds"],
                Message::new().ready().status("two wörds"),
            ),
            (&["--status=x"], Message::new().status("x")),
            (
                &["--ready", "--status=up", "--pid=1"],
                Message::new().ready().status("up").main_pid(1, None),
            ),
            (
                &["WATCHDOG=1"],
                Message::new().watchdog(eudaemon::notify::Watchdog::Alive),
            ),
            (&["X_A=b c"], Message::new().private("X_A", "b c").unwrap()),
        ] {
            let (theirs, ended, barriers) = spoken(&ear, words);
            assert!(ended.success(), "{words:?}: {ended}");
            assert_eq!(barriers, 1, "it waits until it was heard");
            notify.send(&message).unwrap();
            let (ours, _) = ear.next().unwrap();
            assert_eq!(theirs, [ours], "{words:?}");
        }
    }
}
