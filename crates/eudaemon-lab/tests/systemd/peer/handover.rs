//! One process hands the service to another.

use super::{Who, machine, seen};

#[test]
fn a_child_becomes_the_main_process() {
    let Some(machine) = machine(Who::Peer, "WatchdogSec=2") else {
        return;
    };
    let said = seen(
        &machine,
        "systemctl start peer.socket peer; first=$(show peer MainPID)
        new=$(ask 7001 mainpid); echo \"${new% *}\"; soon is peer MainPID ${new#* }
        [ ${new#* } != $first ]; soon test ! -e /proc/$first; ask 7001 ping; show peer ActiveState
        at=$(show peer WatchdogTimestampMonotonic)
        fed() { [ \"$(show peer WatchdogTimestampMonotonic)\" -gt $((at + 3000000)) ]; }
        soon fed; show peer NRestarts
        systemctl stop peer; show peer Result; show peer ExecMainStatus",
    );
    assert_eq!(said, "ok\npong\nactive\n0\nsuccess\n0\n");
}

#[test]
fn a_successor_goes_on_and_open_connections_are_served() {
    let Some(machine) = machine(Who::Peer, "WatchdogSec=2") else {
        return;
    };
    let said = seen(
        &machine,
        "systemctl start peer.socket peer; first=$(show peer MainPID); ask 7001 generation
        exec 5<>/dev/tcp/127.0.0.1/7001; echo ping >&5; read -r line <&5; echo $line
        new=$(ask 7001 replace); echo \"${new% *}\"; is peer MainPID ${new#* }; [ ${new#* } != $first ]
        echo pid >&5; read -r line <&5; [ $line = $first ]; exec 5>&-
        soon test ! -e /proc/$first; [ $(ask 7001 pid) = ${new#* } ]; ask 7001 generation; ask 7001 fds; ask 7001 cloexec
        show peer ActiveState; show peer NRestarts
        at=$(show peer WatchdogTimestampMonotonic)
        fed() { [ \"$(show peer WatchdogTimestampMonotonic)\" -gt $((at + 3000000)) ]; }
        soon fed; again=$(ask 7001 replace); echo \"${again% *}\"; ask 7001 generation; soon test ! -e /proc/${new#* }
        ask 7001 'status second'; soon is peer StatusText second
        systemctl reload peer; ask 7001 ping; systemctl stop peer; show peer Result; show peer ExecMainStatus",
    );
    assert_eq!(
        said,
        "0\npong\nok\n1\nweb:tcp4:1\n1\nactive\n0\nok\n2\nsent\npong\nsuccess\n0\n"
    );
}

#[test]
fn a_broken_successor_changes_nothing() {
    let Some(machine) = machine(Who::Peer, "") else {
        return;
    };
    let said = seen(
        &machine,
        "systemctl start peer.socket peer; first=$(show peer MainPID)
        ask 7001 'replace broken'; [ $(ask 7001 pid) = $first ]; is peer MainPID $first; ask 7001 generation
        members peer; ask 7001 'status still here'; soon is peer StatusText 'still here'
        new=$(ask 7001 replace); echo \"${new% *}\"; soon is peer MainPID ${new#* }",
    );
    assert_eq!(said, "failed\n0\n1\nsent\nok\n");
}

#[test]
fn the_same_process_executes_the_program_again() {
    let Some(machine) = machine(Who::Peer, "WatchdogSec=2") else {
        return;
    };
    let said = seen(
        &machine,
        "systemctl start peer.socket peer; first=$(show peer MainPID)
        ask 7001 reexec; soon answers 7001 generation 1; [ $(ask 7001 pid) = $first ]; ask 7001 fds; ask 7001 cloexec
        ask 7001 watchdog; ask 7001 reexec; soon answers 7001 generation 2; ask 7001 child-fds
        show peer NRestarts; is peer MainPID $first; systemctl stop peer; show peer Result",
    );
    assert_eq!(said, "ok\nweb:tcp4:1\n1\n2000000\nok\n0\n0\nsuccess\n");
}

#[test]
fn a_program_that_is_gone_is_not_executed_and_nothing_is_lost() {
    let Some(machine) = machine(
        Who::Peer,
        "Sockets=peer.socket more.socket\nFileDescriptorStoreMax=4",
    ) else {
        return;
    };
    let more =
        "[Socket]\nService=peer.service\nFileDescriptorName=more\nListenStream=127.0.0.1:7002\n";
    machine.unit("more.socket", more);
    let said = seen(
        &machine,
        "systemctl start peer.socket more.socket; systemctl start peer; ask 7001 'store kept text'; ask 7001 barrier
        systemctl restart peer; first=$(show peer MainPID); mv peer away
        before=$(ls -l /proc/$first/fd | grep -c socket:) handed=$(ask 7001 fds)
        ask 7001 reexec; ask 7001 replace; ask 7002 ping; ask 7001 'stored kept'; ask 7001 cloexec; ask 7001 child-fds
        [ \"$(ask 7001 fds)\" = \"$handed\" ]; soon is peer MainPID $first
        [ $(ls -l /proc/$first/fd | grep -c socket:) = $before ]
        mv away peer; new=$(ask 7001 replace); echo ${new% *}; ask 7002 generation",
    );
    assert_eq!(said, "sent\nok\nok\nfailed\npong\ntext\n1 1 1\n0\nok\n1\n");
}
