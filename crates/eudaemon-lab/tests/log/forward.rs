//! Selected lines go to syslog and to the journal, in their own forms.

use eudaemon_lab::{Subject, World, bins};
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

/// What a receiver gets of a line that is chosen and of one that is not.
fn received(action: &str) -> Vec<u8> {
    let Some(ours) = bins(Subject::Ours) else {
        return Vec::new();
    };
    let world = World::new("forward");
    let socket = UnixDatagram::bind(world.path("receiver")).expect("a socket of our own");
    socket
        .set_read_timeout(Some(Duration::from_secs(10)))
        .expect("an open socket");
    let words = ["multilog", "-*", "+*keep*", action, "./d"];
    let input = b"not this\nplease keep this\n";
    let done = world.run_with(ours, &words, "", &[], input);
    assert_eq!((done.err.as_str(), done.code), ("", 0));
    assert_eq!(world.read("d/current"), "please keep this\n");
    let mut message = vec![0; 4096];
    let length = socket.recv(&mut message).expect("a message");
    message.truncate(length);
    socket.set_nonblocking(true).expect("an open socket");
    assert!(socket.recv(&mut [0; 16]).is_err(), "a second message");
    message
}

#[test]
fn syslog_gets_a_line() {
    let message = received("%syslog=receiver");
    let text = String::from_utf8_lossy(&message);
    // Facility user, priority info: 1 * 8 + 6. Source: RFC 3164, section 4.1.1.
    assert!(
        message.is_empty() || text == "<14>multilog: please keep this",
        "{text:?}"
    );
}

#[test]
fn the_journal_gets_a_line() {
    let message = received("%journal=receiver");
    let wanted =
        b"PRIORITY=6\nSYSLOG_IDENTIFIER=multilog\nMESSAGE\n\x10\0\0\0\0\0\0\0please keep this\n";
    assert!(message.is_empty() || message == wanted, "{message:?}");
}
