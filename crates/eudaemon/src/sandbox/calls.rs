//! seccomp: which system calls there are, and with which arguments.
//!
//! Several filters, because one of seccompiler's has one answer for what it matches. A call is refused if one of them refuses
//! it (`seccomp(2)`: the strictest answer counts), and no call is refused by two, so their order does not matter.

use super::report::{Lack, Mechanism, Report, Standing, Wish};
use crate::needs::Needs;
use eudaemon_core::capability::Capability;
use eudaemon_core::syscall::{self, Machine};
use eudaemon_sys::confine;
use seccompiler::{
    BackendError, BpfProgram, Error, SeccompAction as Action, SeccompCmpArgLen as Len,
    SeccompCmpOp as Is, SeccompCondition as Condition, SeccompFilter, SeccompRule as Rule,
    TargetArch,
};
use std::collections::BTreeMap;
use std::io;

/// Calls that end the process: no service has a use for them, and an intruder has. The rest is answered with `EPERM`.
const DEADLY: &[&str] = &[
    "delete_module",
    "finit_module",
    "init_module",
    "kexec_file_load",
    "kexec_load",
    "process_vm_writev",
    "ptrace",
    "reboot",
];

// Numbers of the kernel that the standard library does not have. All are the same on x86-64 and aarch64.
// Source: asm-generic/errno-base.h and errno.h.
const EPERM: u32 = 1;
const ENOSYS: u32 = 38;
const EOPNOTSUPP: u32 = 95;
const EAFNOSUPPORT: u32 = 97;
// linux/socket.h, linux/in.h, linux/net.h.
const AF_INET: u64 = 2;
const AF_INET6: u64 = 10;
const FAMILIES: &[(&str, u64)] = &[
    ("AF_INET", AF_INET),
    ("AF_INET6", AF_INET6),
    ("AF_NETLINK", 16),
    ("AF_PACKET", 17),
    ("AF_UNIX", 1),
];
const SOCK_STREAM: u64 = 1;
const SOCK_DGRAM: u64 = 2;
const SOCK_RAW: u64 = 3;
const SOCK_RDM: u64 = 4;
const SOCK_SEQPACKET: u64 = 5;
const SOCK_DCCP: u64 = 6;
const SOCK_PACKET: u64 = 10;
const SOCK_TYPE_MASK: u64 = 0xf;
const IPPROTO_TCP: u64 = 6;
const IPPROTO_UDP: u64 = 17;
const MSG_FASTOPEN: u64 = 0x2000_0000;
// asm-generic/mman-common.h, linux/shm.h.
const PROT_WRITE: u64 = 2;
const PROT_EXEC: u64 = 4;
const SHM_EXEC: u64 = 0o100_000;
/// linux/sched.h: CLONE_NEWTIME, NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET. The first means something else
/// to clone(2), where its bit is in the number of a signal that no signal has.
const NEW_NAMESPACES: [u64; 8] = [
    0x80,
    0x2_0000,
    0x200_0000,
    0x400_0000,
    0x800_0000,
    0x1000_0000,
    0x2000_0000,
    0x4000_0000,
];

/// Calls with the arguments that are meant: any of the rules, or all if there are none.
type Rules = BTreeMap<i64, Vec<Rule>>;

/// Programs for the kernel, not yet in force.
#[derive(Debug)]
pub(super) struct Filters(Vec<BpfProgram>);

impl Filters {
    /// Makes the programs and says of each wish what this kernel can do. `None`: there will be no filter.
    pub(super) fn prepare(needs: &Needs, report: &mut Report) -> Option<Filters> {
        let made = match (needs.preset(), Machine::of_this_build()) {
            (None, _) => Err(Standing::NotAsked),
            (Some(_), None) => Err(Standing::Missing(Lack::Machine)),
            (Some(_), Some(machine)) => match confine::seccomp_filters() {
                Err(error) => Err(Standing::Missing(system(&error))),
                Ok(()) => Ok(made(needs, machine).expect("our own rules are well formed")),
            },
        };
        let (filters, standing) = match made {
            Ok(filters) => (Some(filters), Standing::Enforced),
            Err(standing) => (None, standing),
        };
        for wish in [
            Wish::SystemCalls,
            Wish::SocketFamilies,
            Wish::WritableCode,
            Wish::Namespaces,
        ] {
            let asked = wish != Wish::WritableCode || !needs.has_writable_code();
            let standing = if asked {
                standing.clone()
            } else {
                Standing::NotAsked
            };
            report.say(wish, Mechanism::Seccomp, standing);
        }
        // Whether there is UDP at all a filter can say, and not which ports.
        if needs_udp(needs) {
            report.say(Wish::UdpPorts, Mechanism::Nothing, Standing::Unguarded);
        } else {
            report.say(Wish::UdpPorts, Mechanism::Seccomp, standing);
        }
        filters.map(Filters)
    }

    /// Puts them in force for every thread. What the kernel refuses goes into the report.
    pub(super) fn enforce(self, report: &mut Report) {
        for program in &self.0 {
            if let Err(error) = seccompiler::apply_filter_all_threads(program) {
                let lack = match &error {
                    Error::Seccomp(error) | Error::Prctl(error) => system(error),
                    // There is one thread, and these programs are not empty.
                    Error::ThreadSync(_) | Error::Backend(_) | Error::EmptyFilter => {
                        Lack::System(0)
                    }
                };
                report.lost(Mechanism::Seccomp, &lack);
                return;
            }
        }
    }
}

fn system(error: &io::Error) -> Lack {
    Lack::System(error.raw_os_error().unwrap_or_default())
}

/// Names are asked for at every port 53 by UDP, so what connects needs it.
fn needs_udp(needs: &Needs) -> bool {
    let connects = needs.connected_tcp().is_none_or(|ports| !ports.is_empty());
    connects || !needs.bound_udp().is_empty()
}

fn made(needs: &Needs, machine: Machine) -> Result<Vec<BpfProgram>, BackendError> {
    let arch = match machine {
        Machine::X86_64 => TargetArch::x86_64,
        Machine::Aarch64 => TargetArch::aarch64,
    };
    let all_but = |names: &dyn Fn(&str) -> bool| -> Rules {
        let calls = syscall::calls(machine).filter(|(name, _)| !names(name));
        calls
            .map(|(_, number)| (i64::from(number), Vec::new()))
            .collect()
    };
    // A library that tries a newer call falls back when there is no such call, and gives up when it is forbidden. clone3
    // hides its flags in memory, where no filter looks; without it glibc uses clone, and musl knows no other.
    let unknown = all_but(&|name| name == "clone3");
    let deadly = all_but(&|name| !DEADLY.contains(&name));
    let refused = refused(needs, machine)?;
    let absent = absent(needs, machine)?;
    let deny = |rules: Rules, action: Action| (rules, Action::Allow, action);
    let mut programs = Vec::new();
    let filters = [
        (unknown, Action::Errno(ENOSYS), Action::Allow),
        deny(deadly, Action::KillProcess),
        deny(absent.families, Action::Errno(EAFNOSUPPORT)),
        deny(absent.fast, Action::Errno(EOPNOTSUPP)),
        deny(refused, Action::Errno(EPERM)),
    ];
    for (rules, otherwise, matched) in filters {
        if !rules.is_empty() {
            programs.push(SeccompFilter::new(rules, otherwise, matched, arch)?.try_into()?);
        }
    }
    Ok(programs)
}

/// Known, and not for this service: `EPERM`.
fn refused(needs: &Needs, machine: Machine) -> Result<Rules, BackendError> {
    let preset = needs.preset();
    let lines = preset.map_or(&[][..], |preset| preset.system_call_filter());
    let ours = "the words of our own presets are known";
    let mut allowed = syscall::allowed(lines).expect(ours);
    allowed.retain(|call| {
        let gone = preset.map_or(&[][..], |preset| preset.refused_once_running());
        !gone.contains(call)
    });
    if needs.executable().is_empty() {
        // Landlock says where programs lie, and a memfd lies nowhere.
        allowed.retain(|call| !["execve", "execveat"].contains(call));
    }
    // Answered by another filter.
    let elsewhere = |name: &str| name == "clone3" || DEADLY.contains(&name);
    let mut rules: Rules = syscall::calls(machine)
        .filter(|(name, _)| !allowed.contains(name) && !elsewhere(name))
        .map(|(_, number)| (i64::from(number), Vec::new()))
        .collect();
    let mut when = |name: &str, some: Vec<Rule>| {
        if let Some(number) = syscall::number(name, machine) {
            // Refused as a whole stays so.
            rules.entry(number.into()).or_insert(some);
        }
    };
    if !needs.has_writable_code() {
        // pkey_mprotect too could do it; it is in no preset.
        let both = PROT_WRITE | PROT_EXEC;
        when("mmap", vec![Rule::new(vec![has(2, both)?])?]);
        when("mprotect", vec![Rule::new(vec![has(2, PROT_EXEC)?])?]);
        when("shmat", vec![Rule::new(vec![has(2, SHM_EXEC)?])?]);
    }
    let namespaces = |from: usize| -> Result<Vec<Rule>, BackendError> {
        let flags = NEW_NAMESPACES[from..].iter();
        flags.map(|&flag| Rule::new(vec![has(0, flag)?])).collect()
    };
    when("clone", namespaces(1)?);
    when("unshare", namespaces(0)?);
    when("setns", Vec::new());
    // MPTCP and SCTP reach a port that Landlock guards for TCP, and raw sockets reach all.
    let mut odd = vec![SOCK_RDM, SOCK_SEQPACKET, SOCK_DCCP, SOCK_PACKET];
    if !needs.capabilities().contains(&Capability::NetRaw) {
        odd.push(SOCK_RAW);
    }
    if !needs_udp(needs) {
        odd.push(SOCK_DGRAM);
    }
    let mut protocols = Vec::new();
    if needs.address_families().contains(&"AF_INET") {
        for family in [AF_INET, AF_INET6] {
            let kind = |kind: u64| -> Result<Vec<Condition>, BackendError> {
                let of_kind = word(1, Is::MaskedEq(SOCK_TYPE_MASK), kind)?;
                Ok(vec![word(0, Is::Eq, family)?, of_kind])
            };
            for &odd in &odd {
                protocols.push(Rule::new(kind(odd)?)?);
            }
            for (usual, protocol) in [(SOCK_STREAM, IPPROTO_TCP), (SOCK_DGRAM, IPPROTO_UDP)] {
                let mut conditions = kind(usual)?;
                conditions.push(word(2, Is::Ne, 0)?);
                conditions.push(word(2, Is::Ne, protocol)?);
                protocols.push(Rule::new(conditions)?);
            }
        }
    }
    if !protocols.is_empty() {
        when("socket", protocols);
    }
    Ok(rules)
}

/// What is answered as if the kernel had been built without it.
struct Absent {
    /// Kinds of sockets: `EAFNOSUPPORT`.
    families: Rules,
    /// Connecting and sending in one call: `EOPNOTSUPP`, upon which a program connects first. Landlock's rule for ports does
    /// not see it (observed: Linux 6.18). Source: `sendto(2)`, MSG_FASTOPEN.
    fast: Rules,
}

fn absent(needs: &Needs, machine: Machine) -> Result<Absent, BackendError> {
    let mut other = Vec::new();
    for family in needs.address_families() {
        let number = FAMILIES.iter().find(|row| row.0 == family);
        other.push(word(0, Is::Ne, number.expect("ours have numbers").1)?);
    }
    let number = |name: &str| syscall::number(name, machine).map(i64::from);
    let mut fast = Rules::new();
    if needs.has_network() && needs.connected_tcp().is_some() {
        for (name, flags) in [("sendto", 3), ("sendmsg", 2), ("sendmmsg", 3)] {
            let rule = Rule::new(vec![has(flags, MSG_FASTOPEN)?])?;
            fast.extend(number(name).map(|number| (number, vec![rule])));
        }
    }
    // Without a single condition: whatever its arguments.
    let rules = if other.is_empty() {
        Vec::new()
    } else {
        vec![Rule::new(other)?]
    };
    let gone = needs
        .preset()
        .map_or(&[][..], |preset| preset.refused_once_running());
    let mut families = Rules::new();
    if !gone.contains(&"socket") {
        families.extend(number("socket").map(|number| (number, rules)));
    }
    Ok(Absent { families, fast })
}

/// The argument has all of these bits. Of an argument of 32 bits the kernel ignores the upper half, and so does this.
fn has(argument: u8, bits: u64) -> Result<Condition, BackendError> {
    word(argument, Is::MaskedEq(bits), bits)
}

fn word(argument: u8, is: Is, value: u64) -> Result<Condition, BackendError> {
    Condition::new(argument, Len::Dword, is, value)
}
