//! The file of settings.

use eudaemon::{Context, Error, Result};
use std::path::Path;

pub struct Settings {
    /// Where to listen if no manager hands over a socket `http`.
    pub http: String,
    /// The same for `https`, if there is a certificate.
    pub https: String,
    pub greeting: String,
}

impl Settings {
    /// Reads all of them, or says what is wrong; without a file they are the usual ones.
    pub fn read(file: Option<&Path>) -> Result<Settings> {
        let mut settings = Settings {
            http: "tcp:8080".to_owned(),
            https: "tcp:8443".to_owned(),
            greeting: "hello".to_owned(),
        };
        let Some(file) = file else {
            return Ok(settings);
        };
        let text = std::fs::read_to_string(file)
            .during(|| format!("unable to read {}", file.display()))?;
        for line in text.lines().map(str::trim) {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (name, value) = line.split_once('=').unwrap_or((line, ""));
            let value = value.trim().to_owned();
            match name.trim() {
                "http" => settings.http = value,
                "https" => settings.https = value,
                "greeting" => settings.greeting = value,
                other => {
                    let words = format!("{}: there is no setting {other:?}", file.display());
                    return Err(Error::config(words));
                }
            }
        }
        Ok(settings)
    }
}
