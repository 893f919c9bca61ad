//! While there are two generations, and after: what the manager still sees of the service, and what clients notice.

use super::{Who, machine, seen};

#[test]
fn who_connects_meanwhile_is_answered_by_the_new_one() {
    let Some(machine) = machine(Who::Peer, "Environment=PEER_READY_DELAY=2") else {
        return;
    };
    // Nobody accepts before the new one does, so what is asked meanwhile waits in the sockets' queues.
    let said = seen(
        &machine,
        "systemctl start peer.socket peer; first=$(show peer MainPID)
        ask 7001 replace >new & replacing=$!; two() { [ $(members peer) = 2 ]; }; soon two
        for i in 1 2 3 4 5; do ask 7001 pid >pid$i & asking[i]=$!; done
        [ ! -s new ]; wait $replacing ${asking[@]}; new=$(cat new); echo ${new% *}
        for i in 1 2 3 4 5; do [ $(cat pid$i) = ${new#* } ]; done; is peer MainPID ${new#* }; [ ${new#* } != $first ]",
    );
    assert_eq!(said, "ok\n");
}

#[test]
fn the_old_one_does_not_wait_for_ever() {
    let Some(machine) = machine(Who::Peer, "") else {
        return;
    };
    let said = seen(
        &machine,
        "systemctl start peer.socket peer; first=$(show peer MainPID); exec 5<>/dev/tcp/127.0.0.1/7001
        echo ping >&5; read -r line <&5; new=$(ask 7001 replace); echo ${new% *}; at=$SECONDS
        echo pid >&5; read -r line <&5; [ $line = $first ]
        soon test ! -e /proc/$first; [ $((SECONDS - at)) -ge 3 ]; read -r line <&5 || echo ended
        members peer; [ $(ask 7001 pid) = ${new#* } ]; show peer ActiveState; show peer Result",
    );
    assert_eq!(said, "ok\nended\n1\nactive\nsuccess\n");
}

#[test]
fn a_stop_meanwhile_is_for_both() {
    // Less than the old one would wait.
    let Some(machine) = machine(Who::Peer, "TimeoutStopSec=3") else {
        return;
    };
    let said = seen(
        &machine,
        "systemctl start peer.socket peer; first=$(show peer MainPID); exec 5<>/dev/tcp/127.0.0.1/7001
        echo ping >&5; read -r line <&5; new=$(ask 7001 replace); members peer
        systemctl stop peer; show peer Result; show peer ExecMainStatus; test ! -e /proc/$first; test ! -e /proc/${new#* }
        journalctl --sync; journalctl -u peer -o cat | grep -ci -e kill -e timed || :",
    );
    assert_eq!(said, "2\nsuccess\n0\n0\n");
}

#[test]
fn the_old_one_says_nothing_even_where_everybody_is_heard() {
    let Some(machine) = machine(Who::Peer, "NotifyAccess=all") else {
        return;
    };
    let said = seen(
        &machine,
        "systemctl start peer.socket peer
        for generation in 1 2; do
          first=$(show peer MainPID); new=$(ask 7001 replace); soon test ! -e /proc/$first
          # A barrier of the new one: what the old one has said before is read by then.
          ask 7001 barrier; show peer SubState; [ $(show peer MainPID) = ${new#* } ]; show peer StatusText
        done
        first=$(show peer MainPID); new=$(ask 7001 replace); kill $first 2>/dev/null || :; soon test ! -e /proc/$first
        ask 7001 barrier; show peer SubState; systemctl reload peer; show peer SubState",
    );
    let each = "ok\nrunning\nserving 1\n";
    assert_eq!(said, format!("{each}{each}ok\nrunning\nrunning\n"));
}

/// The new main process is a child of one that is gone. Whoever adopts it must be the manager.
#[test]
fn the_end_of_the_new_one_is_seen() {
    let Some(machine) = machine(
        Who::Peer,
        "Restart=on-failure\nRestartSec=0\nWatchdogSec=2\nFileDescriptorStoreMax=4",
    ) else {
        return;
    };
    let said = seen(
        &machine,
        "systemctl start peer.socket peer; ask 7001 'store kept text'; ask 7001 barrier
        another() { first=$(show peer MainPID); new=$(ask 7001 replace); new=${new#* }; soon test ! -e /proc/$first; }
        another; kill -9 $new; soon is peer NRestarts 1; soon answers 7001 ping pong; ask 7001 generation
        another; ask 7001 'stored kept'; ask 7001 'exit 7' >/dev/null || :; soon is peer NRestarts 2
        soon answers 7001 'stored kept' text
        another; ask 7001 watchdog; ask 7001 hang; soon is peer NRestarts 3; soon answers 7001 ping pong
        journalctl --sync; journalctl -u peer -o cat | grep -o -e 'status=9/KILL' -e 'status=7/NOTRUNNING' -e \"result 'watchdog'\"",
    );
    assert_eq!(
        said,
        "sent\nok\n0\n(none)\n2000000\nok\nstatus=9/KILL\nstatus=7/NOTRUNNING\nresult 'watchdog'\n"
    );
}
