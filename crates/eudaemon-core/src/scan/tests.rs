//! The scanner, step by step; long lives are `eudaemon-sim`'s.

extern crate std;
use super::*;
use std::vec;

fn id(ino: u64) -> Id {
    Id { dev: 1, ino }
}
fn seen(name: &str, ino: u64, logged: bool) -> Seen {
    Seen {
        name: name.as_bytes().to_vec(),
        id: id(ino),
        logged,
    }
}
fn at(secs: u64) -> Mono {
    Mono(secs * 1_000_000_000)
}
struct World(Scanner);
impl World {
    fn new() -> World {
        World(Scanner::new(at(0), true))
    }
    fn step(&mut self, secs: u64, event: Event) -> Vec<Effect> {
        let mut out = Vec::new();
        self.0.step(at(secs), event, &mut out);
        out
    }
    fn list(&mut self, secs: u64, seen: Vec<Seen>) -> Vec<Effect> {
        self.step(
            secs,
            Event::Listed {
                seen,
                watched: true,
            },
        )
    }
}

#[test]
fn names_are_taken_bytewise_and_logs_first() {
    let mut world = World::new();
    assert_eq!(world.step(0, Event::Deadline), [Effect::List]);
    assert_eq!(
        world.list(0, vec![seen("b", 2, true), seen("B", 3, false)]),
        [
            Effect::Supervise(id(3), Part::Main),
            Effect::Supervise(id(2), Part::Log),
            Effect::Supervise(id(2), Part::Main)
        ]
    );
    assert_eq!(
        world.list(1, vec![seen("b", 2, true), seen("B", 3, false)]),
        []
    );
    assert_eq!(
        world.0.deadline(),
        None,
        "a watched directory is not polled"
    );
}

#[test]
fn an_absent_service_lives_until_it_leaves() {
    let mut world = World::new();
    world.list(0, vec![seen("a", 1, false)]);
    assert_eq!(world.list(1, vec![]), []);
    assert_eq!(
        world.step(2, Event::Left(id(1), Part::Main)),
        [Effect::Forget(id(1))]
    );
}

#[test]
fn a_present_service_that_left_is_switched_on_at_the_next_look() {
    let mut world = World::new();
    world.list(0, vec![seen("a", 1, false)]);
    assert_eq!(world.step(2, Event::Left(id(1), Part::Main)), []);
    assert_eq!(world.0.deadline(), Some(at(7)));
    assert_eq!(world.step(7, Event::Deadline), [Effect::List]);
    assert_eq!(
        world.list(7, vec![seen("a", 1, false)]),
        [Effect::Supervise(id(1), Part::Main)]
    );
}

#[test]
fn a_renamed_service_is_the_same_service() {
    let mut world = World::new();
    world.list(0, vec![seen("a", 1, false)]);
    assert_eq!(
        world.list(1, vec![seen("b", 1, false)]),
        [Effect::Rename(id(1), b"b".to_vec())]
    );
}

#[test]
fn a_replaced_directory_never_runs_twice() {
    let mut world = World::new();
    world.list(0, vec![seen("a", 1, false)]);
    assert_eq!(
        world.list(1, vec![seen("a", 2, false)]),
        [Effect::Down(id(1), Part::Main)]
    );
    assert_eq!(world.list(2, vec![seen("a", 2, false)]), [], "told once");
    assert_eq!(
        world.step(3, Event::Left(id(1), Part::Main)),
        [Effect::Forget(id(1)), Effect::Supervise(id(2), Part::Main)]
    );
}

#[test]
fn two_replaced_directories_both_leave_first() {
    let mut world = World::new();
    world.list(0, vec![seen("a", 1, false)]);
    // 1 is gone; 3, known as b, takes its name, goes too, and 2 takes the name in its turn.
    world.list(1, vec![seen("b", 3, false)]);
    world.list(2, vec![seen("a", 3, false)]);
    assert_eq!(
        world.list(3, vec![seen("a", 2, false)]),
        [Effect::Down(id(3), Part::Main)]
    );
    assert_eq!(
        world.step(4, Event::Left(id(3), Part::Main)),
        [Effect::Forget(id(3))],
        "1 is still on"
    );
    assert_eq!(
        world.step(5, Event::Left(id(1), Part::Main)),
        [Effect::Forget(id(1)), Effect::Supervise(id(2), Part::Main)]
    );
}

#[test]
fn a_replaced_directory_may_come_back_under_another_name() {
    let mut world = World::new();
    world.list(0, vec![seen("a", 1, false)]);
    world.list(1, vec![seen("a", 2, false)]);
    assert_eq!(
        world.list(2, vec![seen("a", 2, false), seen("b", 1, false)]),
        [
            Effect::Rename(id(1), b"b".to_vec()),
            Effect::Supervise(id(2), Part::Main)
        ]
    );
    assert_eq!(world.step(3, Event::Left(id(1), Part::Main)), []);
    assert_eq!(world.0.deadline(), Some(at(8)));
    assert_eq!(
        world.list(8, vec![seen("a", 2, false), seen("b", 1, false)]),
        [Effect::Supervise(id(1), Part::Main)]
    );
}

#[test]
fn classic_lets_both_run() {
    let mut world = World(Scanner::new(at(0), false));
    world.list(0, vec![seen("a", 1, false)]);
    assert_eq!(
        world.list(1, vec![seen("a", 2, false)]),
        [Effect::Supervise(id(2), Part::Main)]
    );
}

#[test]
fn stop_takes_mains_down_then_drains_logs() {
    let mut world = World::new();
    world.list(0, vec![seen("a", 1, true), seen("b", 2, false)]);
    assert_eq!(
        world.step(1, Event::Stop),
        [
            Effect::Down(id(1), Part::Main),
            Effect::Down(id(2), Part::Main)
        ]
    );
    assert_eq!(
        world.step(2, Event::Left(id(1), Part::Main)),
        [Effect::Drain(id(1))]
    );
    assert_eq!(world.step(2, Event::Left(id(2), Part::Main)), []);
    assert_eq!(world.0.deadline(), Some(at(7)));
    assert_eq!(
        world.step(7, Event::Deadline),
        [Effect::Down(id(1), Part::Log)]
    );
    assert_eq!(
        world.step(8, Event::Left(id(1), Part::Log)),
        [Effect::Finish]
    );
    assert_eq!(World::new().step(0, Event::Stop), [Effect::Finish]);
}

#[test]
fn what_cannot_be_watched_is_looked_at_every_five_seconds() {
    let mut world = World::new();
    world.step(
        0,
        Event::Listed {
            seen: vec![],
            watched: false,
        },
    );
    assert_eq!(world.0.deadline(), Some(at(5)));
    world.step(5, Event::ListFailed);
    assert_eq!(world.0.deadline(), Some(at(10)));
}
