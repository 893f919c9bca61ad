//! Commands for the service control manager of Windows. Source: Microsoft's documentation of `sc.exe create`, `description`,
//! `failure`, of `CreateServiceW` and of `CommandLineToArgvW`.

use super::plan::{Command, Plan, Step};
use super::{Action, InstallError, Installation};
use std::ffi::OsStr;

fn refused(what: impl Into<String>, why: &'static str) -> InstallError {
    InstallError::Inexpressible {
        what: what.into(),
        why,
    }
}

/// A word as text that can stand in `ImagePath`.
fn text(word: &OsStr) -> Result<&str, InstallError> {
    let Some(text) = word.to_str() else {
        return Err(refused(format!("{word:?}"), "Windows takes only Unicode"));
    };
    if text.chars().any(char::is_control) {
        return Err(refused(
            format!("{text:?}"),
            "the service control manager takes no control characters",
        ));
    }
    // ImagePath is REG_EXPAND_SZ, and has no way to say a percent sign.
    if text.contains('%') {
        return Err(refused(
            format!("{text:?}"),
            "Windows would read %NAME% as a variable",
        ));
    }
    Ok(text)
}

/// One word, so that `CommandLineToArgvW` reads it back: backslashes count only before a quote. Always quoted: a path with a
/// blank and without quotes lets Windows try shorter ones first.
fn quoted(word: &str) -> String {
    let mut out = String::from("\"");
    let mut backslashes = 0;
    for letter in word.chars() {
        match letter {
            '\\' => backslashes += 1,
            '"' => {
                out.push_str(&"\\".repeat(backslashes + 1));
                backslashes = 0;
            }
            _ => backslashes = 0,
        }
        out.push(letter);
    }
    out.push_str(&"\\".repeat(backslashes));
    out.push('"');
    out
}

/// `ImagePath`: the program, quoted whatever it is, and its words.
pub(super) fn image_path(of: &Installation) -> Result<String, InstallError> {
    let program = text(of.program.as_os_str())?;
    let bytes = program.as_bytes();
    let drive =
        bytes.len() > 3 && bytes[0].is_ascii_alphabetic() && bytes[1] == b':' && bytes[2] == b'\\';
    if !(drive || program.starts_with("\\\\")) {
        return Err(InstallError::Program {
            path: of.program.clone(),
            why: "not an absolute path of Windows, as C:\\Programs\\web.exe",
        });
    }
    // The first word knows no escapes.
    if program.contains(|letter| "\"<>|?*".contains(letter)) || program.ends_with('\\') {
        return Err(refused(program, "no name of a program on Windows"));
    }
    let mut line = format!("\"{program}\"");
    for word in &of.words {
        line.push(' ');
        line.push_str(&quoted(text(word)?));
    }
    Ok(line)
}

pub(super) fn install(of: &Installation, plan: &mut Plan) -> Result<(), InstallError> {
    let manifest = &of.manifest;
    let name = &manifest.name;
    if !of.environment.is_empty() {
        return Err(refused(
            "variables",
            "a service of Windows takes its variables from the registry; set them there",
        ));
    }
    if of.group.is_some() {
        return Err(refused(
            "a group",
            "a service of Windows runs as a user, without a group of its own",
        ));
    }
    let image = image_path(of)?;
    // An account of the service's own, that nobody can log in to. LocalSystem would be the default, which may do anything.
    let account = of.user().map_or_else(
        || format!("NT SERVICE\\{name}"),
        |user| format!(".\\{user}"),
    );
    let title = text(manifest.title.as_ref())?;
    let description = text(manifest.description.as_ref())?;
    let mut run = |argv: &[&str]| plan.steps.push(Step::Run(Command::new(argv)));
    let mut create = vec![
        "sc.exe", "create", name, "type=", "own", "start=", "auto", "error=", "normal",
    ];
    create.extend(["binPath=", &image, "obj=", &account, "DisplayName=", title]);
    if manifest.needs.has_network() {
        create.extend(["depend=", "Tcpip"]);
    }
    run(&create);
    run(&["sc.exe", "description", name, description]);
    run(&[
        "sc.exe",
        "failure",
        name,
        "reset=",
        "86400",
        "actions=",
        "restart/1000/restart/5000/restart/60000",
    ]);
    // Also when it ends by itself with an error.
    run(&["sc.exe", "failureflag", name, "1"]);
    // No rights beyond those of its account.
    run(&["sc.exe", "sidtype", name, "unrestricted"]);
    let key = format!("HKLM\\SYSTEM\\CurrentControlSet\\Services\\{name}");
    let most = (manifest.stop_timeout.as_millis() + 5000).to_string();
    run(&[
        "reg.exe",
        "add",
        &key,
        "/v",
        "PreshutdownTimeout",
        "/t",
        "REG_DWORD",
        "/d",
        &most,
        "/f",
    ]);
    if of.user().is_some() {
        plan.notes
            .push("the account's password must be set: sc.exe config … password= …".to_owned());
    }
    if of.sockets && !manifest.sockets.is_empty() {
        plan.notes
            .push("Windows opens no sockets: the service binds them itself".to_owned());
    }
    Ok(())
}

pub(super) fn retire(of: &Installation) -> (Vec<Command>, Vec<Step>) {
    let name = &of.manifest.name;
    let first = vec![
        Command::new(["sc.exe", "stop", name]).tried(),
        Command::new(["sc.exe", "delete", name]),
    ];
    (first, Vec::new())
}

pub(super) fn control(of: &Installation, action: Action) -> Result<Vec<Command>, InstallError> {
    let name = &of.manifest.name;
    let run = |argv: &[&str]| Ok(vec![Command::new(argv)]);
    match action {
        Action::Start => run(&["sc.exe", "start", name]),
        Action::Stop => run(&["sc.exe", "stop", name]),
        // sc.exe does not wait for a stop, so a start right behind it would be refused.
        Action::Restart => Err(refused(
            "restart",
            "sc.exe has no restart; stop it, and start it when it has stopped",
        )),
        // SERVICE_CONTROL_PARAMCHANGE.
        Action::Reload => run(&["sc.exe", "control", name, "paramchange"]),
        Action::Status => run(&["sc.exe", "query", name]),
        Action::Install | Action::Remove => Ok(Vec::new()),
    }
}
