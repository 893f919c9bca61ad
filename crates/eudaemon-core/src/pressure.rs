//! How a program is told that memory, processor or disk are short.
//!
//! Source: systemd, `docs/PRESSURE.md`; Linux, `Documentation/accounting/psi.rst`, "Monitoring for pressure thresholds".

use alloc::string::String;
use alloc::vec::Vec;

/// What is short.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Memory: tasks wait for pages.
    Memory,
    /// The processor: tasks wait to run.
    Cpu,
    /// Disks: tasks wait for blocks.
    Io,
}

/// Every kind.
pub const KINDS: [Kind; 3] = [Kind::Memory, Kind::Cpu, Kind::Io];

/// What is written where nobody says what to write: tasks waited for 200 ms within 2 s. Source: systemd,
/// `src/libsystemd/sd-event/`: the default of `sd_event_add_memory_pressure(3)`; a window of 2 s needs no privilege.
pub const TRIGGER: &[u8] = b"some 200000 2000000\0";

impl Kind {
    /// The variable that names what to watch.
    #[must_use]
    pub const fn watch(self) -> &'static str {
        match self {
            Kind::Memory => "MEMORY_PRESSURE_WATCH",
            Kind::Cpu => "CPU_PRESSURE_WATCH",
            Kind::Io => "IO_PRESSURE_WATCH",
        }
    }

    /// The variable with what to write into it, in base64.
    #[must_use]
    pub const fn write(self) -> &'static str {
        match self {
            Kind::Memory => "MEMORY_PRESSURE_WRITE",
            Kind::Cpu => "CPU_PRESSURE_WRITE",
            Kind::Io => "IO_PRESSURE_WRITE",
        }
    }

    /// The file for the whole system.
    #[must_use]
    pub const fn system(self) -> &'static str {
        match self {
            Kind::Memory => "/proc/pressure/memory",
            Kind::Cpu => "/proc/pressure/cpu",
            Kind::Io => "/proc/pressure/io",
        }
    }

    /// The file for the processes of a control group, by the text of `/proc/self/cgroup`; `None` without a second
    /// version of control groups. Source: `cgroups(7)`: its line is `0::PATH`.
    #[must_use]
    pub fn group(self, cgroup: &str) -> Option<String> {
        let path = cgroup.lines().find_map(|line| line.strip_prefix("0::"))?;
        let name = match self {
            Kind::Memory => "memory",
            Kind::Cpu => "cpu",
            Kind::Io => "io",
        };
        let path = path.trim_end_matches('/');
        // The root has no such files.
        (!path.is_empty()).then(|| alloc::format!("/sys/fs/cgroup{path}/{name}.pressure"))
    }
}

/// Reads base64 of RFC 4648, 4, with its padding; blanks and line feeds are passed over. `None` if it is none.
#[must_use]
pub fn base64(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    let (mut bits, mut held, mut padding) = (0u32, 0u32, 0);
    for byte in text.bytes().filter(|byte| !byte.is_ascii_whitespace()) {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            b'=' => {
                padding += 1;
                continue;
            }
            _ => return None,
        };
        if padding > 0 {
            return None;
        }
        bits = bits << 6 | u32::from(value);
        held += 6;
        if held >= 8 {
            held -= 8;
            out.push((bits >> held & 0xff) as u8);
        }
    }
    // What is left over must be empty bits, filled up to four characters.
    let whole = match (held, padding) {
        (0, 0) | (4, 2) | (2, 1) => bits & ((1 << held) - 1) == 0,
        _ => false,
    };
    whole.then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_the_documents() {
        let table: &[(&str, &[u8])] = &[
            ("", b""),
            ("Zg==", b"f"),
            ("Zm8=", b"fo"),
            ("Zm9v", b"foo"),
            ("Zm9vYmFy\n", b"foobar"),
            ("+/8=", b"\xfb\xff"),
            ("c29tZSAyMDAwMDAgMjAwMDAwMAA=", TRIGGER),
        ];
        for (text, bytes) in table {
            assert_eq!(base64(text).as_deref(), Some(*bytes), "{text}");
        }
        for text in [
            "Z", "Zg", "Zg=", "Zh==", "Zg==Zg==", "=", "Zm9v=", "Z-==", "Zm9vY===",
        ] {
            assert_eq!(base64(text), None, "{text}");
        }
    }

    #[test]
    fn a_group_has_its_own_file() {
        let text = "12:pids:/a\n0::/system.slice/web.service\n";
        assert_eq!(
            Kind::Memory.group(text).as_deref(),
            Some("/sys/fs/cgroup/system.slice/web.service/memory.pressure")
        );
        assert_eq!(Kind::Cpu.group("0::/\n"), None);
        assert_eq!(Kind::Io.group("1:name=systemd:/\n"), None);
    }
}
