//! A clock that is set back: nothing new is removed.
//!
//! A clock cannot be set for one process, so the directory holds files of tomorrow: what is left of a step once the logger
//! has started after it. A step under a running logger is not tried: the vDSO answers it, and strace(1) could only change
//! the monotonic clock with it.

use crate::logger;
use eudaemon_lab::Subject;
use eudaemon_lab::log::set_back;

#[test]
fn files_of_tomorrow_do_not_cost_a_line() {
    let Some(ours) = logger(Subject::Ours) else {
        return;
    };
    let kept = set_back(&ours);
    println!("{kept:?}");
    assert_eq!(kept.missing, 0, "{kept:?}");
}

/// That the judge sees a loss.
#[test]
fn the_original_removes_what_is_new() {
    let Some(djb) = logger(Subject::Djb) else {
        return;
    };
    assert!(set_back(&djb).missing > 0);
}
