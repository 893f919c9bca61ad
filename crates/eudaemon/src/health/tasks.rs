//! What a service is doing at the moment, in its own words.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// A list of what is being done; [`debug`](crate) shows it as `/debug/tasks`. Clones are handles of the same.
///
/// ```
/// let tasks = eudaemon::health::Tasks::new();
/// let task = tasks.begin("compaction");
/// task.now("reading level 2");
/// assert_eq!(tasks.list().len(), 1);
/// drop(task);
/// assert!(tasks.list().is_empty());
/// ```
#[derive(Clone, Debug, Default)]
pub struct Tasks {
    kept: Arc<Mutex<Kept>>,
}

#[derive(Debug, Default)]
struct Kept {
    next: u64,
    tasks: BTreeMap<u64, Row>,
}

#[derive(Clone, Debug)]
struct Row {
    name: String,
    state: String,
    began: Instant,
    changed: Instant,
}

/// One of the list, as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TaskInfo {
    /// Its name.
    pub name: String,
    /// What it said it does now; empty if nothing.
    pub state: String,
    /// How long it has been there.
    pub age: Duration,
    /// How long it has been in this state.
    pub since: Duration,
}

impl Tasks {
    /// An empty list.
    #[must_use]
    pub fn new() -> Tasks {
        Tasks::default()
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something is being done, until what is returned is dropped.
    #[must_use = "a task that is dropped is over at once"]
    pub fn begin(&self, name: &str) -> Task {
        let now = Instant::now();
        let mut kept = self.lock();
        let number = kept.next;
        kept.next += 1;
        let row = Row {
            name: name.to_owned(),
            state: String::new(),
            began: now,
            changed: now,
        };
        kept.tasks.insert(number, row);
        Task {
            number,
            tasks: self.clone(),
        }
    }

    /// The list now, the oldest first.
    #[must_use]
    pub fn list(&self) -> Vec<TaskInfo> {
        let now = Instant::now();
        let kept = self.lock();
        let rows = kept.tasks.values().map(|row| TaskInfo {
            name: row.name.clone(),
            state: row.state.clone(),
            age: now.saturating_duration_since(row.began),
            since: now.saturating_duration_since(row.changed),
        });
        rows.collect()
    }
}

/// One of a list of tasks, on it until it is dropped.
pub struct Task {
    number: u64,
    tasks: Tasks,
}

impl Task {
    /// It does this now.
    pub fn now(&self, state: &str) {
        if let Some(row) = self.tasks.lock().tasks.get_mut(&self.number) {
            state.clone_into(&mut row.state);
            row.changed = Instant::now();
        }
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.tasks.lock().tasks.remove(&self.number);
    }
}

impl fmt::Debug for Task {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.debug_tuple("Task").field(&self.number).finish()
    }
}
