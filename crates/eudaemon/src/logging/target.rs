//! The name of a place records go to.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// Where records go: what `--service.log` takes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum LogTarget {
    /// `auto`: where somebody reads them. See [`Log::open`](super::Log::open).
    #[default]
    Auto,
    /// `journal`: systemd's journal in its native form, by `/run/systemd/journal/socket`.
    Journal,
    /// `prefixed`: standard error, with `<N>` before each line for a reader that takes it off. Source: `sd-daemon(3)`.
    Prefixed,
    /// `human`: standard error, as text. A terminal and a file get the time (UTC), a terminal colour unless `NO_COLOR` is
    /// set; a program at the other end gets `level: message`.
    Human,
    /// `file:PATH`: this file, appended to, as text with the time; made with mode 0640. A relative path is below the
    /// directory the program was started in.
    File(PathBuf),
    /// `syslog`: `/dev/log`, facility daemon, in RFC 3164's form.
    Syslog,
}

/// No target has this name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownTarget(pub String);

impl fmt::Display for UnknownTarget {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            to,
            "no log is called {:?}: there are auto, journal, prefixed, human, syslog and file:PATH",
            self.0
        )
    }
}

impl std::error::Error for UnknownTarget {}

impl FromStr for LogTarget {
    type Err = UnknownTarget;

    fn from_str(text: &str) -> Result<LogTarget, UnknownTarget> {
        Ok(match text {
            "auto" => LogTarget::Auto,
            "journal" => LogTarget::Journal,
            "prefixed" => LogTarget::Prefixed,
            "human" => LogTarget::Human,
            "syslog" => LogTarget::Syslog,
            _ => match text.strip_prefix("file:") {
                Some(path) if !path.is_empty() => LogTarget::File(path.into()),
                Some(_) | None => return Err(UnknownTarget(text.to_owned())),
            },
        })
    }
}

impl fmt::Display for LogTarget {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LogTarget::Auto => to.write_str("auto"),
            LogTarget::Journal => to.write_str("journal"),
            LogTarget::Prefixed => to.write_str("prefixed"),
            LogTarget::Human => to.write_str("human"),
            LogTarget::File(path) => write!(to, "file:{}", path.display()),
            LogTarget::Syslog => to.write_str("syslog"),
        }
    }
}
