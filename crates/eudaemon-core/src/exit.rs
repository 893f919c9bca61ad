//! What a program says by its exit code.

/// The exit codes of the family. Source: specification §0.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Done.
    Done = 0,
    /// A human verb was understood and the answer is no: a service failed, or is not there.
    Failed = 1,
    /// A human verb waited as long as it was allowed to.
    TimedOut = 99,
    /// You must change something; retrying is useless. Also "no" for `svok` and `svup`.
    Permanent = 100,
    /// The system refused; retrying may help. A chain loader's failed exec too.
    Temporary = 111,
}

impl Exit {
    /// The number.
    #[must_use]
    pub const fn code(self) -> u8 {
        self as u8
    }
}
