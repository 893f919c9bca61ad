use super::*;
use alloc::string::ToString;
use alloc::vec;

fn file(path: &str, kind: Kind, is_locked: bool) -> SocketFile {
    SocketFile {
        path: path.as_bytes().to_vec(),
        kind,
        device: 0x0102_0304_0506_0708,
        inode: u64::MAX,
        is_removed: !is_locked,
        is_locked,
    }
}

/// One of each, and each with and without what may be missing.
fn every_given() -> Vec<(Given, usize)> {
    let listener = |file| {
        let (name, origin) = ("web".to_string(), "tcp:[::]:80".to_string());
        Given::Item(Item::Listener { name, origin, file })
    };
    let path = || b"/run/w\xffb.sock".to_vec();
    let item = Given::Item;
    vec![
        (listener(None), 1),
        (listener(Some(file("/run/a", Kind::Stream, true))), 2),
        (listener(Some(file("/run/b", Kind::Datagram, false))), 1),
        (listener(Some(file("", Kind::Sequential, true))), 2),
        (item(Item::State), 1),
        (item(Item::Pidfile { path: path() }), 1),
        (item(Item::ReadyFile { path: path() }), 0),
        (item(Item::Control { path: path() }), 1),
        (item(Item::Debug { path: Some(path()) }), 1),
        (item(Item::Debug { path: None }), 1),
        (item(Item::Stderr), 1),
        (
            Given::End {
                generation: 7,
                items: 0xfedc_ba98,
            },
            0,
        ),
        (Given::Promoted, 0),
        (Given::Reload, 0),
        (Given::Stop, 0),
        (
            Given::Client {
                heard: b"sta".to_vec(),
                json: true,
            },
            1,
        ),
        (
            Given::Client {
                heard: Vec::new(),
                json: false,
            },
            1,
        ),
        (Given::Done, 0),
    ]
}

fn every_said() -> Vec<Said> {
    vec![
        Said::Ready,
        Said::Failed {
            exit: 78,
            words: "unable to read web.toml: No such file or directory".to_string(),
        },
        Said::Failed {
            exit: 255,
            words: String::new(),
        },
        Said::unable(2),
    ]
}

#[test]
fn what_is_said_is_heard() {
    for (given, descriptors) in every_given() {
        let frame = given.encode().expect("short enough");
        assert!(frame.len() <= FRAME_MOST);
        assert_eq!(Given::decode(&frame), Ok(given.clone()));
        assert_eq!(given.descriptors(), descriptors, "{given:?}");
    }
    for said in every_said() {
        assert_eq!(Said::decode(&said.encode()), Ok(said));
    }
}

#[test]
fn every_piece_and_every_addition_is_refused() {
    for (given, _) in every_given() {
        let mut frame = given.encode().expect("short enough");
        for end in 0..frame.len() {
            assert_eq!(Given::decode(&frame[..end]), Err(Wrong::Short), "{given:?}");
        }
        frame.push(0);
        assert_eq!(Given::decode(&frame), Err(Wrong::Long), "{given:?}");
    }
    for said in every_said() {
        let mut frame = said.encode();
        for end in 0..frame.len() {
            assert_eq!(Said::decode(&frame[..end]), Err(Wrong::Short), "{said:?}");
        }
        frame.push(0);
        assert_eq!(Said::decode(&frame), Err(Wrong::Long), "{said:?}");
    }
}

#[test]
fn another_version_is_refused_and_its_refusal_is_understood() {
    for (given, _) in every_given() {
        let mut frame = given.encode().expect("short enough");
        frame[0] = 2;
        assert_eq!(Given::decode(&frame), Err(Wrong::Version(2)));
    }
    for said in every_said() {
        let mut frame = said.encode();
        frame[0] = 9;
        match said {
            Said::Unable { .. } => assert_eq!(Said::decode(&frame), Ok(said)),
            Said::Ready | Said::Failed { .. } => {
                assert_eq!(Said::decode(&frame), Err(Wrong::Version(9)));
            }
        }
    }
}

#[test]
fn one_side_does_not_say_what_the_other_says() {
    for (given, _) in every_given() {
        let frame = given.encode().expect("short enough");
        assert_eq!(Said::decode(&frame), Err(Wrong::Kind(frame[1])));
    }
    for said in every_said() {
        let frame = said.encode();
        assert_eq!(Given::decode(&frame), Err(Wrong::Kind(frame[1])));
    }
}

#[test]
fn no_value_is_taken_for_another() {
    let named = |at: usize, byte: u8| {
        let file = Some(file("/run/a", Kind::Stream, true));
        let (name, origin) = ("w".to_string(), "manager".to_string());
        let item = Given::Item(Item::Listener { name, origin, file });
        let mut frame = item.encode().expect("short enough");
        frame[at] = byte;
        Given::decode(&frame)
    };
    // Version, kind, role, length of the name in two bytes, name, file or not, its kind, removed or not, locked or not.
    for (at, byte) in [(2, b'x'), (5, 0xff), (6, 2), (7, 3), (8, 2), (9, 0xff)] {
        assert_eq!(named(at, byte), Err(Wrong::Value), "{at}");
    }
    assert_eq!(named(4, 0xff), Err(Wrong::TooLong));
}

#[test]
fn long_words_lose_their_end_and_long_paths_are_refused() {
    let words = "ä".repeat(TEXT_MOST);
    let frame = Said::Failed { exit: 1, words }.encode();
    assert!(frame.len() <= FRAME_MOST);
    match Said::decode(&frame) {
        Ok(Said::Failed { words, .. }) => assert_eq!(words, "ä".repeat(TEXT_MOST / 2)),
        other => panic!("{other:?}"),
    }
    let path = |length| {
        Given::Item(Item::Pidfile {
            path: vec![b'x'; length],
        })
    };
    assert_eq!(path(TEXT_MOST + 1).encode(), Err(Wrong::TooLong));
    assert_eq!(path(65536).encode(), Err(Wrong::TooLong));
    let frame = path(TEXT_MOST).encode().expect("just short enough");
    assert_eq!(Given::decode(&frame), Ok(path(TEXT_MOST)));
}

/// Frames that are nearly right, and any bytes at all: nothing panics, and what is understood is what was meant.
#[test]
fn garbage_is_refused_or_means_one_thing() {
    let mut dice = Dice(0x5eed);
    let seeds: Vec<Vec<u8>> = (every_given().iter())
        .map(|(given, _)| given.encode().expect("short enough"))
        .chain(every_said().iter().map(Said::encode))
        .collect();
    let (mut understood, mut refused) = (0, 0);
    for _ in 0..200_000 {
        let mut frame = match dice.below(4) {
            0 => (0..dice.below(40)).map(|_| dice.byte()).collect(),
            _ => seeds[dice.below(seeds.len())].clone(),
        };
        for _ in 0..dice.below(4) {
            match (dice.below(3), frame.len()) {
                (0, 1..) => {
                    let at = dice.below(frame.len());
                    frame[at] = dice.byte();
                }
                (1, 1..) => frame.truncate(dice.below(frame.len())),
                (_, _) => {
                    let at = dice.below(frame.len() + 1);
                    frame.insert(at, dice.byte());
                }
            }
        }
        // There is one way to say each thing.
        match Given::decode(&frame) {
            Ok(given) => {
                understood += 1;
                assert_eq!(given.encode().as_deref(), Ok(&frame[..]), "{given:?}");
            }
            Err(_) => refused += 1,
        }
        if let Ok(said) = Said::decode(&frame) {
            let again = Said::decode(&said.encode());
            assert_eq!(again, Ok(said), "{frame:?}");
        }
    }
    assert!(
        understood > 10_000 && refused > 10_000,
        "{understood} {refused}"
    );
}

#[test]
fn the_variable_means_one_process() {
    let (before, after) = Told::around_pid();
    assert_eq!(
        (before.as_str(), after.as_str()),
        ("EUDAEMON_HANDOVER=1:", ":3")
    );
    let told = |version, fd| Ok(Some(Told { version, fd }));
    assert_eq!(Told::read(b"1:7:3", 7), told(1, 3));
    assert_eq!(Told::read(b"1:8:3", 7), Ok(None));
    // What is not known is not ours to refuse: it is answered.
    assert_eq!(Told::read(b"2:7:12", 7), told(2, 12));
    for wrong in [
        "",
        "1",
        "1:7",
        "1:7:3:",
        "1:7:3:4",
        ":7:3",
        "1::3",
        "1:7:",
        "x:7:3",
        "1:x:3",
        "1:7:x",
        "0:7:3",
        "1:7:2",
        "1:7:0",
        "-1:7:3",
        "1:+7:3",
        "1: 7:3",
        "256:7:3",
        "1:4294967303:3",
        "1:7:-3",
        "1:7:3\n",
    ] {
        assert_eq!(
            Told::read(wrong.as_bytes(), 7),
            Err(Wrong::Variable),
            "{wrong}"
        );
    }
    // A wrong value for somebody else is as wrong.
    assert_eq!(Told::read(b"1:8:x", 7), Err(Wrong::Variable));
}

/// A small xorshift: the same frames in every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.roll() >> 33).expect("31 bits") % bound
    }

    fn byte(&mut self) -> u8 {
        self.roll().to_le_bytes()[3]
    }
}
