//! The control: a service of the shell, with `systemd-notify`. What is asked of a daemon of ours elsewhere is asked here of
//! systemd's own tool, so that a judge that sees nothing is seen to see nothing.

use eudaemon_lab::Outcome;
use eudaemon_lab::pid1::{self, Pid1};

/// Says what it is told to by files in its directory.
const SERVICE: &str = r#"
trap 'systemd-notify STOPPING=1 --status=bye; until [ -e go ]; do sleep 0.05; done; exit 0' TERM
trap 'systemd-notify RELOADING=1 --status=again; until [ -e go ]; do sleep 0.05; done; systemd-notify --ready --status=anew' HUP
rm -f hang
until [ -e ready ]; do sleep 0.05; done
systemd-notify --ready --status="serving nobody"
until [ -e hang ]; do systemd-notify WATCHDOG=1; sleep 0.1; done
while :; do sleep 0.1; done
"#;

fn seen(settings: &str, commands: &str) -> Option<Outcome> {
    if !pid1::need() {
        return None;
    }
    let machine = Pid1::new();
    machine.write("service", SERVICE);
    let at = machine.path("");
    let unit = format!(
        "[Service]\nType=notify\nNotifyAccess=all\nKillMode=mixed\nWorkingDirectory={}\nExecStart=/bin/bash service\n\
         ExecReload=/bin/kill -HUP $MAINPID\n{settings}\n",
        at.display()
    );
    machine.unit("shell.service", &unit);
    let seen = machine.judge(commands);
    assert_eq!((seen.code, seen.err.as_str()), (0, ""), "{seen:?}");
    Some(seen)
}

#[test]
fn a_start_waits_for_ready_and_a_stop_is_clean() {
    let seen = seen(
        "",
        "set -e
        systemctl start --no-block shell
        soon is shell SubState start; show shell ActiveState
        touch ready; soon is shell ActiveState active; show shell StatusText
        systemctl stop --no-block shell; soon is shell StatusText bye; show shell SubState
        touch go; soon is shell ActiveState inactive; show shell Result; show shell ExecMainStatus",
    );
    let Some(seen) = seen else { return };
    assert_eq!(
        seen.out,
        "activating\nserving nobody\nstop-sigterm\nsuccess\n0\n"
    );
}

#[test]
fn a_reload_is_seen_to_begin_and_to_end() {
    let seen = seen(
        "",
        "set -e
        touch ready; systemctl start shell
        systemctl reload shell
        soon is shell ActiveState reloading; show shell StatusText
        touch go; soon is shell ActiveState active; show shell StatusText",
    );
    let Some(seen) = seen else { return };
    assert_eq!(seen.out, "again\nanew\n");
}

#[test]
fn a_hang_is_killed_by_the_watchdog_and_started_again() {
    let seen = seen(
        "WatchdogSec=1\nRestart=on-watchdog\nRestartSec=0",
        "set -e
        touch ready; systemctl start shell
        first=$(show shell MainPID) at=$(show shell WatchdogTimestampMonotonic)
        fed() { [ \"$(show shell WatchdogTimestampMonotonic)\" -gt $((at + 1500000)) ]; }
        soon fed; show shell NRestarts; [ \"$(show shell MainPID)\" = \"$first\" ]
        touch hang; soon is shell NRestarts 1
        journalctl --sync; journalctl -u shell -o cat | grep -o -m 1 'Watchdog timeout'
        soon is shell ActiveState active; [ \"$(show shell MainPID)\" != \"$first\" ]",
    );
    let Some(seen) = seen else { return };
    assert_eq!(seen.out, "0\nWatchdog timeout\n");
}

#[test]
fn an_end_before_ready_is_a_failure_of_the_protocol() {
    let seen = seen(
        "ExecStart=\nExecStart=/bin/true",
        "systemctl start shell 2>/dev/null && exit 1; show shell Result; show shell ActiveState; exit 0",
    );
    let Some(seen) = seen else { return };
    assert_eq!(seen.out, "protocol\nfailed\n");
}
