//! What this process has open.

use std::io;
use std::os::fd::AsFd;

/// One open file.
#[derive(Clone, Debug)]
pub(crate) struct Descriptor {
    pub number: u32,
    pub kind: &'static str,
    /// What `/proc/self/fd` calls it, or why it does not.
    pub target: String,
}

/// Every open descriptor, in order; the one this listing needs is left out. Source: `proc_pid_fd(5)`.
pub(crate) fn open() -> io::Result<Vec<Descriptor>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc/self/fd")? {
        let entry = entry?;
        let Some(number) = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok())
        else {
            continue;
        };
        match std::fs::read_link(entry.path()) {
            Ok(target) => {
                let target = target.to_string_lossy().into_owned();
                let kind = kind(&target);
                found.push(Descriptor {
                    number,
                    kind,
                    target,
                });
            }
            // Closed since, by another thread.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => found.push(Descriptor {
                number,
                kind: "unknown",
                target: error.to_string(),
            }),
        }
    }
    let own = format!("/proc/{}/fd", std::process::id());
    found.retain(|one| one.target != own);
    found.sort_by_key(|one| one.number);
    Ok(found)
}

/// Its number, as it is listed.
pub(crate) fn number(fd: impl AsFd) -> u32 {
    eudaemon_sys::passing::number(fd).unsigned_abs()
}

fn kind(target: &str) -> &'static str {
    const STARTS: [(&str, &str); 8] = [
        ("socket:", "socket"),
        ("pipe:", "pipe"),
        ("anon_inode:[eventpoll]", "epoll"),
        ("anon_inode:[signalfd]", "signalfd"),
        ("anon_inode:", "kernel"),
        ("/memfd:", "memfd"),
        ("/dev/", "device"),
        ("/", "file"),
    ];
    let hit = STARTS.iter().find(|(start, _)| target.starts_with(start));
    hit.map_or("other", |(_, kind)| kind)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsRawFd;

    #[test]
    fn what_is_open_is_listed() {
        let pair = std::os::unix::net::UnixStream::pair().unwrap();
        let found = open().unwrap();
        let number = u32::try_from(pair.0.as_raw_fd()).unwrap();
        let one = found.iter().find(|one| one.number == number).unwrap();
        assert_eq!(one.kind, "socket");
    }
}
