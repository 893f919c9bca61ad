use super::*;
use crate::words::Pid;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

fn notice(bytes: &[u8]) -> Notice<'_> {
    match read(bytes, false, 0) {
        Ok(Heard::Notice(notice)) => notice,
        other => panic!("{other:?}"),
    }
}

/// A small generator, the same every time. Source: Marsaglia, "Xorshift RNGs", 2003.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % end as u64) as usize
    }
    fn letters(&mut self, most: usize) -> String {
        const LETTERS: [char; 12] = [
            'a',
            '=',
            '\n',
            '\r',
            '\0',
            ':',
            'é',
            '猫',
            '\u{1f980}',
            '\u{7f}',
            '\u{85}',
            ' ',
        ];
        (0..self.below(most + 1))
            .map(|_| LETTERS[self.below(LETTERS.len())])
            .collect()
    }
}

#[test]
fn what_is_said_is_heard() {
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    for _ in 0..20_000 {
        let mut message = Message::new();
        let mut want = Notice::default();
        if dice.below(2) == 0 {
            let since = Some(dice.below(usize::MAX) as u64);
            let states = [
                State::Ready,
                State::Stopping,
                State::Reloading { since },
                State::Reloaded { since },
            ];
            let state = states[dice.below(4)];
            // What was said before does not count.
            message = message.state(states[dice.below(4)]).state(state);
            want.state = Some(state);
        }
        let status = dice.letters(12);
        let clean: String = status
            .chars()
            .map(|letter| if letter.is_control() { ' ' } else { letter })
            .collect();
        if dice.below(2) == 0 {
            message = message.status(&status);
            want.status = Some(&clean);
        }
        if dice.below(4) == 0 {
            let access = Access::ALL[dice.below(4)];
            message = message.access(access);
            want.access = Some(access);
        }
        if dice.below(4) == 0 {
            message = message.errno(2).extend_timeout(Duration::from_secs(7200));
            want.errno = Some(ErrorNumber::Number(2));
            want.extend_timeout = Some(Duration::from_secs(7200));
        }
        if dice.below(4) == 0 {
            let inode = (dice.below(2) == 0).then_some(dice.below(9999) as u64);
            message = message.main_pid(42, inode);
            want.main = Pid::new(42).map(|pid| MainProcess::Pid {
                pid,
                pidfd_inode: inode,
            });
        }
        if dice.below(4) == 0 {
            let watchdog = [Watchdog::Alive, Watchdog::Trigger][dice.below(2)];
            let often = Duration::from_micros(dice.below(1 << 40) as u64);
            message = message.watchdog(watchdog).watchdog_interval(often);
            (want.watchdog, want.watchdog_interval) = (Some(watchdog), Some(often));
        }
        if dice.below(4) == 0 {
            message = message.restart_reset().exit_status(7);
            (want.restart_reset, want.exit_status) = (true, Some(7));
        }
        let name = dice.letters(6);
        match message.clone().unstore(&name) {
            Ok(with) if dice.below(2) == 0 => {
                message = with;
                want.store = Some(StoreRequest::Remove { name: &name });
            }
            Ok(with) => {
                let poll = dice.below(2) == 0;
                message = with.store(&name, poll).unwrap();
                want.store = Some(StoreRequest::Put { name: &name, poll });
            }
            Err(why) => {
                assert_eq!(why, Unsendable::Name);
                assert!(!is_name(name.as_bytes()));
            }
        }
        let private = dice.letters(3);
        if let Ok(with) = message.clone().private("X_EUDAEMON_1", &private) {
            message = with;
            want.private = [(&b"X_EUDAEMON_1"[..], private.as_bytes())].into();
        }
        if message == Message::new() {
            assert_eq!(message.encode(), Err(Unsendable::Empty));
            continue;
        }
        let bytes = message.encode().unwrap();
        assert_eq!(
            notice(&bytes),
            want,
            "{:?}",
            String::from_utf8_lossy(&bytes)
        );
    }
}

#[test]
fn noise_is_judged_and_never_more() {
    const WORDS: [&[u8]; 14] = [
        b"READY=1",
        b"\n",
        b"=",
        b"\0",
        b"BARRIER=1",
        b"FDSTORE=1",
        b"FDNAME=",
        b"\xff",
        b"STATUS=",
        b"MAINPID=",
        b"99999999999999999999",
        b"-1",
        b"MAINPIDFD=1",
        b"X_",
    ];
    let mut dice = Dice(7);
    let mut heard = 0;
    for _ in 0..100_000 {
        let mut bytes = Vec::new();
        for _ in 0..dice.below(9) {
            bytes.extend_from_slice(WORDS[dice.below(WORDS.len())]);
        }
        if let Ok(Heard::Notice(notice)) = read(&bytes, false, dice.below(3)) {
            heard += 1;
            if notice.state.is_some() {
                assert!(
                    bytes
                        .split(|byte| matches!(byte, b'\n' | b'\0'))
                        .any(|line| line == b"READY=1")
                );
            }
        }
    }
    assert!(heard > 10_000, "{heard}");
}

#[test]
fn a_status_fits_whatever_its_length() {
    // READY=1 \n STATUS= are 15 bytes.
    for (letters, want) in [(4080, 4095), (4081, 4096), (4082, 4096), (100_000, 4096)] {
        let bytes = Message::new().ready().status(&"x".repeat(letters)).encode();
        assert_eq!(bytes.unwrap().len(), want, "{letters}");
    }
    // Of four bytes each: 4081 is not a multiple of four, and no letter is halved.
    let bytes = Message::new()
        .ready()
        .status(&"\u{1f980}".repeat(2000))
        .encode()
        .unwrap();
    assert_eq!(bytes.len(), 15 + 4080);
    assert_eq!(notice(&bytes).status.unwrap().chars().count(), 1020);
    // What else there is comes first, and is never cut.
    let long = "v".repeat(4096 - "X_A=".len() - "\nSTATUS=".len());
    let message = Message::new().status("text").private("X_A", &long).unwrap();
    assert_eq!(message.encode().unwrap().len(), 4096);
    let message = message.private("X_A", &(long + "v")).unwrap();
    assert_eq!(message.encode(), Err(Unsendable::TooLong { bytes: 4097 }));
}

#[test]
fn no_text_becomes_an_assignment() {
    let bytes = Message::new()
        .status("x\nREADY=1\r\nSTOPPING=1\0MAINPID=1")
        .encode()
        .unwrap();
    let heard = notice(&bytes);
    assert_eq!((heard.state, heard.main), (None, None));
    assert_eq!(heard.status, Some("x READY=1  STOPPING=1 MAINPID=1"));
    for value in ["a\nREADY=1", "a\rREADY=1", "a\0"] {
        assert!(Message::new().bus_error(value).is_err());
        assert!(Message::new().varlink_error(value).is_err());
        assert!(Message::new().store(value, true).is_err());
        assert!(Message::new().unstore(value).is_err());
        assert!(Message::new().private("X_A", value).is_err());
        assert!(Message::new().private(value, "").is_err());
    }
    assert!(Message::new().private("READY", "1").is_err());
}

#[test]
fn a_message_is_refused_whole() {
    let refused = |bytes: &[u8], fds| read(bytes, false, fds).unwrap_err();
    assert_eq!(refused(b"", 0), Refused::Empty);
    assert_eq!(refused(b"\n\n\0", 0), Refused::Empty);
    assert_eq!(refused(b"READY=1\0STATUS=x", 0), Refused::ZeroByte);
    assert_eq!(refused(b"READY=1\0\0", 0), Refused::ZeroByte);
    assert_eq!(refused(b"BARRIER=1\nREADY=1", 1), Refused::BarrierNotAlone);
    for given in [0, 2] {
        assert_eq!(
            refused(b"BARRIER=1", given),
            Refused::BarrierDescriptors { given }
        );
    }
    assert_eq!(read(b"BARRIER=1\n", false, 1), Ok(Heard::Barrier));
    assert_eq!(read(b"READY=1", true, 0), Err(Refused::Truncated));
    assert!(read(&[b'\n'; 4095].map(|_| b'x'), false, 0).is_ok());
    assert!(read(&[b'x'; 4096], false, 0).is_ok());
    assert_eq!(read(&[b'x'; 4097], false, 0), Err(Refused::Truncated));
    // A last zero byte is no part of the message, as C programs send one.
    assert_eq!(notice(b"READY=1\0").state, Some(State::Ready));
}

#[test]
fn stopping_beats_ready_beats_reloading() {
    assert_eq!(
        notice(b"READY=1\nSTOPPING=1\nRELOADING=1").state,
        Some(State::Stopping)
    );
    assert_eq!(
        notice(b"READY=1\nMONOTONIC_USEC=5\nRELOADING=1").state,
        Some(State::Reloaded { since: Some(5) })
    );
    assert_eq!(
        notice(b"RELOADING=1").state,
        Some(State::Reloading { since: None })
    );
    assert_eq!(
        notice(b"MONOTONIC_USEC=5\nREADY=1").state,
        Some(State::Ready)
    );
    for none in [
        &b"READY=0"[..],
        b"READY=",
        b"READY=11",
        b" READY=1",
        b"ready=1",
    ] {
        assert_eq!(notice(none).state, None);
    }
}

#[test]
fn what_is_wrong_is_ignored_alone() {
    let heard = notice(b"READY=1\nSTATUS=\xff\nERRNO=many\nWATCHDOG=2\nMAINPID=0\nNOTIFYACCESS=some\nEXIT_STATUS=256");
    assert_eq!(heard.state, Some(State::Ready));
    assert_eq!(
        (heard.status, heard.errno, heard.watchdog, heard.main),
        (None, None, None, None)
    );
    let names: Vec<&[u8]> = heard.ignored.iter().map(|ignored| ignored.name).collect();
    let want: [&[u8]; 6] = [
        b"MAINPID",
        b"STATUS",
        b"NOTIFYACCESS",
        b"ERRNO",
        b"EXIT_STATUS",
        b"WATCHDOG",
    ];
    assert_eq!(names, want);
    assert_eq!(
        notice(b"ERRNO=ENOENT").errno,
        Some(ErrorNumber::Name("ENOENT"))
    );
    assert_eq!(notice(b"ERRNO=4096").errno, None);
    // The first of a name counts.
    assert_eq!(notice(b"STATUS=a\nSTATUS=b").status, Some("a"));
}

#[test]
fn a_number_that_does_not_match_its_pidfd_is_not_taken_alone() {
    let heard = notice(b"MAINPID=7\nMAINPIDFDID=x");
    assert_eq!(heard.main, None);
    assert_eq!(notice(b"MAINPID=2147483648").main, None);
    let with = |fds| match read(b"MAINPIDFD=1\nMAINPID=7", false, fds) {
        Ok(Heard::Notice(notice)) => notice.main,
        other => panic!("{other:?}"),
    };
    assert_eq!(with(1), Some(MainProcess::Descriptor));
    assert_eq!((with(0), with(2)), (None, None));
}

#[test]
fn the_store_has_names() {
    let long = "n".repeat(256);
    for (bytes, name) in [
        ("FDSTORE=1\nFDNAME=db", "db"),
        ("FDSTORE=1", "stored"),
        ("FDSTORE=1\nFDNAME=", ""),
        ("FDSTORE=1\nFDNAME=a:b", "stored"),
        ("FDSTORE=1\nFDNAME=é", "stored"),
        ("FDSTORE=1\nFDNAME=a\tb", "stored"),
        (&alloc::format!("FDSTORE=1\nFDNAME={long}"), "stored"),
        (
            &alloc::format!("FDSTORE=1\nFDNAME={}", &long[1..]),
            &long[1..],
        ),
    ] {
        let put = StoreRequest::Put { name, poll: true };
        assert_eq!(notice(bytes.as_bytes()).store, Some(put), "{bytes}");
    }
    let remove = Some(StoreRequest::Remove { name: "db" });
    assert_eq!(
        notice(b"FDSTORE=1\nFDSTOREREMOVE=1\nFDNAME=db").store,
        remove
    );
    assert_eq!(notice(b"FDSTORE=1\nFDSTOREREMOVE=1").store, None);
    let put = StoreRequest::Put {
        name: "a",
        poll: false,
    };
    assert_eq!(notice(b"FDSTORE=1\nFDPOLL=0\nFDNAME=a").store, Some(put));
}

#[test]
fn descriptors_are_those_the_message_speaks_of() {
    let ready = Message::new().ready();
    assert_eq!(
        (ready.check_descriptors(0), ready.check_descriptors(1)),
        (Ok(()), Err(Unsendable::Descriptors { given: 1 }))
    );
    let store = ready.clone().store("a", true).unwrap();
    let fits = |message: &Message| -> Vec<usize> {
        [0, 1, 2, 253, 254]
            .into_iter()
            .filter(|given| message.check_descriptors(*given).is_ok())
            .collect()
    };
    assert_eq!(fits(&store), [1, 2, 253]);
    assert_eq!(fits(&ready.main_pidfd()), [1]);
    assert_eq!(fits(&store.unstore("a").unwrap()), [0]);
}

#[test]
fn addresses() {
    let parse = |text: &'static str| Address::parse(text.as_bytes());
    assert_eq!(parse("/run/n"), Ok(Address::Path(b"/run/n")));
    assert_eq!(parse("@n/1"), Ok(Address::Abstract(b"n/1")));
    for (text, transport) in [
        ("vsock:2:1234", Transport::Any),
        ("vsock-dgram:2:1234", Transport::Datagram),
        ("vsock-seqpacket:2:1234", Transport::Packets),
        ("vsock-stream:2:1234", Transport::Stream),
    ] {
        let (cid, port) = (2, 1234);
        assert_eq!(
            parse(text),
            Ok(Address::Vsock {
                cid,
                port,
                transport
            })
        );
    }
    for text in [
        "vsock:",
        "vsock:2",
        "vsock::1",
        "vsock:4294967295:1",
        "vsock:-1:1",
        "vsock:2:1:3",
        "vsock:2:x",
    ] {
        assert_eq!(parse(text), Err(BadAddress::Vsock), "{text}");
    }
    assert_eq!(
        (parse("/"), parse("@")),
        (Err(BadAddress::NoName), Err(BadAddress::NoName))
    );
    for text in ["run/n", "", "vsockx:1:2", "unix:/run/n"] {
        assert_eq!(parse(text), Err(BadAddress::Unknown), "{text}");
    }
    let long = alloc::format!("/{}", "x".repeat(107));
    assert_eq!(Address::parse(long.as_bytes()), Err(BadAddress::TooLong));
    assert!(Address::parse(&long.as_bytes()[..107]).is_ok());
}
