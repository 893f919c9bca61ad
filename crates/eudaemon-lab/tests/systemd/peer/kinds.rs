//! Sockets of every kind: asked each in its own way, and handed on in each of the three ways there are.

use super::{Who, machine, seen};
use eudaemon_lab::pid1::Pid1;

/// A machine whose peer has a socket of every kind there is, in two units; and a FIFO, which nobody is answered through.
fn everything(settings: &str) -> Option<Pid1> {
    let machine = machine(
        Who::Peer,
        &format!("Sockets=peer.socket all.socket\n{settings}"),
    )?;
    let at = machine.path("");
    let at = at.display();
    let all = format!(
        "[Socket]\nFileDescriptorName=all\nService=peer.service\nListenStream=[::1]:7002\nListenDatagram=127.0.0.1:7003\n\
         ListenDatagram=[::1]:7004\nListenStream={at}/stream\nListenDatagram={at}/dgram\nListenStream=@peer-stream\n\
         ListenDatagram=@peer-dgram\nListenSequentialPacket=@peer-packets\n\
         ListenSequentialPacket={at}/packets\nListenFIFO={at}/fifo\n"
    );
    machine.unit("all.socket", &all);
    machine.write("speak.py", include_str!("speak.py"));
    Some(machine)
}

/// Those that are asked, in no order; `$ways` may be walked through.
const WAYS: &str = "
systemctl start all.socket peer.socket; systemctl start peer
ways='STREAM,127.0.0.1:7001 STREAM,[::1]:7002 DGRAM,127.0.0.1:7003 DGRAM,[::1]:7004
STREAM,/stream STREAM,@peer-stream DGRAM,/dgram DGRAM,@peer-dgram SEQPACKET,/packets SEQPACKET,@peer-packets'
# say WAY REQUEST...
say() {
  local to=${1#*,}
  case $to in /*) to=$PWD$to ;; esac
  python3 speak.py ${1%%,*} $to \"${@:2}\"
}
# Everybody is answered, by this process.
all_by() { local way; for way in $ways; do [ \"$(say $way pid)\" = $1 ] || { echo \"not $1 at $way\"; return 1; }; done; }
";

#[test]
fn what_is_asked_is_answered_over_each() {
    let Some(machine) = everything("FileDescriptorStoreMax=20\nEnvironment=ORDINARY=yes") else {
        return;
    };
    let said = seen(
        &machine,
        &format!(
            "{WAYS}
            main=$(show peer MainPID); first=$(ask 7001 fds)
            echo $first | tr ' ' '\\n' | LC_ALL=C sort
            for way in $ways; do
              [ \"$(say $way pid)\" = $main ]
              say $way ping 'env ORDINARY' 'child-env NOTIFY_SOCKET' \"status $way\" \"store s $way\" barrier 'stored s' generation nonsense | tr '\\n' ' '
              soon is peer StatusText $way
              [ \"$(say $way fds)\" = \"$first\" ]; say $way cloexec child-fds watchdog reload unstore\\ s | tr '\\n' ' '; echo
            done
            show peer ActiveState; show peer NRestarts"
        ),
    );
    let each = "pong yes (unset) sent sent ok (none) 0 error unknown 1 1 1 1 1 1 1 1 1 1 1 0 off ok sent \n";
    let kinds = "all:fifo:0\nall:tcp6:1\nall:udp4:0\nall:udp6:0\nall:unix-dgram:0\nall:unix-dgram:0\nall:unix-seqpacket:1\n\
                 all:unix-seqpacket:1\nall:unix-stream:1\nall:unix-stream:1\nweb:tcp4:1\n";
    assert_eq!(said, format!("{kinds}{}active\n0\n", each.repeat(10)));
}

/// Whichever way it is asked, and whoever asks: the sockets are the same ones, in their order, under their names.
#[test]
fn each_way_of_handing_on_hands_on_everything() {
    let Some(machine) = everything("WatchdogSec=20") else {
        return;
    };
    let said = seen(
        &machine,
        &format!(
            "{WAYS}
            main=$(show peer MainPID); before=$(ask 7001 fds); generation=0
            for way in $ways; do
              for how in replace mainpid reexec; do
                new=$(say $way $how); old=$main
                case $how in
                  reexec) [ \"$new\" = ok ]; generation=$((generation + 1)); soon answers 7001 generation $generation ;;
                  replace) main=${{new#ok }}; generation=$((generation + 1)) ;;
                  mainpid) main=${{new#ok }} ;;
                esac
                [ $how = reexec ] || soon test ! -e /proc/$old
                soon is peer MainPID $main; all_by $main
                [ \"$(ask 7001 fds)\" = \"$before\" ] || {{ echo \"$way $how: $(ask 7001 fds)\"; exit 1; }}
              done
            done
            ask 7001 generation; ask 7001 cloexec; ask 7001 child-fds; show peer ActiveState; show peer NRestarts
            ls -A | grep -c -e ^stream$ -e ^dgram$ -e ^packets$ -e ^fifo$
            systemctl stop peer; show peer Result; show peer ExecMainStatus"
        ),
    );
    assert_eq!(
        said,
        "20\n1 1 1 1 1 1 1 1 1 1 1\n0\nactive\n0\n4\nsuccess\n0\n"
    );
}
