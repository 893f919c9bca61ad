# The control: some of the peer's words on libsystemd, one connection after the other.
import os
import select
import signal
import socket
import sys

from systemd import daemon

passed = daemon.listen_fds_with_names()
KINDS = {
    (socket.AF_INET, socket.SOCK_STREAM): "tcp4",
    (socket.AF_INET6, socket.SOCK_STREAM): "tcp6",
    (socket.AF_INET, socket.SOCK_DGRAM): "udp4",
    (socket.AF_INET6, socket.SOCK_DGRAM): "udp6",
    (socket.AF_UNIX, socket.SOCK_STREAM): "unix-stream",
    (socket.AF_UNIX, socket.SOCK_DGRAM): "unix-dgram",
    (socket.AF_UNIX, socket.SOCK_SEQPACKET): "unix-seqpacket",
}


def kind(fd):
    if daemon.is_fifo(fd):
        return "fifo:0"
    if not daemon.is_socket(fd):
        return "file:0"
    with socket.socket(fileno=os.dup(fd)) as asked:
        listening = asked.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
        return f"{KINDS[asked.family, asked.type]}:{listening}"


interval = int(os.environ.get("WATCHDOG_USEC", "0"))
feeding = interval > 0


def answer(line):
    global feeding
    verb, _, rest = line.partition(" ")
    if verb == "ping":
        return "pong"
    if verb == "pid":
        return str(os.getpid())
    if verb == "fds":
        names = passed.items()
        return " ".join(f"{name}:{kind(fd)}" for fd, name in sorted(names)) or "(none)"
    if verb == "cloexec":
        return " ".join(str(int(not os.get_inheritable(fd))) for fd in sorted(passed))
    if verb == "notify":
        return "sent" if daemon.notify(rest.replace("\\n", "\n")) else "not-sent"
    if verb == "status":
        return "sent" if daemon.notify("STATUS=" + rest) else "not-sent"
    if verb == "watchdog":
        return str(interval) if interval else "off"
    if verb == "hang":
        feeding = False
        return "ok"
    if verb == "trigger":
        return "sent" if daemon.notify("WATCHDOG=trigger") else "not-sent"
    return "error unknown"


def stop(*_):
    daemon.notify("STOPPING=1")
    sys.exit(0)


signal.signal(signal.SIGTERM, stop)
listener = next(
    socket.socket(fileno=fd) for fd in sorted(passed) if kind(fd) == "tcp4:1"
)
daemon.notify(f"READY=1\nSTATUS=serving {len(passed)}")
while True:
    ready, _, _ = select.select([listener], [], [], interval / 2e6 or None)
    if feeding:
        daemon.notify("WATCHDOG=1")
    if ready:
        with listener.accept()[0] as client, client.makefile("rw") as lines:
            for line in lines:
                lines.write(answer(line.rstrip("\n")) + "\n")
                lines.flush()
