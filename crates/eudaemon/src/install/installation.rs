//! What is made known: the service, its program, and what an administrator decides.

use super::plan::{Command, Plan, Step};
use super::target::Target;
use super::{InstallError, deed, directory, launchd, openrc, rcd, sockets, systemd, windows};
use crate::{Activation, Manifest};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// The search path of a system's programs when the environment has none.
const SEARCH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A service and how it is to be started. What is not set follows from the manifest.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Installation {
    /// What the service says of itself.
    pub manifest: Manifest,
    /// The program, by an absolute path.
    pub program: PathBuf,
    /// The words behind the program.
    pub words: Vec<OsString>,
    /// The user it runs as. `None`: the manifest's; if it has none either, one that systemd or Windows makes up, and the
    /// other managers are refused.
    pub user: Option<String>,
    /// Its group. `None`: the user's own.
    pub group: Option<String>,
    /// Variables for its environment.
    pub environment: Vec<(String, OsString)>,
    /// Whether the manager opens the manifest's sockets, where it can. Default: yes.
    pub sockets: bool,
    /// How many descriptors systemd keeps for it across restarts. Default: none.
    pub descriptor_store: Option<u32>,
    /// Where the files go: `/`, or the root of a package or an image, where no program is run. Default: `/`.
    pub root: PathBuf,
    /// The search path for the manager's programs.
    pub search: OsString,
}

impl Installation {
    /// Of a service whose program is at this absolute path.
    #[must_use]
    pub fn new(manifest: Manifest, program: impl Into<PathBuf>) -> Installation {
        Installation {
            manifest,
            program: program.into(),
            words: Vec::new(),
            user: None,
            group: None,
            environment: Vec::new(),
            sockets: true,
            descriptor_store: None,
            root: PathBuf::from("/"),
            search: OsString::from(SEARCH),
        }
    }

    /// Of the service whose program this process runs: its path as it was called by, so that a newer version put there is
    /// started next time, and its search path.
    ///
    /// # Errors
    /// [`InstallError::Program`], when the program cannot be found by the name it was called by.
    pub fn of(manifest: Manifest, activation: &Activation) -> Result<Installation, InstallError> {
        let search = activation
            .variable("PATH")
            .map_or_else(|| OsString::from(SEARCH), OsStr::to_owned);
        let running = std::env::current_exe().unwrap_or_default();
        let called = activation.words().first().map(OsString::as_os_str);
        let program = program(called, activation.directory(), &search, &running)?;
        let mut installation = Installation::new(manifest, program);
        installation.search = search;
        Ok(installation)
    }

    /// The user that was named, here or by the manifest.
    pub(super) fn user(&self) -> Option<&str> {
        self.user.as_deref().or(self.manifest.user.as_deref())
    }

    /// What makes the service known to this manager.
    ///
    /// # Errors
    /// When the manager's files cannot say what the service is; nothing is approximated.
    pub fn plan(&self, target: &Target) -> Result<Plan, InstallError> {
        self.check(target)?;
        let mut plan = Plan::new(&self.root, &self.search);
        match target {
            Target::Systemd { version } => systemd::install(self, &mut plan, *version, None)?,
            Target::SystemdUser { version, home } => {
                systemd::install(self, &mut plan, *version, Some(home))?
            }
            Target::Daemontools { scan, control } => {
                directory::install(self, &mut plan, scan, *control)?
            }
            Target::Launchd => launchd::install(self, &mut plan)?,
            Target::OpenRc => openrc::install(self, &mut plan)?,
            Target::RcD => rcd::install(self, &mut plan)?,
            Target::Windows => windows::install(self, &mut plan)?,
        }
        Ok(plan)
    }

    /// What makes the service unknown again: the reverse of [`Installation::plan`]. What the service itself wrote stays, and so
    /// do an administrator's own files, such as `NAME.service.d`. It takes no user, also where installing does. What stays in a
    /// service directory is told by a note; for that it is looked at.
    ///
    /// # Errors
    /// As [`Installation::plan`]; and when a service directory that is there cannot be read.
    pub fn removal(&self, target: &Target) -> Result<Plan, InstallError> {
        // Files of ours are known by their sums, whoever they let the service run as: any user will do here.
        let mut whoever = self.clone();
        whoever.user = self.user().or(Some("root")).map(str::to_owned);
        let installed = whoever.plan(target)?;
        let mut plan = Plan::new(&self.root, &self.search);
        let (first, last) = match target {
            Target::Systemd { .. } => systemd::retire(self, false)?,
            Target::SystemdUser { .. } => systemd::retire(self, true)?,
            Target::Daemontools { scan, control } => directory::retire(self, scan, *control),
            Target::Launchd => launchd::retire(self),
            Target::OpenRc => openrc::retire(self),
            Target::RcD => rcd::retire(self),
            Target::Windows => windows::retire(self),
        };
        plan.steps.extend(first.into_iter().map(Step::Run));
        // What was written last is what makes it known: that goes first.
        let files: Vec<_> = installed.files().cloned().collect();
        plan.steps.extend(files.into_iter().rev().map(Step::Remove));
        plan.steps.extend(last);
        plan.settle = installed.settle;
        if let Target::Daemontools { .. } = target {
            directory::say_what_stays(self, &mut plan)?;
        }
        Ok(plan)
    }

    /// What asks the manager: to start, to stop, to reload, or how it is.
    pub(super) fn control(
        &self,
        target: &Target,
        action: super::Action,
    ) -> Result<Vec<Command>, InstallError> {
        self.check(target)?;
        match target {
            Target::Systemd { .. } => systemd::control(self, action, false),
            Target::SystemdUser { .. } => systemd::control(self, action, true),
            Target::Daemontools { scan, control } => {
                Ok(directory::control(self, scan, *control, action))
            }
            Target::Launchd => Ok(launchd::control(self, action)),
            Target::OpenRc => Ok(openrc::control(self, action)),
            Target::RcD => Ok(rcd::control(self, action)),
            Target::Windows => windows::control(self, action),
        }
    }

    fn check(&self, target: &Target) -> Result<(), InstallError> {
        let name = &self.manifest.name;
        let good = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        // 100 leaves room for what managers add. Source: systemd.unit(5): at most 255 with the suffix.
        if name.is_empty() || name.len() > 100 || name.starts_with('-') || !name.bytes().all(good) {
            return Err(InstallError::Name(name.clone()));
        }
        let wrong = |why| {
            Err(InstallError::Program {
                path: self.program.clone(),
                why,
            })
        };
        if *target != Target::Windows && !self.program.is_absolute() {
            return wrong("the program's path is not absolute");
        }
        if self.program.as_os_str().as_bytes().ends_with(b"/") {
            return wrong("a directory is no program");
        }
        let words = self.words.iter().map(OsString::as_os_str);
        let texts = words.chain([self.program.as_os_str()]);
        let values = self.environment.iter().map(|(_, value)| value.as_os_str());
        if texts.chain(values).any(|text| text.as_bytes().contains(&0)) {
            return wrong("a word or a variable with a NUL cannot be passed to a program");
        }
        for (name, _) in &self.environment {
            let first = |byte: u8| byte.is_ascii_alphabetic() || byte == b'_';
            let rest = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
            if !name.bytes().next().is_some_and(first) || !name.bytes().all(rest) {
                return Err(InstallError::Inexpressible {
                    what: format!("{name:?}"),
                    why: "letters, digits and '_' name a variable",
                });
            }
        }
        for account in [self.user(), self.group.as_deref()].into_iter().flatten() {
            check_account(account)?;
        }
        sockets::groups(&self.manifest).map(|_checked| ())
    }

    /// For managers that make up no user: the words that let the program, started by root, become the one it was told. The
    /// manifest's own it becomes unasked.
    ///
    /// # Errors
    /// When there is none: it would stay root.
    pub(super) fn own_drop(&self, manager: &'static str) -> Result<Vec<OsString>, InstallError> {
        let Some(user) = self.user() else {
            return Err(InstallError::Inexpressible {
                what: format!("{} without a user", self.manifest.name),
                why: manager,
            });
        };
        let mut words = Vec::new();
        if self.user.is_some() {
            words.push(format!("--service.uid={user}").into());
        }
        if let Some(group) = &self.group {
            words.push(format!("--service.gid={group}").into());
        }
        Ok(words)
    }
}

/// Names of accounts that every manager understands. Source: `systemd.exec(5)`, "User=", whose strict rules these are, and
/// `useradd(8)`.
fn check_account(name: &str) -> Result<(), InstallError> {
    let number = name.bytes().all(|byte| byte.is_ascii_digit());
    let first = |byte: u8| byte.is_ascii_alphabetic() || byte == b'_';
    let rest = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    let word = name.bytes().next().is_some_and(first) && name.bytes().all(rest);
    if !name.is_empty() && name.len() <= 31 && (number || word) {
        return Ok(());
    }
    Err(InstallError::Inexpressible {
        what: format!("{name:?}"),
        why: "letters, digits, '_' and '-' name an account, 31 at most; or its number",
    })
}

/// Where the program is that this process runs: by the name it was called by, if that is the same file or the one that
/// replaced it. `/proc/self/exe` alone would name a replaced program `… (deleted)`, and a link's goal instead of the link.
fn program(
    called: Option<&OsStr>,
    directory: Option<&Path>,
    search: &OsStr,
    running: &Path,
) -> Result<PathBuf, InstallError> {
    let wrong = |path: &Path, why| InstallError::Program {
        path: path.to_owned(),
        why,
    };
    let replaced = running.as_os_str().as_bytes().ends_with(b" (deleted)") && !running.exists();
    let same = |path: &Path| match (fs::metadata(path), fs::metadata(running)) {
        (Ok(one), Ok(other)) => (one.dev(), one.ino()) == (other.dev(), other.ino()),
        (Ok(_), Err(_)) => replaced,
        (Err(_), _) => false,
    };
    let called = called.filter(|word| !word.is_empty()).and_then(|word| {
        match word.as_bytes().contains(&b'/') {
            true => Some(directory.map_or_else(|| PathBuf::from(word), |at| at.join(word))),
            false => deed::found(word, search),
        }
    });
    if let Some(called) = called.map(|path| tidied(&path))
        && called.is_absolute()
        && same(&called)
    {
        return Ok(called);
    }
    if replaced {
        return Err(wrong(
            running,
            "the program was replaced or deleted while it ran: call the new one",
        ));
    }
    match running.is_absolute() && running.exists() {
        true => Ok(running.to_owned()),
        false => Err(wrong(running, "where this program is cannot be found out")),
    }
}

/// Without `.` parts. `..` stays: behind a link it is not what it seems.
fn tidied(path: &Path) -> PathBuf {
    path.components().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn called(word: &str, at: &Path, running: &Path) -> Result<PathBuf, InstallError> {
        program(
            Some(OsStr::new(word)),
            Some(at),
            at.join("bin").as_os_str(),
            running,
        )
    }

    #[test]
    fn a_program_is_known_by_the_name_it_was_called_by() {
        let at = std::env::temp_dir().join(format!("eudaemon-program-{}", std::process::id()));
        let real = at.join("bin/web-1.2");
        fs::create_dir_all(at.join("bin")).unwrap();
        for name in ["web-1.2", "other"] {
            let path = at.join("bin").join(name);
            fs::write(&path, name).unwrap();
            fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755))
                .unwrap();
        }
        symlink("web-1.2", at.join("bin/web")).unwrap();
        for word in ["web", "./bin/web", "bin/./web"] {
            assert_eq!(
                called(word, &at, &real).unwrap(),
                at.join("bin/web"),
                "{word}"
            );
        }
        // A name that lies is not believed.
        assert_eq!(called("other", &at, &real).unwrap(), real);
        assert_eq!(called("-sh", &at, &real).unwrap(), real);
        // Replaced: the kernel's name for it is never used.
        let gone = at.join("bin/web-1.1 (deleted)");
        assert_eq!(called("web", &at, &gone).unwrap(), at.join("bin/web"));
        assert!(matches!(
            called("gone", &at, &gone),
            Err(InstallError::Program { .. })
        ));
        fs::remove_dir_all(&at).unwrap();
    }
}
