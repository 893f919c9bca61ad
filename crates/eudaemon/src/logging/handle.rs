//! How much is logged, moved while the service runs.

use super::Level;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

/// The least important level that is logged. Clones are the same handle.
///
/// Whoever asks for more or less turns this one: a signal (TTIN, TTOU), the control socket, a manager that starts a
/// service for debugging.
#[derive(Clone, Debug)]
pub struct LevelHandle(Arc<AtomicU8>);

impl LevelHandle {
    /// A handle that is at this level.
    #[must_use]
    pub fn new(level: Level) -> LevelHandle {
        LevelHandle(Arc::new(AtomicU8::new(level.number())))
    }

    /// Where it is.
    #[must_use]
    pub fn get(&self) -> Level {
        Level::from_number(self.0.load(Ordering::Relaxed)).unwrap_or_default()
    }

    /// Moves it; for every clone at once.
    pub fn set(&self, level: Level) {
        self.0.store(level.number(), Ordering::Relaxed);
    }

    /// One level more is logged; where it is then.
    pub fn more(&self) -> Level {
        self.step(Level::more)
    }

    /// One level less is logged; where it is then.
    pub fn less(&self) -> Level {
        self.step(Level::less)
    }

    fn step(&self, to: impl Fn(Level) -> Level) -> Level {
        let next = |number| to(Level::from_number(number).unwrap_or_default());
        let moved = self
            .0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |number| {
                Some(next(number).number())
            });
        moved.map_or_else(|_| self.get(), next)
    }
}
