//! The options, understood.

use super::{Layers, Setting, Source};
use crate::install::Action;
use crate::logging::{LEVELS, Level, LogTarget};
use crate::{Capability, Error, Manifest, Result};
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

/// How much the sandbox may fail to give.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum SandboxMode {
    /// There is none.
    #[default]
    Off,
    /// What the kernel gives; the rest is reported.
    BestEffort,
    /// Everything, or the service does not start.
    Require,
}

impl fmt::Display for SandboxMode {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str(match self {
            SandboxMode::Off => "off",
            SandboxMode::BestEffort => "best-effort",
            SandboxMode::Require => "require",
        })
    }
}

impl FromStr for SandboxMode {
    type Err = String;

    fn from_str(text: &str) -> Result<SandboxMode, String> {
        match text {
            "off" => Ok(SandboxMode::Off),
            "best-effort" => Ok(SandboxMode::BestEffort),
            "require" => Ok(SandboxMode::Require),
            _ => Err("off, best-effort or require".to_owned()),
        }
    }
}

/// The directory a service is locked into.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Chroot {
    /// An absolute path; not `/`.
    pub path: PathBuf,
    /// Somebody asked for it. One that only the manifest names is left out, and that is said, where it cannot be had: for a
    /// start that is not root's.
    pub is_asked: bool,
}

/// Every option's meaning, after all sources.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Options {
    /// `chroot`.
    pub chroot: Option<Chroot>,
    /// `daemon`, and `fork`, which implies it.
    pub daemon: bool,
    /// `fork`: leave the shell by executing the program again.
    pub fork: bool,
    /// `stderr`: keep standard error when leaving the shell.
    pub stderr: bool,
    /// `uid`.
    pub user: Option<String>,
    /// Whether somebody asked for that user, or only the manifest names it.
    pub is_user_asked: bool,
    /// `gid`.
    pub group: Option<String>,
    /// `pidfile`.
    pub pidfile: Option<PathBuf>,
    /// `do`.
    pub action: Option<Action>,
    /// `target`.
    pub target: Option<String>,
    /// `dry-run`.
    pub dry_run: bool,
    /// `force`.
    pub force: bool,
    /// `cpuprofile`, as it was written.
    pub cpuprofile: Option<String>,
    /// `debugserveraddr`.
    pub debug_address: Option<String>,
    /// `debug-public`.
    pub debug_public: bool,
    /// `umask`. `None`: 027 when the service leaves the shell, else as it was found.
    pub umask: Option<u32>,
    /// `keep-caps`. What the manifest needs is kept beside them when root becomes another user.
    pub keep_caps: Vec<Capability>,
    /// `no-new-privs`.
    pub no_new_privs: bool,
    /// `sandbox`.
    pub sandbox: SandboxMode,
    /// `watchdog`.
    pub watchdog: bool,
    /// `notify-fd`.
    pub notify_fd: Option<u32>,
    /// `ready-file`.
    pub ready_file: Option<PathBuf>,
    /// `stop-timeout`.
    pub stop_timeout: Duration,
    /// `log`.
    pub log: LogTarget,
    /// `log-level`. A manager that asks for all there is to know gets that.
    pub log_level: Level,
    /// `control`.
    pub control: Option<PathBuf>,
    /// `check-config`.
    pub check_config: bool,
    /// `explain`.
    pub explain: bool,
    /// Name, value and source of every option that has a value: what `--service.explain` and `/debug/config` show.
    pub settings: Vec<Setting>,
}

impl Options {
    /// Understands what was said.
    ///
    /// # Errors
    /// Every value that is not understood, in one error of class [`Exit::Config`](crate::Exit).
    pub(crate) fn understand(layers: &Layers, manifest: &Manifest) -> Result<Options> {
        let mut read = Reader {
            layers,
            problems: Vec::new(),
            settings: Vec::new(),
        };
        let fork = read.switch("fork", false);
        let daemon = read.switch("daemon", false);
        let chroot = read.chroot(manifest);
        let (user, is_user_asked) = read.user(manifest);
        let options = Options {
            chroot,
            daemon: daemon || fork,
            fork,
            stderr: read.switch("stderr", false),
            user,
            is_user_asked,
            group: read.value("gid", text),
            pidfile: read.value("pidfile", absolute),
            action: read.value("do", action),
            target: read.value("target", text),
            dry_run: read.switch("dry-run", false),
            force: read.switch("force", false),
            cpuprofile: read.value("cpuprofile", profile),
            debug_address: read.value("debugserveraddr", text),
            debug_public: read.switch("debug-public", false),
            umask: read.value("umask", mode),
            keep_caps: read.value("keep-caps", capabilities).unwrap_or_default(),
            no_new_privs: read.switch("no-new-privs", true),
            sandbox: read.sandbox(manifest),
            watchdog: read.value("watchdog", watchdog).unwrap_or(true),
            notify_fd: read.value("notify-fd", descriptor),
            ready_file: read.value("ready-file", absolute),
            stop_timeout: read.time("stop-timeout", manifest.stop_timeout),
            log: read.value("log", target).unwrap_or_default(),
            log_level: read.value("log-level", level).unwrap_or(Level::Info),
            control: read.value("control", absolute),
            check_config: read.switch("check-config", false),
            explain: read.switch("explain", false),
            settings: Vec::new(),
        };
        let settings = std::mem::take(&mut read.settings);
        read.together(&options);
        match read.problems.as_slice() {
            [] => Ok(Options {
                settings,
                ..options
            }),
            problems => Err(Error::config(problems.join("\n"))),
        }
    }
}

/// Reads one option after the other, and collects what is wrong with them.
struct Reader<'a> {
    layers: &'a Layers,
    problems: Vec<String>,
    settings: Vec<Setting>,
}

impl Reader<'_> {
    fn value<T>(
        &mut self,
        name: &'static str,
        read: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let setting = self.layers.get(name)?;
        self.settings.push(setting.clone());
        let problem = |why: &dyn fmt::Display| {
            let value = setting.value.to_string_lossy();
            format!("service.{name} = {value:?} ({}): {why}", setting.source)
        };
        match setting.value.to_str() {
            None => self.problems.push(problem(&"is no UTF-8")),
            Some(text) => match read(text.trim()) {
                Ok(value) => return Some(value),
                Err(expected) => self
                    .problems
                    .push(problem(&format_args!("expected {expected}"))),
            },
        }
        None
    }

    fn switch(&mut self, name: &'static str, otherwise: bool) -> bool {
        let read = |text: &str| match text.to_ascii_lowercase().as_str() {
            "1" | "true" | "yes" | "on" => Ok(true),
            "0" | "false" | "no" | "off" => Ok(false),
            _ => Err("1, true, yes, on or 0, false, no, off".to_owned()),
        };
        self.value(name, read).unwrap_or(otherwise)
    }

    fn time(&mut self, name: &'static str, otherwise: Duration) -> Duration {
        self.value(name, duration).unwrap_or(otherwise)
    }

    fn manifest(&mut self, name: &'static str, value: &str) {
        self.settings.push(Setting {
            name,
            value: value.into(),
            source: Source::Manifest,
        });
    }

    fn chroot(&mut self, manifest: &Manifest) -> Option<Chroot> {
        let (path, is_asked) = match self.value("chroot", absolute) {
            Some(path) => (path, true),
            None => {
                let path = manifest.chroot.clone()?;
                self.manifest("chroot", &path.to_string_lossy());
                (path, false)
            }
        };
        (path != Path::new("/")).then_some(Chroot { path, is_asked })
    }

    fn sandbox(&mut self, manifest: &Manifest) -> SandboxMode {
        // One that is not understood is an error anyway.
        let said = self.layers.get("sandbox").is_some();
        let asked = self.value("sandbox", |text| text.parse());
        if !said && manifest.sandbox != SandboxMode::Off {
            self.manifest("sandbox", &manifest.sandbox.to_string());
        }
        asked.unwrap_or(manifest.sandbox)
    }

    fn user(&mut self, manifest: &Manifest) -> (Option<String>, bool) {
        if let Some(user) = self.value("uid", text) {
            return (Some(user), true);
        }
        if let Some(user) = &manifest.user {
            self.manifest("uid", user);
        }
        (manifest.user.clone(), false)
    }

    /// What no single value tells.
    fn together(&mut self, options: &Options) {
        if options.group.is_some() && options.user.is_none() {
            self.problems.push(
                "service.gid without service.uid: whoever keeps root's user keeps root's power; name a user too"
                    .to_owned(),
            );
        }
        if options
            .chroot
            .as_ref()
            .is_some_and(|chroot| chroot.is_asked)
            && options.user.is_none()
        {
            self.problems.push(
                "service.chroot without service.uid: root leaves a changed root as it likes; name a user too"
                    .to_owned(),
            );
        }
        if options.action.is_none()
            && (options.dry_run || options.force || options.target.is_some())
        {
            self.problems
                .push("service.dry-run, force and target belong to service.do".to_owned());
        }
        if options.debug_public && options.debug_address.is_none() {
            self.problems
                .push("service.debug-public belongs to service.debugserveraddr".to_owned());
        }
    }
}

fn text(text: &str) -> Result<String, String> {
    if text.is_empty() {
        return Err("something".to_owned());
    }
    Ok(text.to_owned())
}

fn action(text: &str) -> Result<Action, String> {
    text.parse()
        .map_err(|_| "install, remove, start, stop, restart, status or reload".to_owned())
}

fn target(text: &str) -> Result<LogTarget, String> {
    text.parse()
        .map_err(|_| "auto, journal, prefixed, human, syslog or file:PATH".to_owned())
}

fn level(text: &str) -> Result<Level, String> {
    let names = || format!("one of {}", LEVELS.map(Level::name).join(", "));
    Level::parse(text).ok_or_else(names)
}

fn absolute(text: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(text);
    if path.is_absolute() {
        Ok(path)
    } else {
        Err("an absolute path".to_owned())
    }
}

/// The rest of it is understood where the profile is.
fn profile(text: &str) -> Result<String, String> {
    absolute(text)
        .map(|_| text.to_owned())
        .map_err(|expected| format!("{expected}, and perhaps ,HZ,SECONDS"))
}

fn mode(text: &str) -> Result<u32, String> {
    let digits = text.strip_prefix("0o").unwrap_or(text);
    let is_octal = !digits.is_empty() && digits.bytes().all(|digit| (b'0'..=b'7').contains(&digit));
    u32::from_str_radix(digits, 8)
        .ok()
        .filter(|mode| is_octal && *mode <= 0o777)
        .ok_or_else(|| "an octal number from 0 to 777".to_owned())
}

fn descriptor(text: &str) -> Result<u32, String> {
    let number = text.parse().ok();
    number
        .filter(|number| (3..=1023).contains(number))
        .ok_or_else(|| "a number from 3 to 1023".to_owned())
}

fn watchdog(text: &str) -> Result<bool, String> {
    match text {
        "auto" => Ok(true),
        "off" => Ok(false),
        _ => Err("auto or off".to_owned()),
    }
}

fn capabilities(list: &str) -> Result<Vec<Capability>, String> {
    let words = list.split([',', ' ']).filter(|word| !word.is_empty());
    words
        .map(|word| {
            Capability::parse(word)
                .ok_or_else(|| format!("capabilities as in capabilities(7); {word:?} is none"))
        })
        .collect()
}

/// `30s`, `500ms`, `2m`, `1h`, or a number of seconds.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let at = text
        .find(|letter: char| !letter.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(at);
    let expected = || "a time above 0, as 30s, 500ms, 2m or 1h".to_owned();
    let number: u64 = number.parse().map_err(|_| expected())?;
    let millis = match unit {
        "ms" => Some(number),
        "" | "s" => number.checked_mul(1000),
        "m" | "min" => number.checked_mul(60_000),
        "h" => number.checked_mul(3_600_000),
        _ => None,
    };
    // Longer than a year is a slip, and would overflow somebody's clock.
    let millis = millis.filter(|millis| (1..=366 * 86_400_000).contains(millis));
    millis.map(Duration::from_millis).ok_or_else(expected)
}
