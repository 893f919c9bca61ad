//! An answer that comes later, from another thread.

use crate::clients::Waker;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

/// What happened, in names and values; or why it did not.
pub(super) type Outcome = Result<Vec<(String, String)>, String>;

/// To be given once. One that is dropped says that nobody answered.
pub struct Answer {
    cell: Arc<Cell>,
    waker: Waker,
}

/// Where the answer is found.
#[derive(Debug, Default)]
pub(super) struct Cell(Mutex<Option<Outcome>>);

impl Cell {
    pub(super) fn take(&self) -> Option<Outcome> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Answer {
    pub(super) fn new(waker: Waker) -> (Answer, Arc<Cell>) {
        let cell = Arc::new(Cell::default());
        let answer = Answer {
            cell: cell.clone(),
            waker,
        };
        (answer, cell)
    }

    /// It has happened; the words, which may be empty, are told, as `result`.
    pub fn done(self, words: impl Into<String>) {
        let words: String = words.into();
        let row = (!words.is_empty()).then(|| ("result".to_owned(), words));
        self.done_with(row);
    }

    /// It has happened, and this is what there is to say about it, as names and values.
    pub fn done_with(self, rows: impl IntoIterator<Item = (String, String)>) {
        self.give(Ok(rows.into_iter().collect()));
    }

    /// It has not, and why.
    pub fn failed(self, reason: impl Into<String>) {
        self.give(Err(reason.into()));
    }

    fn give(&self, outcome: Outcome) {
        let cell = self.cell.0.lock();
        cell.unwrap_or_else(PoisonError::into_inner)
            .get_or_insert(outcome);
        self.waker.wake();
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        // The first one counts, so this is nothing when there was an answer and it has not been fetched; and when it has been, nobody looks.
        self.give(Err("the service did not answer".to_owned()));
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.debug_struct("Answer").finish_non_exhaustive()
    }
}
