//! The virtual kernel and the keeper: who lives, and what the slots say of it.
//!
//! A child stays in its place until its end has been *told* to a supervisor whose words were saved. So a place is empty,
//! or holds the one child that a supervisor must know.

use eudaemon_core::supervise::{Role, Script};
use eudaemon_core::words::{Ended, Pid, Signal};

/// One child, from its clone until its end was told.
#[derive(Clone, Copy, Debug)]
pub struct Child {
    /// Its pid.
    pub pid: Pid,
    /// What it is a child of.
    pub script: Script,
    /// It could not exec; it does nothing but exit 111.
    pub exec_failed: bool,
    /// It does not die of a polite signal.
    pub ignores: bool,
    /// It never ends by itself.
    pub hangs: bool,
    /// STOP, and no CONT since.
    pub stopped: bool,
    /// A deadly signal it has received.
    pub lethal: Option<Signal>,
    /// The supervisor itself sent it down, as opposed to an operator's signal.
    pub sent_down: bool,
    /// How it really ended.
    pub ended: Option<Ended>,
    /// It ended while neither keeper nor engine lived.
    pub unseen: bool,
}

impl Child {
    /// Whether it still runs.
    #[must_use]
    pub fn lives(&self) -> bool {
        self.ended.is_none()
    }
}

/// State of a slot in the shared table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cell {
    /// Nobody.
    Free,
    /// A launch was begun; there is a child if the slot has a pid.
    Intent,
    /// The keeper recorded this end.
    Exited(Ended),
}

/// One slot of the shared table.
#[derive(Clone, Copy, Debug)]
pub struct Slot {
    /// The launch's number.
    pub generation: u32,
    /// Written by the kernel at clone.
    pub pid: Option<Pid>,
    /// What is known.
    pub cell: Cell,
}

/// Processes and slots. The slots outlive any engine.
#[derive(Clone, Debug)]
pub struct Kernel {
    next_pid: u32,
    /// By role: the child whose end was not yet told.
    pub places: [Option<Child>; Role::ALL.len()],
    /// By role.
    pub slots: [Slot; Role::ALL.len()],
}

impl Default for Kernel {
    fn default() -> Kernel {
        Kernel {
            next_pid: 101,
            places: [None; Role::ALL.len()],
            slots: [Slot {
                generation: 0,
                pid: None,
                cell: Cell::Free,
            }; Role::ALL.len()],
        }
    }
}

impl Kernel {
    /// The slot is taken for a launch; there is no child yet.
    pub fn intend(&mut self, role: Role, generation: u32) {
        self.slots[role as usize] = Slot {
            generation,
            pid: None,
            cell: Cell::Intent,
        };
    }

    /// Makes a child; its pid appears in the slot in the same instant.
    pub fn clone_child(&mut self, script: Script) -> Pid {
        // Pids never come twice here. A world that reuses them would test the shell's pidfds, which are not modelled.
        let pid = Pid::new(self.next_pid).unwrap_or(Pid(core::num::NonZeroU32::MIN));
        self.next_pid += 1;
        let role = script.role() as usize;
        self.slots[role].pid = Some(pid);
        self.places[role] = Some(Child {
            pid,
            script,
            exec_failed: false,
            ignores: false,
            hangs: false,
            stopped: false,
            lethal: None,
            sent_down: false,
            ended: None,
            unseen: false,
        });
        pid
    }

    /// The child in `role` ends. `seen`: a keeper lives and records it.
    pub fn end(&mut self, role: Role, ended: Ended, seen: bool) {
        let slot = &mut self.slots[role as usize];
        let Some(child) = &mut self.places[role as usize] else {
            return;
        };
        if !child.lives() {
            return;
        }
        child.ended = Some(ended);
        child.unseen = !seen;
        if seen && slot.cell == Cell::Intent && slot.pid == Some(child.pid) {
            slot.cell = Cell::Exited(ended);
        }
    }

    /// Sends a signal. False if `pid` is not the child in this place, neither living nor untold.
    pub fn signal(&mut self, role: Role, pid: Pid, signal: Signal) -> bool {
        let Some(child) = &mut self.places[role as usize] else {
            return false;
        };
        if child.pid != pid {
            return false;
        }
        match signal {
            Signal::Kill => self.end(role, died_of(Signal::Kill), true),
            Signal::Stop => child.stopped = true,
            Signal::Cont => child.stopped = false,
            Signal::Term | Signal::Int | Signal::Quit | Signal::Abrt | Signal::Hup => {
                child.lethal = Some(signal);
            }
            // Services handle these, or their default is to be ignored.
            Signal::Usr1
            | Signal::Usr2
            | Signal::Pipe
            | Signal::Alrm
            | Signal::Chld
            | Signal::Tstp
            | Signal::Ttin
            | Signal::Ttou
            | Signal::Winch => {}
        }
        true
    }

    /// The living child in `role`.
    #[must_use]
    pub fn living(&self, role: Role) -> Option<&Child> {
        self.places[role as usize].as_ref().filter(|c| c.lives())
    }
}

/// The end by a signal, without a core.
#[must_use]
pub fn died_of(signal: Signal) -> Ended {
    Ended::Signal {
        number: signal.number_linux(),
        core: false,
    }
}
