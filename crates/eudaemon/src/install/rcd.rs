//! A script for FreeBSD's rc, with `daemon(8)` to start the service again. Source: `rc.subr(8)`, `daemon(8)`, and FreeBSD's
//! "Practical rc.d scripting".

use super::plan::{Command, File, Plan, Step};
use super::{Action, InstallError, Installation, seal, shell};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

/// `rc.subr` makes variables of the name, so a `-` in it becomes `_`.
fn variable(of: &Installation) -> String {
    let name = of.manifest.name.replace('-', "_");
    match name.starts_with(|first: char| first.is_ascii_digit()) {
        true => format!("_{name}"),
        false => name,
    }
}

pub(super) fn install(of: &Installation, plan: &mut Plan) -> Result<(), InstallError> {
    let manifest = &of.manifest;
    let name = &manifest.name;
    let variable = variable(of);
    let drop =
        of.own_drop("rc makes up no user, so it would stay root: name one with --service.uid")?;
    let mut words: Vec<OsString> = Vec::new();
    let child = format!("/var/run/{name}.child.pid");
    for word in ["-f", "-S", "-T", name, "-R", "1", "-P"] {
        words.push(word.into());
    }
    words.push(format!("/var/run/{name}.pid").into());
    words.extend([
        "-p".into(),
        child.clone().into(),
        "--".into(),
        of.program.clone().into_os_string(),
    ]);
    words.extend(of.words.iter().cloned().chain(drop));
    let line = shell::line(words.iter().map(OsString::as_os_str));
    let title = manifest
        .title
        .replace(|letter: char| letter.is_control(), " ");
    let mut body = Vec::new();
    let mut put = |text: &str| body.extend_from_slice(text.as_bytes());
    put(&format!(
        "\n. /etc/rc.subr\n\nname={variable}\nrcvar={variable}_enable\ndesc="
    ));
    put(&String::from_utf8_lossy(&shell::quoted(OsStr::new(&title))));
    put(&format!(
        "\nload_rc_config \"$name\"\n: \"${{{variable}_enable:=NO}}\"\n\npidfile=/var/run/{name}.pid\ncommand=/usr/sbin/daemon\ncommand_args="
    ));
    // rc.subr evaluates the line, so the words are quoted for that, and then once more as a value.
    body.extend(shell::quoted(OsStr::from_bytes(&line)));
    body.extend_from_slice(b"\numask 027\n");
    for (name, value) in &of.environment {
        body.extend_from_slice(format!("export {name}=").as_bytes());
        body.extend(shell::quoted(value));
        body.push(b'\n');
    }
    if manifest.reloads {
        // daemon(8) passes on TERM alone.
        body.extend_from_slice(
            format!("extra_commands=reload\nreload_cmd='kill -HUP \"$(cat {child})\"'\n")
                .as_bytes(),
        );
    }
    body.extend_from_slice(b"\nrun_rc_command \"$1\"\n");
    let head = format!(
        "#!/bin/sh\n# Generated. Settings belong into /etc/rc.conf.d/{variable}.\n#\n# PROVIDE: {name}\n# REQUIRE: NETWORKING SERVERS\n# KEYWORD: shutdown\n"
    );
    let bytes = seal::sealed(&head, ("# ", ""), &body);
    plan.steps.push(Step::Write(File::new(
        format!("/usr/local/etc/rc.d/{name}"),
        bytes,
        0o755,
    )));
    plan.steps.push(Step::Run(Command::new([
        "sysrc".to_owned(),
        format!("{variable}_enable=YES"),
    ])));
    if of.sockets && !manifest.sockets.is_empty() {
        plan.notes
            .push("rc opens no sockets: the service binds them itself".to_owned());
    }
    if manifest.watchdog.is_some() {
        plan.notes
            .push("left out: the watchdog, which is systemd's".to_owned());
    }
    Ok(())
}

pub(super) fn retire(of: &Installation) -> (Vec<Command>, Vec<Step>) {
    let name = &of.manifest.name;
    let first = vec![
        Command::new(["service", name, "stop"]).tried(),
        Command::new([
            "sysrc".to_owned(),
            "-x".to_owned(),
            format!("{}_enable", variable(of)),
        ])
        .tried(),
    ];
    (first, Vec::new())
}

pub(super) fn control(of: &Installation, action: Action) -> Vec<Command> {
    match action {
        Action::Install | Action::Remove => Vec::new(),
        Action::Start | Action::Stop | Action::Restart | Action::Reload | Action::Status => {
            vec![Command::new([
                "service",
                &of.manifest.name,
                &action.to_string(),
            ])]
        }
    }
}
