//! Whoever may write in the log directory can not lead the logger out of it.

use crate::logger;
use eudaemon_lab::Subject;
use eudaemon_lab::log::links;

#[test]
fn no_link_leads_out() {
    let Some(ours) = logger(Subject::Ours) else {
        return;
    };
    let escapes = links(&ours, 60);
    println!("{escapes:?}");
    assert!(escapes.swaps > 100, "{escapes:?}");
    assert_eq!(escapes.escapes, 0, "{escapes:?}");
}

/// That the judge sees an escape.
#[test]
fn the_original_follows() {
    let Some(djb) = logger(Subject::Djb) else {
        return;
    };
    let escapes = links(&djb, 0);
    assert!(escapes.by.contains(&"current".to_owned()), "{escapes:?}");
}
