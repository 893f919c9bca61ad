//! How it ends, and what it says on its way.

use super::{Who, machine, seen};

#[test]
fn an_exit_code_is_seen() {
    let Some(machine) = machine(Who::Peer, "") else {
        return;
    };
    let said = seen(
        &machine,
        "systemctl start peer.socket
        for code in 0 7 78; do
          systemctl start peer; ask 7001 \"exit $code\" >/dev/null || :
          soon is peer MainPID 0; show peer ExecMainStatus; show peer Result; systemctl reset-failed peer 2>/dev/null || :
        done
        systemctl start peer; ask 7001 stop >/dev/null || :; soon is peer ActiveState inactive; show peer ExecMainStatus",
    );
    assert_eq!(said, "0\nsuccess\n7\nexit-code\n78\nexit-code\n0\n");
}

#[test]
fn a_level_before_a_line_is_understood_by_the_journal() {
    let Some(machine) = machine(Who::Peer, "") else {
        return;
    };
    let said = seen(
        &machine,
        "systemctl start peer.socket peer; ask 7001 'log 3 an error'; ask 7001 'log 6 a note'
        journalctl --sync; journalctl -u peer -o cat -p err; journalctl -u peer -o cat -p info _COMM=peer",
    );
    assert_eq!(said, "ok\nok\nan error\nan error\na note\n");
}
