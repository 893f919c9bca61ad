# speak.py TYPE ADDRESS REQUEST...: asks over one socket of this kind, and prints each answer. ADDRESS is HOST:PORT, a path, or
# @NAME. At `wait` it says nothing more until its standard input ends.
import socket
import sys

kind, at = getattr(socket, "SOCK_" + sys.argv[1]), sys.argv[2]
if at[0] in "/@":
    family, to = socket.AF_UNIX, at.replace("@", "\0", 1)
else:
    host, port = at.rsplit(":", 1)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    to = (host.strip("[]"), int(port))
asks = socket.socket(family, kind)
asks.settimeout(60)
if kind == socket.SOCK_DGRAM and family == socket.AF_UNIX:
    # Whoever has no address is not answered: an abstract one of its own.
    asks.bind("")
asks.connect(to)
for request in sys.argv[3:]:
    if request == "wait":
        sys.stdin.read()
        continue
    line = request.encode()
    asks.send(line if kind == socket.SOCK_SEQPACKET else line + b"\n")
    print(asks.recv(4000).decode().rstrip("\n") or "(end)", flush=True)
