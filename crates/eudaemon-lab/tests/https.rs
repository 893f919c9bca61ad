//! The library's example `https`, a web server for TLS, HTTP/1.1 and HTTP/2, asked by the clients people have: curl, openssl, h2load.
//!
//! **Not tested here:** under the real systemd: `tests/systemd/https.rs`; while it is replaced: `load`.
//
// Judges start programs the ordinary way: being outside is their whole point.
#![allow(clippy::disallowed_methods)]

use eudaemon_lab::{
    Exit, Outcome, Port, Running, SOON, Signal, World, example, need, need_root, until,
};
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

/// Makes a certificate and its key with this serial number: `cert.pem` and `key.pem`, or other names.
const MAKE: &str = r#"
make() { # SERIAL CERT KEY
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$3" -out "$2.new" -days 2 -set_serial "$1" \
    -subj /CN=localhost -addext subjectAltName=DNS:localhost,IP:127.0.0.1 2>/dev/null && mv "$2.new" "$2"
}
serial() { openssl s_client -connect "localhost:$TLS" </dev/null 2>/dev/null | openssl x509 -noout -serial; }
"#;

/// A server in a world of its own, at two ports nobody else has.
struct Site {
    world: World,
    plain: Port,
    tls: Port,
}

impl Site {
    fn new(name: &str) -> Option<Site> {
        let tools = ["curl", "openssl", "h2load", "systemd-socket-activate"];
        let tools = tools.map(|tool| format!("/usr/bin/{tool}"));
        if !need(&tools.each_ref().map(String::as_str)) {
            return None;
        }
        let site = Site {
            world: World::new(name),
            plain: Port::free(),
            tls: Port::free(),
        };
        site.settings("hello");
        let made = site.sh("make 0xA1 cert.pem key.pem; cp cert.pem root.pem");
        assert_eq!(made.code, 0, "{made:?}");
        Some(site)
    }

    fn settings(&self, greeting: &str) {
        let (plain, tls) = (self.plain.number, self.tls.number);
        let text = format!(
            "# where, and what\nhttp = tcp:127.0.0.1:{plain}\nhttps = tcp:127.0.0.1:{tls}\n\ngreeting = {greeting}\n"
        );
        self.world.write("settings", text);
    }

    /// Starts it as a person does, with these words besides, and waits until it serves.
    fn start(&self, words: &[&str]) -> Running {
        let usual = [
            "--config", "settings", "--cert", "cert.pem", "--key", "key.pem",
        ];
        let null = fs::File::open("/dev/null").expect("/dev/null");
        let words = [&usual, words].concat();
        let running = self.world.start_on(&example("https"), &words, null.into());
        let serves = || TcpStream::connect(("127.0.0.1", self.tls.number)).is_ok();
        let ended = || running.exit(Duration::ZERO).is_some();
        assert!(
            until(SOON, || serves() || ended()) && !ended(),
            "{}",
            running.err()
        );
        running
    }

    /// Runs these commands of bash in the world.
    fn sh(&self, commands: &str) -> Outcome {
        let (plain, tls) = (self.plain.number, self.tls.number);
        let script = format!("PLAIN={plain} TLS={tls}\n{MAKE}\n{commands}");
        let null = fs::File::open("/dev/null").expect("/dev/null");
        let words = ["-c", &script];
        let running = self
            .world
            .start_on(Path::new("/bin/bash"), &words, null.into());
        running.outcome(SOON).expect("bash ends")
    }

    fn serial(&self) -> String {
        self.sh("serial").out.trim().to_owned()
    }

    fn ends_well(&self, running: &Running) {
        assert!(self.world.signal(running.pid, Signal::TERM));
        assert_eq!(running.exit(SOON), Some(Exit::Code(0)), "{}", running.err());
    }
}

#[test]
fn both_protocols_are_answered_with_the_certificate_and_without() {
    let Some(site) = Site::new("https-hand") else {
        return;
    };
    let running = site.start(&[]);
    let seen = site.sh(
        r#"tls="curl -sS --cacert root.pem -w %{http_version}\n"
        $tls --http1.1 https://localhost:$TLS/
        $tls --http2 https://localhost:$TLS/
        curl -sS -w '%{http_version}\n' http://127.0.0.1:$PLAIN/
        $tls --http2 https://localhost:$TLS/bytes/100000 | wc -c
        $tls --http2 https://localhost:$TLS/slow/20
        $tls -o /dev/null -w '%{http_code}\n' https://localhost:$TLS/none
        curl -sS -o /dev/null https://localhost:$TLS/ 2>/dev/null || echo "unknown certificate: $?""#,
    );
    let hello = format!("hello from process {}, generation 0\n", running.pid);
    let expected = format!(
        "{hello}1.1\n{hello}2\n{hello}1.1\n100002\nslow\n2\n404\nunknown certificate: 60\n"
    );
    assert_eq!((seen.out, seen.err.as_str()), (expected, ""));
    site.ends_well(&running);
}

#[test]
fn what_is_spoken_is_agreed_on_or_refused() {
    let Some(site) = Site::new("https-versions") else {
        return;
    };
    let running = site.start(&[]);
    let seen = site.sh(
        r#"ask() { openssl s_client -CAfile root.pem -connect localhost:$TLS "$@" </dev/null >said 2>&1
          grep -ao 'SSL alert number [0-9]*' said ||
          grep -aoE 'New, TLSv1.[0-9]|ALPN protocol: .*|No ALPN|Verify return code: 0' said | sort -u | paste -sd' '; }
        ask -alpn h2 -tls1_3
        ask -alpn h2 -tls1_2
        ask -alpn http/1.1,h2
        ask
        ask -alpn gopher
        ask -tls1_1 -cipher ALL:@SECLEVEL=0
        for h in --h1 --npn-list=h2; do
          h2load $h -n 500 -c 5 -m 10 https://localhost:$TLS/ | grep -E '^(requests|Application)'
        done"#,
    );
    // What may be spoken is the server's to choose; 120 is "no application protocol", 40 that of a version nobody has.
    let all =
        "requests: 500 total, 500 started, 500 done, 500 succeeded, 0 failed, 0 errored, 0 timeout";
    let expected = [
        "ALPN protocol: h2 New, TLSv1.3 Verify return code: 0",
        "ALPN protocol: h2 New, TLSv1.2 Verify return code: 0",
        "ALPN protocol: h2 New, TLSv1.3 Verify return code: 0",
        "New, TLSv1.3 No ALPN Verify return code: 0",
        "SSL alert number 120",
        "SSL alert number 40",
        "Application protocol: http/1.1",
        all,
        "Application protocol: h2",
        all,
    ];
    let said: Vec<_> = seen.out.lines().collect();
    assert_eq!(said, expected, "{seen:?}");
    site.ends_well(&running);
}

#[test]
fn who_says_nothing_keeps_nobody_out_and_is_left() {
    let Some(site) = Site::new("https-silent") else {
        return;
    };
    let running = site.start(&[]);
    let begun = Instant::now();
    let connect = || TcpStream::connect(("127.0.0.1", site.tls.number)).expect("a connection");
    let mut silent: Vec<TcpStream> = (0..100).map(|_| connect()).collect();
    // One that begins, and says no more.
    silent[0].write_all(&[22, 3, 1, 2]).expect("a few bytes");
    let seen = site.sh("curl -sS --cacert root.pem https://localhost:$TLS/");
    assert!(seen.out.starts_with("hello"), "{seen:?}");
    assert!(begun.elapsed() < Duration::from_secs(8), "somebody waited");
    for one in &mut silent {
        one.set_read_timeout(Some(SOON)).expect("a limit");
        assert_eq!(one.read(&mut [0; 8]).expect("its end"), 0);
    }
    assert!(
        begun.elapsed() >= Duration::from_secs(9),
        "it was cut early"
    );
    site.ends_well(&running);
}

#[test]
fn a_new_certificate_is_shown_and_who_is_connected_goes_on() {
    let Some(site) = Site::new("https-reload") else {
        return;
    };
    let running = site.start(&[]);
    // One connection, which asks before and after.
    let old = site.sh(&format!(
        r#"coproc old {{ exec openssl s_client -quiet -CAfile root.pem -connect localhost:$TLS 2>/dev/null; }}
        ask() {{ printf 'GET / HTTP/1.1\r\nHost: localhost\r\n\r\n' >&${{old[1]}}; until read -r line <&${{old[0]}}; [[ $line == *process* ]]; do :; done; echo "$line"; }}
        ask; serial
        make 0xB2 cert.pem key.pem; sed -i s/hello/hallo/ settings; kill -HUP {pid}
        until [ "$(serial)" = serial=B2 ]; do :; done
        ask; serial"#,
        pid = running.pid
    ));
    let pid = running.pid;
    assert_eq!(
        old.out,
        format!(
            "hello from process {pid}, generation 0\nserial=A1\nhallo from process {pid}, generation 0\nserial=B2\n"
        ),
        "{old:?}"
    );
    site.ends_well(&running);
}

#[test]
fn what_is_wrong_with_a_new_certificate_is_told_and_the_old_one_stays() {
    let Some(site) = Site::new("https-wrong") else {
        return;
    };
    let running = site.start(&[]);
    for (commands, words) in [
        (
            "make 0xB2 other.pem other.key; cp other.pem cert.pem",
            "key.pem is not that of ",
        ),
        (
            "echo nothing >cert.pem",
            "cert.pem has no certificate in it",
        ),
        ("cp root.pem cert.pem; rm key.pem", "unable to read "),
        (
            "openssl pkey -in other.key -aes256 -passout pass:1234 -out key.pem",
            "key.pem is encrypted",
        ),
        (
            "make 0xC3 cert.pem key.pem; openssl x509 -in cert.pem -signkey key.pem -days -1 -set_serial 0xC3 -out new.pem \
             2>/dev/null && mv new.pem cert.pem",
            "what is out of date stays unused: ",
        ),
        (
            "sed -i s/greeting/greting/ settings",
            "there is no setting \"greting\"",
        ),
    ] {
        let done = site.sh(commands);
        assert_eq!(done.code, 0, "{done:?}");
        assert!(site.world.signal(running.pid, Signal::HUP));
        let told = || {
            running
                .err()
                .lines()
                .any(|line| line.contains("reload failed") && line.contains(words))
        };
        assert!(until(SOON, told), "{words}: {}", running.err());
        assert_eq!(site.serial(), "serial=A1");
    }
    site.ends_well(&running);
}

#[test]
fn behind_a_drop_and_a_chroot_a_reload_is_refused_in_words() {
    if !need_root() {
        return;
    }
    for (words, reason) in [
        (
            &["--service.uid", "nobody"][..],
            "key.pem: Permission denied",
        ),
        (
            &["--service.uid", "nobody", "--service.chroot", "jail"],
            "the root of the process is another one now",
        ),
    ] {
        let Some(site) = Site::new("https-drop") else {
            return;
        };
        let jail = site.world.path("jail");
        fs::create_dir(&jail).expect("a directory");
        // Its settings are there too.
        fs::copy(site.world.path("settings"), jail.join("settings")).expect("a copy");
        let jail = jail.to_str().expect("UTF-8").to_owned();
        let words: Vec<&str> = words
            .iter()
            .map(|word| if *word == "jail" { jail.as_str() } else { word })
            .collect();
        let running = site.start(&words);
        let made = site.sh("make 0xB2 cert.pem key.pem; chmod 600 key.pem");
        assert_eq!(made.code, 0, "{made:?}");
        assert!(site.world.signal(running.pid, Signal::HUP));
        let told = || running.err().contains("reload failed") && running.err().contains(reason);
        assert!(until(SOON, told), "{}", running.err());
        assert_eq!(site.serial(), "serial=A1");
        site.ends_well(&running);
    }
}

#[test]
fn a_listener_of_a_manager_is_taken_by_its_name() {
    let Some(site) = Site::new("https-activated") else {
        return;
    };
    let (plain, tls) = (site.plain.number, site.tls.number);
    let (plain, tls) = (format!("127.0.0.1:{plain}"), format!("127.0.0.1:{tls}"));
    let program = example("https");
    let program = program.to_str().expect("UTF-8");
    // The other way round than the program asks for them.
    let words = [
        "-l",
        &tls,
        "-l",
        &plain,
        "--fdname=https:http",
        program,
        "--cert",
        "cert.pem",
        "--key",
        "key.pem",
    ];
    let null = fs::File::open("/dev/null").expect("/dev/null");
    let activate = Path::new("/usr/bin/systemd-socket-activate");
    let running = site.world.start_on(activate, &words, null.into());
    let serves = || TcpStream::connect(("127.0.0.1", site.tls.number)).is_ok();
    assert!(until(SOON, serves), "{}", running.err());
    let seen = site.sh(
        "curl -sS --http2 --cacert root.pem https://localhost:$TLS/ && curl -sS http://localhost:$PLAIN/",
    );
    let hello = format!("hello from process {}, generation 0\n", running.pid);
    assert_eq!(seen.out, hello.repeat(2), "{seen:?} {}", running.err());
    site.ends_well(&running);
}

#[test]
fn a_stop_ends_connections_without_losing_a_request() {
    let Some(site) = Site::new("https-drain") else {
        return;
    };
    let running = site.start(&[]);
    let pid = running.pid;
    // Requests that are under way, of both protocols; a connection that is used once more; and one that is not.
    let seen = site.sh(&format!(
        r#"tls="curl -sS --cacert root.pem"
        $tls --http1.1 https://localhost:$TLS/slow/1000 >h1 & h1=$!
        $tls --http2 https://localhost:$TLS/slow/1000 >h2 & h2=$!
        coproc used {{ exec openssl s_client -quiet -CAfile root.pem -connect localhost:$TLS 2>/dev/null; }}
        exec {{in}}<&${{used[0]}} {{out}}>&${{used[1]}} {{idle}}<>/dev/tcp/127.0.0.1/$PLAIN
        ask() {{ printf 'GET / HTTP/1.1\r\nHost: localhost\r\n\r\n' >&$1; }}
        ask $out; until read -r line <&$in; [[ $line == *process* ]]; do :; done
        ask $idle; until read -r line <&$idle; [[ $line == *process* ]]; do :; done
        until [ $(ss -Hnt state established "sport = :$TLS" | wc -l) = 3 ]; do :; done
        begun=${{EPOCHREALTIME/./}}
        kill {pid}
        until ! exec {{new}}<>/dev/tcp/127.0.0.1/$TLS; do exec {{new}}>&-; done 2>/dev/null
        ask $out; tr -d '\r' <&$in | grep -aE '^(HTTP|connection|hello)'
        wait $h1 $h2; cat h1 h2
        cat <&$idle; echo "idle for $((( ${{EPOCHREALTIME/./}} - begun ) / 1000000)) s""#
    ));
    assert_eq!(
        seen.out,
        format!(
            "HTTP/1.1 200 OK\nconnection: close\nhello from process {pid}, generation 0\nslow\nslow\nidle for 2 s\n"
        ),
        "{seen:?}"
    );
    assert_eq!(running.exit(SOON), Some(Exit::Code(0)), "{}", running.err());
}
