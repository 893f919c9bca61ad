//! svok: yes, no, and the reasons it cannot say.

use eudaemon_lab::{both, every_pair};

#[test]
fn says_no_or_why_it_cannot_say() {
    both("svok-no", |s| {
        s.write("new/run", "");
        s.write("file", "");
        s.write("plain/supervise/ok", "");
        s.write("isdir/supervise/ok/x", "");
        s.write("half/supervise", "a file");
        for (line, code) in [
            ("svok", 100),
            ("svok new", 100),
            ("svok nowhere", 111),
            ("svok file", 111),
            ("svok half", 111),
            ("svok isdir", 111),
            ("svok plain", 0),
            ("svok __", 111),
            ("svok -x", 111),
            ("svok new nowhere", 100),
        ] {
            assert_eq!(s.play(line).code, code, "{line}");
        }
    });
}

#[test]
fn says_yes_only_while_supervise_runs() {
    every_pair("svok-yes", |s| {
        s.write("a/down", "");
        assert_eq!(s.play("svok a").code, 100);
        let supervise = s.supervise("a");
        assert_eq!(s.play("svok a").code, 0);
        assert_eq!(s.play("svok a more words").code, 0);
        s.ask("svc -x a");
        s.ending("supervise", &supervise);
        assert_eq!(s.play("svok a").code, 100);
    });
}
