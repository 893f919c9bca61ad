//! A script for OpenRC, whose `supervise-daemon` starts the service again. Source: `openrc-run(8)`, `supervise-daemon(8)`,
//! OpenRC's `supervise-daemon-guide.md`.

use super::plan::{Command, File, Plan, Step};
use super::{Action, InstallError, Installation, seal, shell};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

fn path(of: &Installation) -> String {
    format!("/etc/init.d/{}", of.manifest.name)
}

pub(super) fn install(of: &Installation, plan: &mut Plan) -> Result<(), InstallError> {
    let manifest = &of.manifest;
    let name = &manifest.name;
    let drop =
        of.own_drop("OpenRC makes up no user, so it would stay root: name one with --service.uid")?;
    // OpenRC splits `command_args` at blanks and hands the parts to `eval`. So words that are more than plain are a line for
    // a shell, and that line is a variable: it stays one word there.
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"/._-+=:,@".contains(byte);
    let is_plain = |word: &OsStr| !word.is_empty() && word.as_bytes().iter().all(plain);
    let words: Vec<&OsStr> = of
        .words
        .iter()
        .chain(&drop)
        .map(OsString::as_os_str)
        .collect();
    let program = of.program.as_os_str();
    let simple = is_plain(program) && words.iter().all(|word| is_plain(word));
    let text = |text: &str| {
        String::from_utf8_lossy(&shell::quoted(OsStr::new(&one_line(text)))).into_owned()
    };
    let mut body = Vec::new();
    let mut line = |parts: &[&[u8]]| {
        body.extend(parts.concat());
        body.push(b'\n');
    };
    line(&[b"name=", text(&manifest.title).as_bytes()]);
    line(&[b"description=", text(&manifest.description).as_bytes()]);
    line(&[b"supervisor=supervise-daemon"]);
    if simple {
        line(&[b"command=", program.as_bytes()]);
        line(&[b"command_args='", &shell::line(words), b"'"]);
    } else {
        let all = [
            b"exec ",
            &shell::line(std::iter::once(program).chain(words))[..],
        ]
        .concat();
        line(&[b"eudaemon_line=", &shell::quoted(OsStr::from_bytes(&all))]);
        line(&[b"command=/bin/sh"]);
        line(&[b"command_args='-c \"$eudaemon_line\"'"]);
    }
    line(&[b"respawn_delay=1"]);
    line(&[b"respawn_max=0"]);
    line(&[format!("retry=TERM/{}/KILL/5", manifest.stop_timeout.as_secs() + 5).as_bytes()]);
    line(&[format!("output_log=/var/log/{name}.log").as_bytes()]);
    line(&[format!("error_log=/var/log/{name}.log").as_bytes()]);
    for (name, value) in &of.environment {
        line(&[b"export ", name.as_bytes(), b"=", &shell::quoted(value)]);
    }
    line(&[b"umask 027"]);
    if manifest.reloads {
        line(&[b"extra_started_commands=reload"]);
    }
    line(&[b"\ndepend() {"]);
    if manifest
        .needs
        .connected_tcp()
        .is_none_or(|ports| !ports.is_empty())
    {
        line(&[b"\tneed net"]);
    }
    line(&[b"\tuse logger dns"]);
    line(&[b"\tafter firewall"]);
    line(&[b"}"]);
    if manifest.reloads {
        line(&[b"\nreload() {"]);
        line(&[b"\tebegin \"Reloading ${RC_SVCNAME}\""]);
        line(&[b"\tsupervise-daemon \"${RC_SVCNAME}\" --signal HUP"]);
        line(&[b"\teend $?"]);
        line(&[b"}"]);
    }
    let head =
        format!("#!/sbin/openrc-run\n# Generated. Settings belong into /etc/conf.d/{name}.\n");
    let bytes = seal::sealed(&head, ("# ", ""), &body);
    plan.steps
        .push(Step::Write(File::new(path(of), bytes, 0o755)));
    plan.steps.push(Step::Run(Command::new([
        "rc-update",
        "add",
        name,
        "default",
    ])));
    if of.sockets && !manifest.sockets.is_empty() {
        plan.notes
            .push("OpenRC opens no sockets: the service binds them itself".to_owned());
    }
    if manifest.watchdog.is_some() {
        plan.notes
            .push("left out: the watchdog, which is systemd's".to_owned());
    }
    Ok(())
}

fn one_line(text: &str) -> String {
    text.chars()
        .map(|letter| if letter.is_control() { ' ' } else { letter })
        .collect()
}

pub(super) fn retire(of: &Installation) -> (Vec<Command>, Vec<Step>) {
    let name = &of.manifest.name;
    let first = vec![
        Command::new(["rc-service", "--ifstarted", name, "stop"]).tried(),
        Command::new(["rc-update", "del", name, "default"]).tried(),
    ];
    (first, Vec::new())
}

pub(super) fn control(of: &Installation, action: Action) -> Vec<Command> {
    match action {
        Action::Install | Action::Remove => Vec::new(),
        Action::Start | Action::Stop | Action::Restart | Action::Reload | Action::Status => {
            vec![Command::new([
                "rc-service",
                &of.manifest.name,
                &action.to_string(),
            ])]
        }
    }
}
