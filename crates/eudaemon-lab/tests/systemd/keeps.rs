//! The example `counter` in the units that the guide shows: the sockets and the number outlive the process, in each of its ways.

use eudaemon_lab::example;
use eudaemon_lab::pid1::{self, Pid1};

const GUIDE: &str = include_str!("../../../eudaemon/guide/zero-downtime.md");

/// What the judges may say. `hit` asks over TCP or at the path, and leaves the number and the process in `n` and `by`.
const WORDS: &str = r#"
hit() {
  if [ "$1" = admin ]; then read -r n by < <(python3 -c 'import socket; s=socket.socket(socket.AF_UNIX); s.settimeout(60); s.connect("/run/counter.sock"); print(s.makefile().readline(), end="")')
  else exec 9<>/dev/tcp/127.0.0.1/$1; read -r n by <&9; exec 9>&-; fi
}
answered_by() { hit $1 && [ "$by" = "$2" ]; }
refused() { ! (exec 9<>/dev/tcp/127.0.0.1/$1) 2>/dev/null; }
# Somebody who connects again and again, until `enough`, and is not to be refused.
crowd() {
  touch crowd; : >refusals
  while [ -e crowd ]; do (exec 8<>/dev/tcp/127.0.0.1/8080 && read -r line <&8) 2>/dev/null || echo no >>refusals; done &
  crowd=$!
}
enough() { rm crowd; wait $crowd; wc -l <refusals; }
main() { show counter MainPID; }
# The program, as it is installed now, takes over.
replaced() { local old=$(main); systemctl kill -s USR2 --kill-who=main counter; soon is_another $old; soon test ! -e /proc/$old; }
is_another() { [ "$(main)" != $1 ] && [ "$(main)" != 0 ]; }
said() { journalctl --sync; journalctl -u counter -o cat | grep -q "$1"; }
set -e
echo tcp:127.0.0.1:8080 >/etc/counter.web
"#;

/// A machine with these of the guide's units.
fn machine(units: &[&str]) -> Option<Pid1> {
    if !pid1::need() {
        return None;
    }
    let machine = Pid1::new();
    machine.copy(&example("counter"), "counter");
    let program = machine.path("counter").display().to_string();
    let mut found = 0;
    for block in GUIDE.split("```ini\n").skip(1) {
        let text = block.split("```").next().expect("its end");
        let path = text
            .lines()
            .next()
            .and_then(|line| line.strip_prefix("# /etc/systemd/system/"));
        let name = path.expect("a unit begins with its path");
        if units.contains(&name) {
            machine.unit(name, &text.replace("/usr/local/bin/counter", &program));
            found += 1;
        }
    }
    assert_eq!(found, units.len(), "the guide shows them");
    Some(machine)
}

fn seen(machine: &Pid1, commands: &str) -> String {
    let seen = machine.judge(&format!("{WORDS}\n{commands}"));
    assert_eq!(seen.code, 0, "{seen:?}");
    seen.out
}

#[test]
fn its_own_sockets_outlive_each_change() {
    let Some(machine) = machine(&["counter.service"]) else {
        return;
    };
    let said = seen(
        &machine,
        "systemctl start counter; hit 8080; [ $by = $(main) ]; echo $n; hit admin; echo $n
        file=$(stat -c %i /run/counter.sock); crowd; first=$(main)
        systemctl reload counter; answered_by 8080 $first
        before=$n; systemctl restart counter; hit 8080; [ $n -gt $before ]; [ $by != $first ]; answered_by admin $(main)
        before=$n; systemctl restart counter; hit 8080; [ $n -gt $before ]
        before=$n; replaced; hit 8080; [ $n -gt $before ]; [ $by = $(main) ]; answered_by admin $(main)
        before=$n; replaced; hit 8080; [ $n -gt $before ]; show counter NRestarts
        # It is systemd's own child, and has its time at the end like any other: the number is kept.
        grep -qx 'PPid:.1' /proc/$(main)/status
        for i in 1 2 3; do hit 8080; done; before=$n; systemctl restart counter; hit 8080; [ $n -gt $before ]; [ $by = $(main) ]; answered_by admin $(main)
        journalctl --sync; journalctl -u counter -o cat | grep -c -e SIGKILL -e 'not our child' || :
        kill -9 $(main); soon is counter NRestarts 1; soon is counter ActiveState active; soon answered_by 8080 $(main); answered_by admin $(main)
        echo refused $(enough); [ $(stat -c %i /run/counter.sock) = $file ]; systemctl reload counter; show counter StatusText
        systemctl stop counter; refused 8080; [ $(stat -c %i /run/counter.sock) = $file ]; show counter NFileDescriptorStore; show counter Result",
    );
    assert_eq!(said, "1\n2\n0\n0\nrefused 0\n\n0\nsuccess\n");
}

#[test]
fn a_reload_moves_a_socket_and_an_error_moves_nothing() {
    let Some(machine) = machine(&["counter.service"]) else {
        return;
    };
    let said = seen(
        &machine,
        "systemctl start counter; file=$(stat -c %i /run/counter.sock); first=$(main)
        echo tcp:127.0.0.1:8081 >/etc/counter.web; systemctl reload counter; soon answered_by 8081 $first; soon refused 8080
        hit admin; echo $n; [ $(stat -c %i /run/counter.sock) = $file ]
        for wrong in nonsense tcp:192.0.2.1:1 unix:/run/x; do
          echo $wrong >/etc/counter.web; systemctl reload counter || :; soon show counter StatusText | cut -c 1-14
          answered_by 8081 $first; answered_by admin $first
        done
        # What is in the store is what is served now.
        echo tcp:127.0.0.1:8081 >/etc/counter.web; systemctl reload counter; systemctl restart counter; answered_by 8081 $(main); refused 8080",
    );
    assert_eq!(said, "2\nreload failed:\nreload failed:\nreload failed:\n");
}

#[test]
fn a_program_that_does_not_start_takes_nothing_over() {
    let Some(machine) = machine(&["counter.service"]) else {
        return;
    };
    let said = seen(
        &machine,
        "systemctl start counter; first=$(main); crowd; mv counter good
        printf '#!/bin/sh\\necho out of order >&2\\nexit 3\\n' >counter; chmod +x counter
        systemctl kill -s USR2 --kill-who=main counter; soon said 'not replaced'; soon said 'out of order'
        answered_by 8080 $first; [ $(main) = $first ]; rm counter
        systemctl kill -s USR2 --kill-who=main counter; twice() { said 'No such file'; }; soon twice
        answered_by 8080 $first; mv good counter; replaced; answered_by 8080 $(main); echo refused $(enough)
        cat /sys/fs/cgroup/system.slice/counter.service/cgroup.procs | wc -l; show counter NRestarts; show counter ActiveState",
    );
    // It and its spawner.
    assert_eq!(said, "refused 0\n2\n0\nactive\n");
}

#[test]
fn the_managers_sockets_are_the_managers() {
    let units = ["counter.service", "counter.socket", "counter-admin.socket"];
    let Some(machine) = machine(&units) else {
        return;
    };
    let service = machine.read("box/units/counter.service");
    let sockets = "[Service]\nSockets=counter.socket counter-admin.socket\n";
    machine.unit("counter.service", &service.replace("[Service]\n", sockets));
    let said = seen(
        &machine,
        "echo tcp:127.0.0.1:8089 >/etc/counter.web
        systemctl start counter.socket counter-admin.socket; show counter ActiveState; file=$(stat -c %i /run/counter.sock)
        hit 8080; echo $n; hit admin; echo $n; show counter ActiveState
        crowd; replaced; answered_by 8080 $(main); systemctl restart counter; answered_by admin $(main); systemctl reload counter
        systemctl stop counter 2>/dev/null; soon is counter ActiveState active; hit 8080; [ $by = $(main) ]; echo refused $(enough); refused 8089
        systemctl stop counter 2>/dev/null; [ $(stat -c %i /run/counter.sock) = $file ]; stat -c %a /run/counter.sock",
    );
    assert_eq!(said, "inactive\n1\n2\nactive\nrefused 0\n660\n");
}
