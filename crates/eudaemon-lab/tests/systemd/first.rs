//! The first daemon of the library's guide, with the unit it writes itself, under the real systemd.

use eudaemon_lab::example;
use eudaemon_lab::pid1::{self, Pid1};

#[test]
fn the_unit_it_writes_starts_it_as_nobody_in_particular_and_goes_again() {
    if !pid1::need() {
        return;
    }
    let machine = Pid1::new();
    machine.copy(&example("first"), "first");
    let first = machine.path("first").display().to_string();
    let seen = machine.judge(&format!(
        "{first} --service.do install >/dev/null || exit
        systemctl is-enabled first
        systemctl start first; show first ActiveState
        cat </dev/tcp/127.0.0.1/8080
        pid=$(show first MainPID)
        [ $(ps -o uid= -p $pid) -gt 60000 ] && grep ^CapEff: /proc/$pid/status
        {first} --service.do status >/dev/null; echo $?
        {first} --service.do stop >/dev/null; show first ExecMainStatus
        {first} --service.do status >/dev/null; echo $?
        {first} --service.do remove >/dev/null; ls /etc/systemd/system/first.service 2>/dev/null || echo gone"
    ));
    assert_eq!(
        seen.out, "enabled\nactive\nhello\nCapEff:\t0000000000000000\n0\n0\n3\ngone\n",
        "{seen:?}"
    );
}
