//! What became of each wish, for a program and for a person.

use eudaemon_core::limits::Resource;
use std::fmt;
use std::io;
use std::path::PathBuf;

/// Something the needs ask the kernel to hold.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Wish {
    /// No program it executes has more rights than it.
    NoNewPrivileges,
    /// Only named files are opened, made, renamed, removed and executed.
    Files,
    /// Only named files are cut short.
    Truncation,
    /// Only devices among the named files take commands (`ioctl(2)`).
    DeviceCommands,
    /// This path is let in.
    Path(PathBuf),
    /// Only named TCP ports are bound and connected to.
    TcpPorts,
    /// Only named UDP ports are bound and sent to.
    UdpPorts,
    /// Only itself and what it started gets its signals.
    Signals,
    /// Only itself and what it started is spoken to through abstract unix sockets.
    AbstractSockets,
    /// Only the system calls of the preset.
    SystemCalls,
    /// Only the kinds of sockets that are needed.
    SocketFamilies,
    /// No memory is written and then executed.
    WritableCode,
    /// No namespace is made or entered.
    Namespaces,
    /// Only named capabilities are held.
    Capabilities,
    /// This much and no more.
    Limit(Resource),
}

/// Which part of the kernel holds a wish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Mechanism {
    /// `landlock(7)`.
    Landlock,
    /// `seccomp(2)`.
    Seccomp,
    /// What a process says of itself: `prctl(2)`, `capset(2)`, `setrlimit(2)`.
    Process,
    /// None.
    Nothing,
}

/// What became of a wish.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Standing {
    /// It is held.
    Enforced,
    /// It is held, but for this.
    Partly(Lack),
    /// It is not held, because of this.
    Missing(Lack),
    /// It is not held, and no Linux could: `require` does not ask for it.
    Unguarded,
    /// The needs do not ask for it.
    NotAsked,
}

/// Why a wish is not held.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Lack {
    /// Landlock's interface is too old.
    Landlock {
        /// The version it needs.
        needed: u32,
        /// The version this kernel has.
        has: u32,
    },
    /// The process is in sixteen Landlock domains already, which is the most. Source: `landlock(7)`, "Ruleset layers".
    Layers,
    /// There is no preset, so there is no filter.
    NoPreset,
    /// The system call numbers of this machine are not known here.
    Machine,
    /// The system's own answer: its error number.
    System(i32),
}

/// One wish and what became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Row {
    /// The wish.
    pub wish: Wish,
    /// Who holds it.
    pub by: Mechanism,
    /// What became of it.
    pub standing: Standing,
}

/// Every wish with what this kernel made of it. `Display` is a table, a line for each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    rows: Vec<Row>,
}

impl Report {
    pub(super) fn new() -> Report {
        Report { rows: Vec::new() }
    }

    pub(super) fn say(&mut self, wish: Wish, by: Mechanism, standing: Standing) {
        self.rows.push(Row { wish, by, standing });
    }

    /// A wish came out otherwise than was said.
    pub(super) fn correct(&mut self, wish: &Wish, standing: Standing) {
        for row in self.rows.iter_mut().filter(|row| row.wish == *wish) {
            row.standing = standing.clone();
        }
    }

    /// What one mechanism was to hold, it does not.
    pub(super) fn lost(&mut self, by: Mechanism, lack: &Lack) {
        for row in self.rows.iter_mut().filter(|row| row.by == by) {
            if matches!(row.standing, Standing::Enforced | Standing::Partly(_)) {
                row.standing = Standing::Missing(lack.clone());
            }
        }
    }

    /// Every wish.
    #[must_use]
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// What became of this wish; `None` if it is not in the report.
    #[must_use]
    pub fn of(&self, wish: &Wish) -> Option<&Standing> {
        let row = self.rows.iter().find(|row| row.wish == *wish);
        row.map(|row| &row.standing)
    }

    /// The wishes that are not, or not wholly, held though another kernel would.
    pub fn lacking(&self) -> impl Iterator<Item = (&Row, &Lack)> {
        self.rows.iter().filter_map(|row| match &row.standing {
            Standing::Partly(lack) | Standing::Missing(lack) => Some((row, lack)),
            Standing::Enforced | Standing::Unguarded | Standing::NotAsked => None,
        })
    }

    /// Whether every wish is held that a kernel can hold.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.lacking().next().is_none()
    }

    /// `files: Landlock is …; TCP ports: …`, on one line.
    pub(super) fn write_lacks(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (row, lack)) in self.lacking().enumerate() {
            let between = if at == 0 { "" } else { "; " };
            write!(to, "{between}{}: {lack}", row.wish)?;
        }
        Ok(())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = |row: &Row| row.wish.to_string();
        let width = self.rows.iter().map(|row| words(row).len()).max();
        let width = width.unwrap_or(0);
        for row in &self.rows {
            let (wish, by) = (words(row), row.by);
            writeln!(to, "{wish:width$}  {by:8}  {}", row.standing)?;
        }
        Ok(())
    }
}

impl Wish {
    /// A word for it that stays, for machines.
    #[must_use]
    pub fn id(&self) -> &'static str {
        match self {
            Wish::NoNewPrivileges => "no-new-privileges",
            Wish::Files => "files",
            Wish::Truncation => "truncation",
            Wish::DeviceCommands => "device-commands",
            Wish::Path(_) => "path",
            Wish::TcpPorts => "tcp-ports",
            Wish::UdpPorts => "udp-ports",
            Wish::Signals => "signals",
            Wish::AbstractSockets => "abstract-sockets",
            Wish::SystemCalls => "system-calls",
            Wish::SocketFamilies => "socket-families",
            Wish::WritableCode => "writable-code",
            Wish::Namespaces => "namespaces",
            Wish::Capabilities => "capabilities",
            Wish::Limit(_) => "limit",
        }
    }
}

/// A limited thing in words.
fn resource(resource: Resource) -> &'static str {
    match resource {
        Resource::AddressSpace => "address space",
        Resource::Core => "core files",
        Resource::Data => "data",
        Resource::FileSize => "file size",
        Resource::LockedMemory => "locked memory",
        Resource::OpenFiles => "open files",
        Resource::Processes => "processes",
        Resource::Resident => "resident memory",
        Resource::Stack => "stack",
        Resource::CpuSeconds => "processor time",
    }
}

impl fmt::Display for Wish {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = match self {
            Wish::Path(path) => return write!(to, "path {}", path.display()),
            Wish::Limit(what) => return write!(to, "limit of {}", resource(*what)),
            Wish::NoNewPrivileges => "no new privileges",
            Wish::Files => "files",
            Wish::Truncation => "truncation of files",
            Wish::DeviceCommands => "commands to devices",
            Wish::TcpPorts => "TCP ports",
            Wish::UdpPorts => "UDP ports",
            Wish::Signals => "signals to others",
            Wish::AbstractSockets => "abstract unix sockets",
            Wish::SystemCalls => "system calls",
            Wish::SocketFamilies => "kinds of sockets",
            Wish::WritableCode => "writable code",
            Wish::Namespaces => "namespaces",
            Wish::Capabilities => "capabilities",
        };
        to.write_str(words)
    }
}

impl fmt::Display for Mechanism {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.pad(match self {
            Mechanism::Landlock => "Landlock",
            Mechanism::Seccomp => "seccomp",
            Mechanism::Process => "process",
            Mechanism::Nothing => "-",
        })
    }
}

impl fmt::Display for Standing {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Standing::Enforced => to.write_str("enforced"),
            Standing::Partly(lack) => write!(to, "partly: {lack}"),
            Standing::Missing(lack) => write!(to, "missing: {lack}"),
            Standing::Unguarded => to.write_str("no kernel can"),
            Standing::NotAsked => to.write_str("not asked for"),
        }
    }
}

impl fmt::Display for Lack {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Lack::Landlock { needed, has } => write!(
                to,
                "it needs version {needed} of Landlock's interface, this kernel has {has}"
            ),
            Lack::Layers => to.write_str("there are 16 Landlock domains around it already"),
            Lack::NoPreset => to.write_str("no preset of system calls, so no filter"),
            Lack::Machine => to.write_str("the system calls of this machine are not known"),
            Lack::System(number) => {
                write!(to, "{}", io::Error::from_raw_os_error(*number))
            }
        }
    }
}
