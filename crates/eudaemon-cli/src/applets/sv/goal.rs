//! What `sv` waits for, and whether it has happened.

use super::service::{Seen, State};
use eudaemon_core::status::Wanted;
use eudaemon_core::words::Pid;

/// What is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Goal {
    /// Nothing: it is told how things are.
    Sent,
    /// It runs, and `check` says yes.
    Up,
    /// Nothing of it runs.
    Down,
    /// It runs or has run since.
    Once,
    /// It is not paused.
    Continued,
    /// Another runs than before. One that is down and not wanted up stays so, unless it is brought `up`.
    Again {
        /// It is told to go up as well.
        up: bool,
    },
    /// Its supervisor has left.
    Gone,
    /// It is as it is wanted.
    AsWanted,
}

/// What remains to be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// It has not happened.
    No,
    /// It has happened.
    Yes,
    /// It has, if `check` says yes.
    Check,
}

impl Goal {
    /// Whether it has happened, from what is seen now and what was before the command.
    pub(super) fn answer(self, seen: &Seen, before: Option<Pid>) -> Answer {
        let yes = |happened| if happened { Answer::Yes } else { Answer::No };
        let runs = seen.runs();
        let wanted_up = seen.record.wanted == Some(Wanted::Up);
        match self {
            Goal::Sent => Answer::Yes,
            Goal::Up if runs => Answer::Check,
            Goal::Up => Answer::No,
            Goal::Down => yes(seen.state == State::Down && !wanted_up),
            Goal::Once => yes(runs || (seen.state == State::Down && !wanted_up)),
            Goal::Continued => yes(!seen.record.paused),
            Goal::Again { up } => {
                if runs && seen.record.pid != before {
                    Answer::Check
                } else {
                    yes(!up && seen.state == State::Down && !wanted_up)
                }
            }
            // That is seen where the supervisor is not.
            Goal::Gone => Answer::No,
            Goal::AsWanted => match (runs, wanted_up, seen.term) {
                (true, true, _) | (true, false, false) => Answer::Check,
                (true, false, true) => Answer::No,
                (false, up, _) => yes(!up && seen.state == State::Down),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use eudaemon_core::status::{Record, Tail};
    use eudaemon_core::time::{Tai64n, Wall};

    fn seen(pid: u32, wanted: Wanted, tail: Tail) -> Seen {
        let record = Record {
            since: Tai64n::from_wall(Wall::new(1000, 0)),
            pid: Pid::new(pid),
            paused: false,
            wanted: Some(wanted),
            tail,
        };
        Seen::new(record, false)
    }

    #[test]
    fn each_goal_knows_when_it_is_reached() {
        let before = Pid::new(7);
        let old = seen(7, Wanted::Up, Tail::Run { term: true });
        let new = seen(8, Wanted::Up, Tail::Run { term: false });
        let finish = seen(9, Wanted::Up, Tail::Finish { term: false });
        let down = seen(0, Wanted::Down, Tail::Down(0));
        let runits_down = seen(0, Wanted::Down, Tail::Encore(0));
        let once = seen(7, Wanted::Down, Tail::Run { term: false });
        let again = Goal::Again { up: true };
        assert_eq!(again.answer(&old, before), Answer::No);
        assert_eq!(again.answer(&finish, before), Answer::No);
        assert_eq!(again.answer(&new, before), Answer::Check);
        assert_eq!(again.answer(&down, before), Answer::No);
        assert_eq!(Goal::Again { up: false }.answer(&down, None), Answer::Yes);
        assert_eq!(Goal::Down.answer(&finish, before), Answer::No);
        assert_eq!(Goal::Down.answer(&runits_down, before), Answer::Yes);
        assert_eq!(Goal::Up.answer(&old, before), Answer::Check);
        assert_eq!(Goal::Up.answer(&down, before), Answer::No);
        assert_eq!(Goal::AsWanted.answer(&once, before), Answer::Check);
        assert_eq!(Goal::AsWanted.answer(&down, before), Answer::Yes);
        assert_eq!(Goal::AsWanted.answer(&finish, before), Answer::No);
        assert_eq!(Goal::Gone.answer(&down, before), Answer::No);
    }
}
