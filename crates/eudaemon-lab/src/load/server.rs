//! A web server that answers `GET /` at two ports, plain and with TLS, and how it is changed while it does.

use crate::Signal;
use crate::pid1::Pid1;
use crate::port::Port;
use crate::wait::{Exit, SOON, until};
use crate::world::{Running, World, alive, state_and_parent};
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where nginx is.
pub const NGINX: &str = "/usr/sbin/nginx";

/// The unit in a machine of its own, with ports of its own.
const UNIT: &str = "web.service";
const UNIT_PORTS: (u16, u16) = (8080, 8443);
/// The control socket of ours.
const CONTROL: &str = "control";

/// Two worker processes, as many as our service has threads on the machine of the tables; connections are kept as long as they are
/// used. A daemon, because one in the foreground ignores USR2 (observed with 1.22.1).
const NGINX_CONF: &str = "worker_processes 2;
worker_shutdown_timeout 30s;
user root;
pid DIR/nginx.pid;
error_log DIR/error.log warn;
events { worker_connections 1024; }
http {
    access_log off;
    keepalive_requests 1000000000;
    client_body_temp_path DIR/tmp;
    proxy_temp_path DIR/tmp;
    fastcgi_temp_path DIR/tmp;
    uwsgi_temp_path DIR/tmp;
    scgi_temp_path DIR/tmp;
    server {
        listen 127.0.0.1:PLAIN;
        listen 127.0.0.1:TLS ssl http2;
        ssl_certificate DIR/cert.pem;
        ssl_certificate_key DIR/key.pem;
        location / { default_type text/plain; return 200 \"hello\\n\"; }
    }
}
";

/// One that was started, or a unit of the systemd of this machine.
pub struct Server<'a> {
    world: &'a World,
    /// The port without TLS.
    pub plain: u16,
    /// The port with TLS, where HTTP/2 is spoken.
    pub tls: u16,
    kind: Kind,
    _held: Vec<Port>,
}

enum Kind {
    Nginx,
    Ours(PathBuf),
    Unit(PathBuf),
}

impl<'a> Server<'a> {
    /// Starts Debian's nginx with a certificate of its own.
    ///
    /// # Errors
    /// It does not serve; in words.
    pub fn nginx(world: &'a World) -> Result<Server<'a>, String> {
        certificate(world)?;
        let (plain, tls) = (Port::free(), Port::free());
        let here = world.path("");
        let here = here.to_string_lossy();
        let conf = NGINX_CONF
            .replace("DIR", here.trim_end_matches('/'))
            .replace("PLAIN", &plain.number.to_string())
            .replace("TLS", &tls.number.to_string());
        world.write("nginx.conf", conf);
        let words = ["-p", &here, "-c", "nginx.conf", "-e", "error.log"];
        let running = world.start_on(Path::new(NGINX), &words, nothing()?);
        if running.exit(SOON) != Some(Exit::Code(0)) {
            return Err(format!(
                "nginx: {}{}",
                running.err(),
                world.read("error.log")
            ));
        }
        let server = Server {
            world,
            plain: plain.number,
            tls: tls.number,
            kind: Kind::Nginx,
            _held: vec![plain, tls],
        };
        server.serves(None)?;
        Ok(server)
    }

    /// Starts the library's example `https`, with a certificate of its own and a control socket.
    ///
    /// # Errors
    /// It does not serve; in words.
    pub fn ours(world: &'a World, program: &Path) -> Result<Server<'a>, String> {
        let (plain, tls) = (Port::free(), Port::free());
        let words = ours(world, plain.number, tls.number)?;
        let running = world.start_on(program, &words, nothing()?);
        let server = Server {
            world,
            plain: plain.number,
            tls: tls.number,
            kind: Kind::Ours(world.path(CONTROL)),
            _held: vec![plain, tls],
        };
        server.serves(Some(&running))?;
        Ok(server)
    }

    /// The unit that [`unit`] wrote, from inside the machine; `world` is only where what asks it runs.
    ///
    /// # Errors
    /// It does not serve; in words.
    pub fn unit(world: &'a World, control: &Path) -> Result<Server<'a>, String> {
        let server = Server {
            world,
            plain: UNIT_PORTS.0,
            tls: UNIT_PORTS.1,
            kind: Kind::Unit(control.to_owned()),
            _held: Vec::new(),
        };
        server.systemctl("start", UNIT)?;
        server.serves(None)?;
        Ok(server)
    }

    /// Waits until it answers at both ports, or has ended.
    fn serves(&self, running: Option<&Running>) -> Result<(), String> {
        let answers = |port: u16| std::net::TcpStream::connect(("127.0.0.1", port)).is_ok();
        let ended = || running.is_some_and(|running| running.exit(Duration::ZERO).is_some());
        let up = until(SOON, || ended() || answers(self.plain) && answers(self.tls));
        if up && !ended() {
            return Ok(());
        }
        let said = running.map(Running::err).unwrap_or_default();
        Err(format!("it does not serve: {said}"))
    }

    /// Has it read its configuration again, and returns when it has.
    ///
    /// # Errors
    /// It says no, or never says that it is done.
    pub fn reload(&self) -> Result<(), String> {
        match &self.kind {
            Kind::Nginx => {
                let main = self.main()?;
                let before = children(main);
                self.world.signal(main, Signal::HUP);
                // Old workers leave when their connections are over.
                soon("nginx to reload", || {
                    !before.iter().any(|&pid| alive(pid)) && !children(main).is_empty()
                })
            }
            Kind::Ours(control) | Kind::Unit(control) => asked(control, "reload").map(drop),
        }
    }

    /// Has another process of the same program take its place, and returns when that one serves and the old one is gone.
    ///
    /// # Errors
    /// It says no, or it does not happen.
    pub fn replace(&self) -> Result<(), String> {
        match &self.kind {
            Kind::Nginx => self.upgrade(),
            Kind::Ours(control) | Kind::Unit(control) => asked(control, "replace").map(drop),
        }
    }

    /// Stops it and starts it again, and returns when it serves.
    ///
    /// # Errors
    /// It is no unit; it fails.
    pub fn restart(&self) -> Result<(), String> {
        match &self.kind {
            Kind::Nginx | Kind::Ours(_) => Err("nobody restarts it".to_owned()),
            Kind::Unit(_) => self.systemctl("restart", UNIT),
        }
    }

    /// As nginx's own manual says: USR2, WINCH, QUIT. Source: "Controlling nginx", "Upgrading Executable on the Fly".
    fn upgrade(&self) -> Result<(), String> {
        let old = self.main()?;
        let workers = children(old);
        self.world.signal(old, Signal::USR2);
        soon("nginx to start another", || {
            self.main()
                .is_ok_and(|new| new != old && !children(new).is_empty())
        })?;
        self.world.signal(old, Signal::WINCH);
        soon("nginx's old workers to leave", || {
            !workers.iter().any(|&pid| alive(pid))
        })?;
        self.world.signal(old, Signal::QUIT);
        soon("the old nginx to leave", || !alive(old))
    }

    /// The process that is the service now; nginx's master.
    ///
    /// # Errors
    /// It does not say.
    pub fn main(&self) -> Result<i32, String> {
        let text = match &self.kind {
            Kind::Nginx => self.world.read("nginx.pid"),
            Kind::Ours(control) | Kind::Unit(control) => {
                let lines = asked(control, "status")?;
                let pid = lines.iter().find_map(|line| line.strip_prefix("pid: "));
                pid.unwrap_or_default().to_owned()
            }
        };
        let pid = text.trim().parse();
        pid.map_err(|_| format!("{text:?} is no pid"))
    }

    /// Waits until no process is left but the one that is the service; nginx's have been waited for.
    ///
    /// # Errors
    /// Others stay.
    pub fn alone(&self) -> Result<(), String> {
        let others = || match &self.kind {
            Kind::Nginx => 0,
            Kind::Ours(_) => self.world.named("https").len().abs_diff(1),
            Kind::Unit(_) => {
                let group = format!("/sys/fs/cgroup/system.slice/{UNIT}/cgroup.procs");
                let members = fs::read_to_string(group).unwrap_or_default();
                // Under a manager each has a spawner, which goes with it.
                let is_spawner = |pid: &&str| {
                    let name = fs::read_to_string(format!("/proc/{pid}/comm"));
                    name.is_ok_and(|name| name == "eud-spawner\n")
                };
                let (spawners, others): (Vec<&str>, Vec<&str>) =
                    members.lines().partition(is_spawner);
                others.len().abs_diff(1) + spawners.len().abs_diff(1)
            }
        };
        soon("its other processes to leave", || others() == 0)
    }

    fn systemctl(&self, verb: &str, unit: &str) -> Result<(), String> {
        let program = Path::new("/usr/bin/systemctl");
        let running = self.world.start_on(program, &[verb, unit], nothing()?);
        let ended = running.outcome(SOON);
        let _said = running.forget();
        match ended {
            Some(ended) if ended.code == 0 => Ok(()),
            ended => Err(format!("systemctl {verb} {unit}: {ended:?}")),
        }
    }
}

/// The settings of the example `https` in this world, and the words of its command line.
fn ours(world: &World, plain: u16, tls: u16) -> Result<Vec<String>, String> {
    certificate(world)?;
    world.write(
        "settings",
        format!("http = tcp:127.0.0.1:{plain}\nhttps = tcp:127.0.0.1:{tls}\n"),
    );
    let at = |name: &str| world.path(name).display().to_string();
    Ok(vec![
        format!("--config={}", at("settings")),
        format!("--cert={}", at("cert.pem")),
        format!("--key={}", at("key.pem")),
        format!("--service.control={}", at(CONTROL)),
    ])
}

/// Puts the example `https` into a machine, as a unit whose sockets the manager keeps while it is restarted. Returns where its
/// control socket will be.
///
/// # Errors
/// There is no certificate to be had.
pub fn unit(machine: &Pid1, program: &Path) -> Result<PathBuf, String> {
    machine.copy(program, "https");
    let words = ours(machine, UNIT_PORTS.0, UNIT_PORTS.1)?.join(" ");
    let program = machine.path("https");
    machine.unit(
        UNIT,
        &format!(
            "[Unit]\nStartLimitIntervalSec=0\n[Service]\nType=notify\nNotifyAccess=all\nExecStart={} {words}\nFileDescriptorStoreMax=16\n\
             ",
            program.display()
        ),
    );
    Ok(machine.path(CONTROL))
}

/// Asks a service's control socket, and waits for the answer.
fn asked(control: &Path, question: &str) -> Result<Vec<String>, String> {
    let failed = |why: std::io::Error| format!("{question} at {}: {why}", control.display());
    let mut line = UnixStream::connect(control).map_err(failed)?;
    line.set_read_timeout(Some(SOON)).map_err(failed)?;
    line.write_all(format!("{question}\n").as_bytes())
        .map_err(failed)?;
    let mut answers = Vec::new();
    for answer in BufReader::new(line).lines() {
        let answer = answer.map_err(failed)?;
        if answer == "ok" {
            return Ok(answers);
        }
        if answer.starts_with("error:") {
            return Err(format!("{question}: {answer}"));
        }
        answers.push(answer);
    }
    Err(format!("{question}: no answer"))
}

/// A certificate of its own, for an hour, and its key.
fn certificate(world: &World) -> Result<(), String> {
    // In a machine there is no configuration of its own to be had.
    world.write("cert.conf", "[req]\ndistinguished_name = name\n[name]\n");
    let words = "req -config cert.conf -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout key.pem -out cert.pem \
                 -days 1 -subj /CN=localhost -addext subjectAltName=DNS:localhost,IP:127.0.0.1";
    let words: Vec<_> = words.split_whitespace().collect();
    let running = world.start_on(Path::new("/usr/bin/openssl"), &words, nothing()?);
    match running.outcome(SOON) {
        Some(ended) if ended.code == 0 => Ok(()),
        ended => Err(format!("openssl: {ended:?}")),
    }
}

fn nothing() -> Result<std::os::fd::OwnedFd, String> {
    let null = fs::File::open("/dev/null").map_err(|why| format!("/dev/null: {why}"))?;
    Ok(null.into())
}

fn soon(what: &str, seen: impl FnMut() -> bool) -> Result<(), String> {
    if until(SOON, seen) {
        Ok(())
    } else {
        Err(format!("waited in vain for {what}"))
    }
}

/// The living children of a process that are no masters of nginx themselves.
fn children(pid: i32) -> Vec<i32> {
    let listed = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    let pids = listed.split_whitespace().filter_map(|pid| pid.parse().ok());
    pids.filter(|&pid| {
        let words = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        state_and_parent(pid).is_some_and(|(state, _)| state != 'Z')
            && String::from_utf8_lossy(&words).contains("worker process")
    })
    .collect()
}
