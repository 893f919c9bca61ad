//! How a start may go.

use super::{Who, machine, seen};

#[test]
fn a_slow_start_needs_more_time_and_asks_for_it() {
    let slow = "TimeoutStartSec=2\nEnvironment=PEER_READY_DELAY=4";
    let Some(alone) = machine(Who::Peer, slow) else {
        return;
    };
    let said = seen(
        &alone,
        "systemctl start peer.socket; systemctl start peer 2>/dev/null && exit 1; show peer Result; systemctl is-failed peer",
    );
    assert_eq!(said, "timeout\nfailed\n");
    let asking = format!("{slow} PEER_EXTEND=1");
    let Some(asking) = machine(Who::Peer, &asking) else {
        return;
    };
    let said = seen(
        &asking,
        "systemctl start peer.socket peer; show peer Result; show peer ActiveState; ask 7001 ping",
    );
    assert_eq!(said, "success\nactive\npong\n");
}

#[test]
fn a_stop_during_a_start_is_a_stop() {
    let slow = "Environment=PEER_READY_DELAY=600";
    let Some(machine) = machine(Who::Peer, slow) else {
        return;
    };
    let said = seen(
        &machine,
        "systemctl start --no-block peer; soon is peer SubState start; systemctl stop peer; show peer ActiveState",
    );
    assert_eq!(said, "inactive\n");
}

#[test]
fn it_becomes_the_user_with_its_sockets() {
    let Some(machine) = machine(Who::Peer, "Environment=PEER_USER=nobody") else {
        return;
    };
    let said = seen(
        &machine,
        "systemctl start peer.socket peer; ask 7001 ids | sed s/groups=65534/groups=/; ask 7001 fds; show peer StatusText
        systemctl stop peer; show peer Result",
    );
    // Its own group may stand among the others too, which gives it nothing.
    let ids = "65534,65534,65534,65534";
    assert_eq!(
        said,
        format!(
            "uid={ids} gid={ids} groups= capeff=0 no-way-back\nweb:tcp4:1\nserving 1\nsuccess\n"
        )
    );
}

#[test]
fn it_leaves_the_shell_when_it_is_ready() {
    let settings = "Type=forking\nPIDFile=/run/peer.pid\nEnvironment=PEER_DAEMONIZE=1 PEER_PIDFILE=/run/peer.pid \
                    PEER_READY_DELAY=1";
    let Some(machine) = machine(Who::Peer, settings) else {
        return;
    };
    let said = seen(
        &machine,
        "systemctl start peer.socket peer; show peer ActiveState; is peer MainPID $(cat /run/peer.pid)
        [ $(ask 7001 pid) = $(cat /run/peer.pid) ]; ask 7001 fds; members peer
        systemctl stop peer; show peer Result; test ! -e /run/peer.pid",
    );
    assert_eq!(said, "active\nweb:tcp4:1\n1\nsuccess\n");
}

#[test]
fn one_connection_is_served_to_its_end() {
    let Some(machine) = machine(Who::Peer, "") else {
        return;
    };
    let service = machine.read("box/units/peer.service");
    machine.unit("one@.service", &service);
    machine.unit(
        "one.socket",
        "[Socket]\nListenStream=127.0.0.1:7005\nAccept=yes\n",
    );
    let said = seen(
        &machine,
        "systemctl start one.socket
        exec 5<>/dev/tcp/127.0.0.1/7005; for what in ping fds cloexec; do echo $what >&5; read -r line <&5; echo $line; done
        unit=$(systemctl list-units --plain --no-legend 'one@*' | cut -d ' ' -f 1); show $unit StatusText
        exec 5>&-; gone() { [ -z \"$(systemctl list-units --plain --no-legend 'one@*')\" ]; }
        soon gone; show one.socket NAccepted; show one.socket NConnections",
    );
    assert_eq!(said, "pong\nconnection:tcp4:0\n1\nserving 1\n1\n0\n");
}
