//! One connection for each process: `Accept=yes` of a unit, and `systemd-socket-activate`, which also hands over whole sockets.

use super::{Who, machine, seen};
use eudaemon_lab::pid1::Pid1;

/// What the judges may say here besides.
const WORDS: &str = "
say() { python3 speak.py \"$@\"; }
gone() { [ -z \"$(systemctl list-units --plain --no-legend 'one*@*')\" ]; }
";

fn with_words(settings: &str) -> Option<Pid1> {
    let machine = machine(Who::Peer, settings)?;
    machine.write("speak.py", include_str!("speak.py"));
    Some(machine)
}

#[test]
fn each_kind_that_connects_is_served_to_its_end() {
    let Some(machine) = with_words("") else {
        return;
    };
    let at = machine.path("one");
    let service = machine.read("box/units/peer.service");
    let kinds = [
        ("onetcp", "Stream=127.0.0.1:7005".to_owned()),
        ("onesix", "Stream=[::1]:7006".to_owned()),
        ("oneunix", format!("Stream={}", at.display())),
        ("oneseq", "SequentialPacket=@peer-one".to_owned()),
    ];
    for (name, listen) in &kinds {
        machine.unit(&format!("{name}@.service"), &service);
        let socket = format!("[Socket]\nListen{listen}\nAccept=yes\n");
        machine.unit(&format!("{name}.socket"), &socket);
    }
    let said = seen(
        &machine,
        &format!(
            "{WORDS}
            systemctl start onetcp.socket onesix.socket oneunix.socket oneseq.socket
            asks=\"ping fds cloexec child-fds\"
            for to in 'STREAM 127.0.0.1:7005' 'STREAM [::1]:7006' \"STREAM $PWD/one\" 'SEQPACKET @peer-one'; do
              say $to $asks 'env REMOTE_ADDR' 'child-env LISTEN_FDS' generation | tr '\\n' ' '; echo
            done
            soon gone
            # Two at once are two processes, and the end of one is nothing to the other.
            exec 5<>/dev/tcp/127.0.0.1/7005 6<>/dev/tcp/127.0.0.1/7005
            echo pid >&5; read -r five <&5; echo pid >&6; read -r six <&6; [ $five != $six ]
            exec 5>&-; soon test ! -e /proc/$five; echo ping >&6; read -r line <&6; echo $line; exec 6>&-; soon gone
            # One that asks for the end ends it.
            say STREAM 127.0.0.1:7005 'exit 0'; soon gone; say SEQPACKET @peer-one stop; soon gone
            for name in onetcp onesix oneunix oneseq; do show $name.socket NAccepted; show $name.socket NConnections; done | tr '\\n' ' '
            journalctl --sync; journalctl -o cat -u 'one*@*' | grep -c 'Deactivated successfully'
            journalctl -o cat -u 'one*@*' | grep -ci failed || :"
        ),
    );
    let one = |kind: &str, from: &str| format!("pong connection:{kind}:0 1 0 {from} (unset) 0 \n");
    let each = [
        one("tcp4", "127.0.0.1"),
        one("tcp6", "::1"),
        one("unix-stream", "(unset)"),
        one("unix-seqpacket", "(unset)"),
    ];
    assert_eq!(
        said,
        format!(
            "{}pong\n(end)\n(end)\n4 0 1 0 1 0 2 0 8\n0\n",
            each.concat()
        )
    );
}

/// Another manager, with other habits: it names a connection `unknown`, and has no socket to be told anything over.
#[test]
fn systemds_activator_is_a_manager_too() {
    let Some(machine) = with_words("") else {
        return;
    };
    let said = seen(
        &machine,
        &format!(
            "{WORDS}
            open() {{ (exec 7<>/dev/tcp/127.0.0.1/$1) 2>/dev/null; }}
            ended() {{ [ $(grep -c 'died with code 0' err) = $1 ]; }}
            listens() {{ grep -q 'Listening on' $1; }}
            systemd-socket-activate --accept -l 127.0.0.1:7100 ./peer 2>err & activator=$!
            soon listens err
            say STREAM 127.0.0.1:7100 ping fds cloexec child-fds 'status x' 'child-env LISTEN_FDS'; soon ended 1
            exec 5<>/dev/tcp/127.0.0.1/7100 6<>/dev/tcp/127.0.0.1/7100
            echo pid >&5; read -r five <&5; echo pid >&6; read -r six <&6; [ $five != $six ]
            exec 5>&- 6>&-; soon ended 3; kill $activator
            # Whole sockets, with names; three kinds by three activators.
            systemd-socket-activate -l 127.0.0.1:7101 -l $PWD/whole -l @whole --fdname=web:web:own ./peer 2>whole.err & whole=$!
            soon listens whole.err
            say STREAM 127.0.0.1:7101 ping fds cloexec; [ $(say STREAM $PWD/whole pid) = $whole ]
            new=$(say STREAM @whole replace); [ \"$(say STREAM @whole pid)\" = ${{new#ok }} ]; say STREAM $PWD/whole fds generation
            wait $whole; kill ${{new#ok }}; soon test ! -e /proc/${{new#ok }}
            systemd-socket-activate --datagram -l $PWD/datagrams ./peer 2>dgram.err & soon listens dgram.err
            say DGRAM $PWD/datagrams fds reexec generation
            systemd-socket-activate --seqpacket -l $PWD/packets ./peer 2>seq.err & soon listens seq.err
            say SEQPACKET $PWD/packets fds"
        ),
    );
    assert_eq!(
        said,
        "pong\nunknown:tcp4:0\n1\n0\nnot-sent\n(unset)\n\
         pong\nweb:tcp4:1 web:unix-stream:1 own:unix-stream:1\n1 1 1\nweb:tcp4:1 web:unix-stream:1 own:unix-stream:1\n1\n\
         unknown:unix-dgram:0\nok\n1\nunknown:unix-seqpacket:1\n"
    );
}
