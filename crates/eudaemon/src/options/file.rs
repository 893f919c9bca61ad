//! The file of options.

use super::Setting;
use crate::{Activation, Result};
use std::path::PathBuf;

#[cfg(feature = "toml")]
pub(super) fn settings(
    name: &str,
    asked: Option<PathBuf>,
    from: &Activation,
) -> Result<Vec<Setting>> {
    read::settings(name, asked, from)
}

/// Without the feature no file is looked for, and one that is asked for is refused.
#[cfg(not(feature = "toml"))]
pub(super) fn settings(_: &str, asked: Option<PathBuf>, _: &Activation) -> Result<Vec<Setting>> {
    match asked {
        None => Ok(Vec::new()),
        Some(path) => Err(crate::Error::unsupported(format!(
            "unable to read {}: this program was built without the feature toml",
            path.display()
        ))),
    }
}

#[cfg(feature = "toml")]
mod read {
    use super::super::Source;
    use super::super::rows::{self, Kind};
    use super::Setting;
    use crate::{Activation, Context, Error, Exit, Result};
    use std::io::ErrorKind;
    use std::path::{Path, PathBuf};

    /// What the files say, the strongest first: drop-ins, the last one by name before the others; then the file.
    pub(super) fn settings(
        name: &str,
        asked: Option<PathBuf>,
        from: &Activation,
    ) -> Result<Vec<Setting>> {
        let mut found = Vec::new();
        for path in candidates(name, asked.as_deref(), from) {
            let Some(text) = text(&path, asked.is_some())? else {
                continue;
            };
            let beside = path.with_file_name(format!("{name}.conf.d"));
            for drop_in in drop_ins(&beside)? {
                if let Some(text) = self::text(&drop_in, true)? {
                    found.extend(parse(&drop_in, &text)?);
                }
            }
            found.extend(parse(&path, &text)?);
            break;
        }
        Ok(found)
    }

    /// Where a file may be; the first that is there counts.
    fn candidates(name: &str, asked: Option<&Path>, from: &Activation) -> Vec<PathBuf> {
        if let Some(path) = asked {
            return vec![path.into()];
        }
        let file = format!("{name}.toml");
        let mut paths = Vec::new();
        if eudaemon_sys::socket::own_uid() != 0 {
            let home = from
                .variable("HOME")
                .map(|home| Path::new(home).join(".config"));
            let own = from.variable("XDG_CONFIG_HOME").map(PathBuf::from).or(home);
            // A relative one would be somebody else's choice. Source: XDG Base Directory Specification, "must be absolute".
            paths.extend(
                own.filter(|own| own.is_absolute())
                    .map(|own| own.join(name).join(&file)),
            );
        }
        paths.push(Path::new("/etc").join(name).join(&file));
        paths.push(Path::new("/etc").join(&file));
        paths
    }

    /// The drop-ins of a directory, the strongest first; none if it is not there.
    fn drop_ins(directory: &Path) -> Result<Vec<PathBuf>> {
        let attempt = || format!("unable to read the directory {}", directory.display());
        let entries = match std::fs::read_dir(directory) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.during(attempt)?,
        };
        let mut paths = Vec::new();
        for entry in entries {
            let path = entry.during(attempt)?.path();
            if path
                .extension()
                .is_some_and(|extension| extension == "toml")
            {
                paths.push(path);
            }
        }
        paths.sort();
        paths.reverse();
        Ok(paths)
    }

    fn text(path: &Path, must: bool) -> Result<Option<String>> {
        match std::fs::read_to_string(path) {
            Err(error) if !must && is_nowhere(path, &error) => Ok(None),
            Err(error) => Err(Error::from(error)
                .class(Exit::Config)
                .during(format!("unable to read {}", path.display()))),
            Ok(text) => Ok(Some(text)),
        }
    }

    /// Whether the error says that there is no such file, rather than that it cannot be read. A user's own directory of
    /// configuration may be anywhere: `HOME` is `/dev/null` for some accounts, and root's for who was made a user by setuidgid(8).
    fn is_nowhere(path: &Path, error: &std::io::Error) -> bool {
        let kind = error.kind();
        let is_closed = matches!(kind, ErrorKind::NotADirectory | ErrorKind::PermissionDenied);
        kind == ErrorKind::NotFound || (is_closed && !path.starts_with("/etc"))
    }

    /// The section `[service]`; other sections are the service's own.
    fn parse(path: &Path, text: &str) -> Result<Vec<Setting>> {
        let wrong = |words: String| Err(Error::config(format!("{}: {words}", path.display())));
        let table = match text.parse::<toml::Table>() {
            Ok(table) => table,
            // Its own words show the line and a caret.
            Err(error) => return wrong(error.to_string().trim_end().to_owned()),
        };
        let service = match table.get("service") {
            None => return Ok(Vec::new()),
            Some(toml::Value::Table(service)) => service,
            Some(_) => return wrong("service must be a section: [service]".to_owned()),
        };
        let mut found = Vec::new();
        for (key, value) in service {
            let Some(row) = rows::find(key).filter(|row| row.kind != Kind::Once) else {
                return wrong(format!("service.{key} is no option that a file can set"));
            };
            let value = match value {
                toml::Value::String(text) => text.clone(),
                // TOML's own octal form, `0o027`, must not be read as decimal.
                toml::Value::Integer(number) if row.name == "umask" => format!("{number:o}"),
                toml::Value::Integer(number) => number.to_string(),
                toml::Value::Boolean(is) => is.to_string(),
                toml::Value::Array(list) => {
                    let words: Option<Vec<&str>> = list.iter().map(toml::Value::as_str).collect();
                    match words {
                        Some(words) => words.join(","),
                        None => return wrong(format!("service.{key} must be a list of texts")),
                    }
                }
                toml::Value::Float(_) | toml::Value::Datetime(_) | toml::Value::Table(_) => {
                    return wrong(format!(
                        "service.{key} must be a text, a number or a boolean"
                    ));
                }
            };
            found.push(Setting {
                name: row.name,
                value: value.into(),
                source: Source::File(path.into()),
            });
        }
        Ok(found)
    }
}
