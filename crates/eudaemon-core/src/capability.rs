//! Linux's capabilities by name: what root can do, in pieces.

use core::fmt;

macro_rules! capabilities {
    ($($variant:ident $name:literal $number:literal,)*) => {
        /// One capability. Source: `capabilities(7)`; the numbers are `linux/capability.h`'s.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        #[repr(u8)]
        pub enum Capability {
            $(
                #[doc = concat!("`CAP_", $name, "`.")]
                $variant = $number,
            )*
        }

        /// Every capability we can name, by number.
        pub const CAPABILITIES: &[Capability] = &[$(Capability::$variant,)*];

        impl Capability {
            /// The kernel's name, as `CAP_NET_BIND_SERVICE`.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Capability::$variant => concat!("CAP_", $name),)* }
            }
        }
    };
}

capabilities! {
    Chown "CHOWN" 0,
    DacOverride "DAC_OVERRIDE" 1,
    DacReadSearch "DAC_READ_SEARCH" 2,
    Fowner "FOWNER" 3,
    Fsetid "FSETID" 4,
    Kill "KILL" 5,
    Setgid "SETGID" 6,
    Setuid "SETUID" 7,
    Setpcap "SETPCAP" 8,
    LinuxImmutable "LINUX_IMMUTABLE" 9,
    NetBindService "NET_BIND_SERVICE" 10,
    NetBroadcast "NET_BROADCAST" 11,
    NetAdmin "NET_ADMIN" 12,
    NetRaw "NET_RAW" 13,
    IpcLock "IPC_LOCK" 14,
    IpcOwner "IPC_OWNER" 15,
    SysModule "SYS_MODULE" 16,
    SysRawio "SYS_RAWIO" 17,
    SysChroot "SYS_CHROOT" 18,
    SysPtrace "SYS_PTRACE" 19,
    SysPacct "SYS_PACCT" 20,
    SysAdmin "SYS_ADMIN" 21,
    SysBoot "SYS_BOOT" 22,
    SysNice "SYS_NICE" 23,
    SysResource "SYS_RESOURCE" 24,
    SysTime "SYS_TIME" 25,
    SysTtyConfig "SYS_TTY_CONFIG" 26,
    Mknod "MKNOD" 27,
    Lease "LEASE" 28,
    AuditWrite "AUDIT_WRITE" 29,
    AuditControl "AUDIT_CONTROL" 30,
    Setfcap "SETFCAP" 31,
    MacOverride "MAC_OVERRIDE" 32,
    MacAdmin "MAC_ADMIN" 33,
    Syslog "SYSLOG" 34,
    WakeAlarm "WAKE_ALARM" 35,
    BlockSuspend "BLOCK_SUSPEND" 36,
    AuditRead "AUDIT_READ" 37,
    Perfmon "PERFMON" 38,
    Bpf "BPF" 39,
    CheckpointRestore "CHECKPOINT_RESTORE" 40,
}

impl Capability {
    /// The kernel's number, which is the bit in a [`Set`].
    #[must_use]
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// Reads `CAP_NET_BIND_SERVICE`, `net_bind_service` or either in another case.
    #[must_use]
    pub fn parse(text: &str) -> Option<Capability> {
        let bare = match text.get(..4) {
            Some(prefix) if prefix.eq_ignore_ascii_case("cap_") => &text[4..],
            _ => text,
        };
        CAPABILITIES
            .iter()
            .copied()
            .find(|capability| capability.name()[4..].eq_ignore_ascii_case(bare))
    }
}

impl fmt::Display for Capability {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str(self.name())
    }
}

/// A set of capabilities, those included that we cannot name. As the kernel writes it: bit by number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Set(pub u64);

impl Set {
    /// None.
    pub const EMPTY: Set = Set(0);

    /// Whether it is in the set.
    #[must_use]
    pub const fn has(self, capability: Capability) -> bool {
        self.0 & (1 << capability.number()) != 0
    }

    /// The set and this one.
    #[must_use]
    pub const fn with(self, capability: Capability) -> Set {
        Set(self.0 | 1 << capability.number())
    }

    /// What is in either set.
    #[must_use]
    pub const fn and(self, other: Set) -> Set {
        Set(self.0 | other.0)
    }

    /// What is in both sets.
    #[must_use]
    pub const fn only(self, other: Set) -> Set {
        Set(self.0 & other.0)
    }

    /// What is in this set and not in the other.
    #[must_use]
    pub const fn without(self, other: Set) -> Set {
        Set(self.0 & !other.0)
    }

    /// The numbers of its capabilities, the lowest first.
    pub fn numbers(self) -> impl Iterator<Item = u8> {
        (0..64).filter(move |number| self.0 & 1 << number != 0)
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

/// `none`, the names, or, where these would fill the screen, the kernel's sixteen digits.
impl fmt::Display for Set {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        const MOST: u32 = 4;
        if self.is_empty() {
            return to.write_str("none");
        }
        if self.0.count_ones() > MOST {
            return write!(to, "{:016x}", self.0);
        }
        for (at, number) in self.numbers().enumerate() {
            let blank = if at == 0 { "" } else { " " };
            match CAPABILITIES.get(usize::from(number)) {
                Some(capability) => write!(to, "{blank}{capability}")?,
                None => write!(to, "{blank}{number}")?,
            }
        }
        Ok(())
    }
}

impl FromIterator<Capability> for Set {
    fn from_iter<I: IntoIterator<Item = Capability>>(from: I) -> Set {
        from.into_iter().fold(Set::EMPTY, Set::with)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_read_in_each_spelling() {
        for &capability in CAPABILITIES {
            let name = capability.name();
            assert_eq!(Capability::parse(name), Some(capability));
            assert_eq!(
                Capability::parse(&name[4..].to_ascii_lowercase()),
                Some(capability)
            );
        }
        for text in ["", "CAP_", "CAP_NET", "NET_BIND_SERVICE "] {
            assert_eq!(Capability::parse(text), None, "{text}");
        }
    }

    #[test]
    fn the_numbers_are_the_kernels() {
        for (at, capability) in CAPABILITIES.iter().enumerate() {
            assert_eq!(usize::from(capability.number()), at);
        }
        let set: Set = [Capability::Chown, Capability::NetBindService]
            .into_iter()
            .collect();
        assert_eq!(set, Set(0x401));
        assert!(set.has(Capability::NetBindService) && !set.has(Capability::Kill));
    }
}
