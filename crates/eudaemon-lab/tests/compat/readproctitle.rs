//! readproctitle: its refusals, and the shift register in its own command line.

use eudaemon_lab::both;
use std::fs;

#[test]
fn wants_a_last_argument_of_five_bytes() {
    both("readproctitle-usage", |s| {
        assert_eq!(s.play("readproctitle").code, 100);
        assert_eq!(s.play("readproctitle .......... four").code, 100);
        s.play("readproctitle four");
        s.play("readproctitle __");
        assert_eq!(s.play("readproctitle abcde").code, 0);
        s.play("readproctitle x y ........");
    });
}

#[test]
fn shifts_what_it_reads_through_its_last_argument() {
    both("readproctitle-shift", |s| {
        assert_eq!(s.run(s.tools, &["mkfifo", "in"]).code, 0);
        // Both ends, so that neither side waits for the other and no reader sees an early end of file.
        let mut write = fs::OpenOptions::new()
            .read(true)
            .write(true)
            .open(s.path("in"))
            .expect("a FIFO");
        let program = s.service.program("readproctitle".as_ref());
        let script = format!("exec {} errors: ............ <in", program.display());
        let running = s.start(s.service, &["sh", "-c", &script]);
        let line = || {
            let words = fs::read(format!("/proc/{}/cmdline", running.pid)).unwrap_or_default();
            let words: Vec<_> = words
                .split(|&b| b == 0)
                .skip(1)
                .map(|w| w.escape_ascii().to_string())
                .collect();
            words.join("|")
        };
        let shows = |what: &str| {
            s.soon(&format!("{what:?} in {:?}", line()), || line() == what);
            s.note(&line());
        };
        shows("errors:|............|");
        let mut put = |text: &str| {
            std::io::Write::write_all(&mut write, text.as_bytes()).expect("a FIFO takes bytes")
        };
        put("one");
        shows("errors:|.........one|");
        put("\n\0two\0");
        shows("errors:|.....one\\ntwo|");
        put("abcdefghijklmnop");
        shows("errors:|...hijklmnop|");
        drop(write);
        // Ours was the only other writing end.
        s.ending("readproctitle", &running);
    });
}
