//! The example `keeper`: what systemd's store of descriptors is worth when a service is restarted, killed and stopped.

use eudaemon_lab::example;
use eudaemon_lab::pid1::{self, Pid1};

/// What a judge may say besides: `ask` is told a number and a process id, `ask_local` at the path; `crowd N` has N clients ask
/// without a pause until `hush`, which answers with how many were served and what went wrong; `stores N` is how many
/// descriptors systemd has.
const ASK: &str = r#"
ask() {
  local fd line
  exec {fd}<>/dev/tcp/127.0.0.1/${1:-7020} || return
  IFS= read -r -t 20 line <&"$fd"; local read=$?
  exec {fd}>&-
  echo "$line"; return $read
}
ask_local() {
  /usr/bin/perl -MIO::Socket::UNIX -e '$s = IO::Socket::UNIX->new("/run/keeper.sock") or exit 1; alarm 20; print <$s>'
}
crowd() {
  rm -f hush; mkdir -p crowd; rm -f crowd/*
  for client in $(seq "$1"); do
    ( until [ -e hush ]; do ask 2>>crowd/wrong.$client >>crowd/told.$client || echo refused >>crowd/wrong.$client; done ) &
  done
}
hush() { touch hush; wait; cat crowd/told.* | wc -l; cat crowd/wrong.* 2>/dev/null; }
stores() { is keeper NFileDescriptorStore "$1"; }
set -e
"#;

/// A machine with `keeper.service`, with these words and settings besides.
fn unit(words: &str, settings: &str) -> Option<Pid1> {
    if !pid1::need() {
        return None;
    }
    let machine = Pid1::new();
    machine.copy(&example("keeper"), "keeper");
    machine.unit("keeper.service", &text(&machine, words, settings));
    Some(machine)
}

fn text(machine: &Pid1, words: &str, settings: &str) -> String {
    format!(
        "[Unit]\nStartLimitIntervalSec=0\n[Service]\nType=notify\nExecStart={} {words}\nFileDescriptorStoreMax=16\nKillMode=mixed\n{settings}\n",
        machine.path("keeper").display()
    )
}

fn seen(machine: &Pid1, commands: &str) -> String {
    let seen = machine.judge(&format!("{ASK}\n{commands}"));
    assert_eq!(seen.code, 0, "{seen:?}");
    seen.out
}

const LISTEN: &str = "--listen tcp:127.0.0.1:7020 --service.uid nobody";

#[test]
fn ten_restarts_refuse_nobody_and_forget_nothing() {
    let Some(machine) = unit(LISTEN, "") else {
        return;
    };
    let said = seen(
        &machine,
        "systemctl start keeper; crowd 8
        for time in 1 2 3 4 5 6 7 8 9 10; do
          before=$(show keeper MainPID); systemctl restart keeper; [ $(show keeper MainPID) != $before ]
        done
        soon is keeper ActiveState active; hush >hushed; read served <hushed; [ $(wc -l <hushed) = 1 ] || { cat hushed; exit 1; }
        # Each was told a number of its own, and none is missing.
        cat crowd/told.* | cut -d' ' -f1 | sort -n >numbers; seq $served >wanted; cmp numbers wanted
        cat crowd/told.* | cut -d' ' -f2 | sort -u | wc -l
        show keeper NRestarts; show keeper Result; [ $served -gt 100 ]",
    );
    let processes: u32 = said
        .lines()
        .next()
        .unwrap_or_default()
        .parse()
        .expect("a number");
    // A process that was replaced at once may have served nobody.
    assert!((2..=11).contains(&processes), "{said}");
    assert_eq!(said.lines().skip(1).collect::<Vec<_>>(), ["0", "success"]);
}

#[test]
fn who_waits_while_it_is_away_is_served_by_the_next() {
    let Some(machine) = unit(
        LISTEN,
        "ExecStartPre=/bin/bash -c 'until [ -e /run/go ]; do sleep 0.02; done'",
    ) else {
        return;
    };
    let said = seen(
        &machine,
        "touch /run/go; systemctl start keeper; ask | cut -d' ' -f1; rm /run/go
        systemctl restart --no-block keeper; soon is keeper SubState start-pre
        ask >told & asking=$!
        waits() { ss -Htln 'sport = :7020' | { read state queue rest; [ $queue -gt 0 ]; }; }
        soon waits; touch /run/go; wait $asking; soon is keeper ActiveState active
        [ $(cut -d' ' -f2 told) = $(show keeper MainPID) ]; cut -d' ' -f1 told",
    );
    assert_eq!(said, "1\n2\n");
}

#[test]
fn a_stop_refuses_at_once_and_forgets() {
    let Some(machine) = unit(LISTEN, "") else {
        return;
    };
    let said = seen(
        &machine,
        "systemctl start keeper; ask >/dev/null; ask | cut -d' ' -f1; show keeper NFileDescriptorStore
        systemctl stop keeper; ask 2>/dev/null && exit 1; show keeper NFileDescriptorStore
        systemctl start keeper; ask | cut -d' ' -f1",
    );
    // A socket, the list of sockets, the count.
    assert_eq!(said, "2\n3\n0\n1\n");
}

#[test]
fn a_killed_service_finds_everything() {
    let Some(machine) = unit(LISTEN, "Restart=always\nRestartSec=0") else {
        return;
    };
    let said = seen(
        &machine,
        "systemctl start keeper; ask | cut -d' ' -f1
        for time in 1 2 3; do
          systemctl kill --signal=KILL keeper; soon is keeper NRestarts $time; ask | cut -d' ' -f1
        done
        soon is keeper ActiveState active; stores 3",
    );
    assert_eq!(said, "1\n2\n3\n4\n");
}

#[test]
fn a_new_address_takes_the_place_of_the_old() {
    let Some(machine) = unit(LISTEN, "") else {
        return;
    };
    // Another port; then every address, which the socket that is kept would keep from being bound.
    for (name, address) in [("other", "127.0.0.1:7021"), ("every", "0.0.0.0:7021")] {
        let words = format!("--listen tcp:{address} --service.uid nobody");
        machine.write(name, text(&machine, &words, ""));
    }
    let said = seen(
        &machine,
        "systemctl start keeper; ask | cut -d' ' -f1
        for unit in other every; do
          cp $unit /etc/systemd/system/keeper.service; systemctl daemon-reload; systemctl restart keeper
          ask 7021 | cut -d' ' -f1; ask 7020 2>/dev/null && exit 1; soon stores 3
        done",
    );
    assert_eq!(said, "1\n2\n3\n");
}

#[test]
fn a_path_and_its_lock_stay_and_others_are_kept_out() {
    let Some(machine) = unit(&format!("{LISTEN} --path /run/keeper.sock"), "") else {
        return;
    };
    let program = machine.path("keeper");
    let commands = format!(
        "other() {{ {} --listen tcp:127.0.0.1:0 --path /run/keeper.sock 2>/dev/null; }}
        systemctl start keeper; ask_local | cut -d' ' -f1; show keeper NFileDescriptorStore
        file=$(stat -c %i /run/keeper.sock); other && exit 1 || echo $?
        systemctl restart keeper; [ $(stat -c %i /run/keeper.sock) = $file ]; ask_local | cut -d' ' -f1
        other && exit 1 || echo $?
        systemctl stop keeper; ask_local 2>/dev/null && exit 1
        systemctl start keeper; ask_local | cut -d' ' -f1",
        program.display()
    );
    // Two sockets, the lock of one, the list, the count.
    assert_eq!(seen(&machine, &commands), "1\n5\n69\n2\n69\n1\n");
}

/// What another program has put there, and nobody asks for, is dropped when the service is ready; and what hangs up is dropped
/// by systemd itself.
#[test]
fn what_nobody_asks_for_is_dropped() {
    let strange = "ExecStartPre=/usr/bin/python3 strange.py";
    let Some(machine) = unit(LISTEN, strange) else {
        return;
    };
    let at = format!(
        "NotifyAccess=all\nWorkingDirectory={}",
        machine.path("").display()
    );
    machine.unit(
        "keeper.service",
        &text(&machine, LISTEN, &format!("{at}\n{strange}")),
    );
    machine.write("strange.py", STRANGE);
    let said = seen(
        &machine,
        "systemctl start --no-block keeper; soon stores 3; touch close; soon stores 2
        touch go; soon is keeper ActiveState active; soon stores 2; ask | cut -d' ' -f1; stores 3",
    );
    assert_eq!(said, "1\n");
}

/// Stores two files, and one end of a pair whose other end it closes later.
const STRANGE: &str = r#"
import array, os, socket, time
manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
manager.connect(os.environ["NOTIFY_SOCKET"].replace("@", "\0", 1))
def store(name, fd):
    fds = array.array("i", [fd])
    manager.sendmsg([b"FDSTORE=1\nFDNAME=" + name], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, fds)])
def wait(what):
    while not os.path.exists(what): time.sleep(0.02)
ours, theirs = socket.socketpair()
store(b"strange", os.open("/dev/null", os.O_RDONLY))
store(b"stranger", os.open("/dev/zero", os.O_RDONLY))
store(b"client", theirs.fileno())
theirs.close()
wait("close")
ours.close()
wait("go")
"#;

/// systemd has its own opinion of the unit that is written.
#[test]
fn it_installs_itself_and_is_kept() {
    if !pid1::need() {
        return;
    }
    let machine = Pid1::new();
    machine.copy(&example("keeper"), "keeper");
    let said = seen(
        &machine,
        &format!(
            "install -D {} /opt/keeper; /opt/keeper --service.do install >/dev/null
            systemd-analyze verify /etc/systemd/system/keeper.service
            /opt/keeper --service.do start >/dev/null; ask 8081 | cut -d' ' -f1
            crowded() {{ for time in 1 2 3; do ask 8081 | cut -d' ' -f1; done; }}
            crowded >told & asking=$!; systemctl restart keeper; wait $asking; cat told
            show keeper FileDescriptorStoreMax",
            machine.path("keeper").display()
        ),
    );
    assert_eq!(said, "1\n2\n3\n4\n128\n");
}
