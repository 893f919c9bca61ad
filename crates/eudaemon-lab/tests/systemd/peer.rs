//! The library's example `peer`, which does what it is asked line by line, as a unit of the real systemd: everything a service
//! and its manager say to each other. Where libsystemd can be asked the same (`control.py`), it is.

mod handover;
mod kinds;
mod life;
mod one;
mod overlap;
mod plain;
mod start;
mod words;

use eudaemon_lab::pid1::{self, Pid1};
use eudaemon_lab::{Outcome, example, need};

/// What the judges of the peer may say besides: `ask PORT REQUEST`, over a new connection.
const ASK: &str = r#"
ask() {
  local line fd
  exec {fd}<>"/dev/tcp/127.0.0.1/$1" || return
  printf '%s\n' "$2" >&"$fd"
  IFS= read -r -t 60 -u "$fd" line
  exec {fd}>&-
  printf '%s\n' "$line"
}
answers() { [ "$(ask "$1" "$2" 2>/dev/null)" = "$3" ]; }
# How many processes a unit has.
members() { wc -l <"/sys/fs/cgroup/system.slice/$1.service/cgroup.procs"; }
set -e
"#;

/// Who is a unit here.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Who {
    Peer,
    /// The same words on libsystemd.
    Control,
}

/// A machine with `peer.socket`, at port 7001 under the name `web`, and `peer.service` with these settings besides.
fn machine(who: Who, settings: &str) -> Option<Pid1> {
    if !pid1::need() {
        return None;
    }
    let machine = Pid1::new();
    let program = match who {
        Who::Peer => {
            // Copied, so that nothing of the target directory need be shown inside.
            machine.copy(&example("peer"), "peer");
            machine.path("peer").display().to_string()
        }
        Who::Control => {
            if !need(&["/usr/bin/python3", "/usr/lib/python3/dist-packages/systemd"]) {
                return None;
            }
            machine.write("control.py", include_str!("peer/control.py"));
            format!("/usr/bin/python3 {}", machine.path("control.py").display())
        }
    };
    let socket = "[Socket]\nListenStream=127.0.0.1:7001\nFileDescriptorName=web\n";
    machine.unit("peer.socket", socket);
    let service = format!(
        "[Service]\nType=notify\nExecStart={program}\nExecReload=/bin/kill -HUP $MAINPID\n{settings}\n"
    );
    machine.unit("peer.service", &service);
    Some(machine)
}

/// What these commands see; none of them may fail.
fn seen(machine: &Pid1, commands: &str) -> String {
    let seen: Outcome = machine.judge(&format!("{ASK}\n{commands}"));
    assert_eq!(seen.code, 0, "{seen:?}");
    seen.out
}
