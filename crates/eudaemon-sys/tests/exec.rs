//! Helpers get what they are given.
//!
//! A program of its own: a child between fork and exec holds what other tests think they have closed.

use eudaemon_core::words::Ended;
use eudaemon_sys::exec::{Helper, spawn, wait};
use std::io::{self, Read};
use std::os::fd::AsFd;

#[test]
fn a_helper_gets_what_it_is_given_and_no_more() {
    let (mut reader, writer) = std::io::pipe().expect("a pipe");
    let pid = spawn(&Helper {
        file: c"/bin/sh",
        // SIGPIPE is ignored in this process, and would be there: then the shell would live to say "alive".
        argv: &[
            c"sh",
            c"-c",
            c"echo $0 $A $HOME; kill -PIPE $$; echo alive",
            c"me",
        ],
        environment: &[c"A=b", c"PATH=/bin:/usr/bin"],
        streams: [None, Some(writer.as_fd()), None],
        more: &[],
        folder: None,
    })
    .expect("every system has a shell");
    drop(writer);
    let mut said = String::new();
    reader.read_to_string(&mut said).expect("a pipe");
    let pipe = Ended::Signal {
        number: 13,
        core: false,
    };
    assert_eq!(wait(pid).expect("our child"), pipe);
    assert_eq!(said, "me b\n");
}

#[test]
fn a_helper_gets_more_descriptors_by_their_numbers() {
    let (mut reader, writer) = std::io::pipe().expect("a pipe");
    let input = std::fs::File::open("/dev/null").expect("every system has it");
    let helper = Helper {
        file: c"/bin/sh",
        argv: &[c"sh", c"-c", c"cat <&4; echo five >&5"],
        environment: &[c"PATH=/bin:/usr/bin"],
        streams: [None; 3],
        more: &[(input.as_fd(), 4), (writer.as_fd(), 5)],
        folder: None,
    };
    let pid = spawn(&helper).expect("every system has a shell");
    drop(writer);
    let mut said = String::new();
    reader.read_to_string(&mut said).expect("a pipe");
    assert_eq!(wait(pid).expect("our child"), Ended::Code(0));
    assert_eq!(said, "five\n");
}

#[test]
fn a_helper_that_is_not_there_is_an_error() {
    let helper = Helper {
        file: c"/nonexistent",
        argv: &[c"x"],
        environment: &[],
        streams: [None; 3],
        more: &[],
        folder: None,
    };
    assert_eq!(
        spawn(&helper).expect_err("no such file").kind(),
        io::ErrorKind::NotFound
    );
}
