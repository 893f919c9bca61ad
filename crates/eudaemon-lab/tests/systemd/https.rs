//! The example `https` as a unit: ports below 1024, which its user may not bind, and a key that only the manager reads.

use eudaemon_lab::pid1::{self, Pid1};
use eudaemon_lab::{Exit, SOON, example, need};

/// What every judge here begins with: sockets, and certificates that are root's.
const BEGIN: &str = r#"set -e
use_pair() { cp $1.pem cert.pem; cp $1.key key.pem; }
ask() { curl -sS --max-time 60 --cacert cert.pem -w 'HTTP/%{http_version}\n' "$@"; }
serial() { openssl s_client -connect 127.0.0.1:443 </dev/null 2>/dev/null | openssl x509 -noout -serial; }
ip link set lo up 2>/dev/null || :
use_pair A1
# A dynamic user has a /tmp of its own.
cp https /run/https-example
systemctl start https-plain.socket https.socket
"#;

/// A machine with `https.service`, which has its key from the manager, and a socket for each port.
fn machine(settings: &str) -> Option<Pid1> {
    if !pid1::need() || !need(&["/usr/bin/curl", "/usr/bin/openssl"]) {
        return None;
    }
    let machine = Pid1::new();
    machine.copy(&example("https"), "https");
    // Here, where openssl has its settings.
    let make = r#"for serial in A1 B2; do
      openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout $serial.key -out $serial.pem -days 2 \
        -set_serial 0x$serial -subj /CN=localhost -addext subjectAltName=IP:127.0.0.1 2>/dev/null
    done"#;
    let null = std::fs::File::open("/dev/null").expect("/dev/null");
    let made = machine.start_on("/bin/bash".as_ref(), &["-c", make], null.into());
    assert_eq!(made.exit(SOON), Some(Exit::Code(0)), "{}", made.err());
    let at = machine.path("");
    let at = at.to_str().expect("UTF-8").trim_end_matches('/');
    let unit = format!(
        "[Unit]\nRequires=https-plain.socket https.socket\n[Service]\nType=notify\nExecStart=/run/https-example\nExecReload=/bin/kill -HUP $MAINPID\n\
         Sockets=https-plain.socket https.socket\nDynamicUser=yes\nLoadCredential=cert:{at}/cert.pem\nLoadCredential=key:{at}/key.pem\n{settings}\n"
    );
    machine.unit("https.service", &unit);
    for (unit, name, port) in [("https-plain", "http", 80), ("https", "https", 443)] {
        let socket = format!(
            "[Socket]\nListenStream=127.0.0.1:{port}\nFileDescriptorName={name}\nService=https.service\n"
        );
        machine.unit(&format!("{unit}.socket"), &socket);
    }
    Some(machine)
}

#[test]
fn it_serves_at_80_and_443_as_nobody_in_particular() {
    let Some(machine) = machine("") else {
        return;
    };
    let seen = machine.judge(&format!(
        r#"{BEGIN}
        show https ActiveState
        ask --http2 https://127.0.0.1/ | sed 's/process.*/process N/'
        ask --http1.1 https://127.0.0.1/ | sed 's/process.*/process N/'
        ask http://127.0.0.1/ | sed 's/process.*/process N/'
        pid=$(show https MainPID); [ $(stat -c %u /proc/$pid) -ge 60000 ]; grep CapEff /proc/$pid/status | tr -d '\t'
        # Nobody but the manager is asked for a port or a key.
        [ "$(ss -Hltn 'sport = :8080 or sport = :8443' | wc -l)" = 0 ]
        serial; systemctl reload https; soon is https ActiveState active; is https MainPID $pid
        ask --http2 https://127.0.0.1/slow/5; serial
        # A new key is the manager's to hand over, at the next start.
        use_pair B2; systemctl restart https; serial; ask --http2 https://127.0.0.1/slow/5
        systemctl stop https.socket https-plain.socket https; show https Result
        # Clients of a socket that nobody can serve would wait for ever.
        sed -i /LoadCredential/d /etc/systemd/system/https.service; systemctl daemon-reload
        systemctl start https 2>/dev/null || show https ExecMainStatus"#
    ));
    let hello = "hello from process N";
    let expected = format!(
        "inactive\n{hello}\nHTTP/2\n{hello}\nHTTP/1.1\n{hello}\nHTTP/1.1\nCapEff:0000000000000000\n\
         serial=A1\nslow\nHTTP/2\nserial=A1\nserial=B2\nslow\nHTTP/2\nsuccess\n78\n"
    );
    assert_eq!(
        (seen.out.as_str(), seen.code),
        (expected.as_str(), 0),
        "{seen:?}"
    );
}
