//! A service that reads its configuration again on HUP, and keeps the old one when the new one is wrong.
//!
//! `reload FILE`: the file holds the greeting that is logged once a minute.

use eudaemon::{Error, Event, Init, Manifest, Result, Running, Service};
use std::path::{Path, PathBuf};
use std::time::Duration;

#[derive(clap::Args)]
struct Config {
    /// Where the greeting is.
    file: PathBuf,
}

struct Greeter {
    file: PathBuf,
    greeting: String,
}

/// The whole configuration is read and checked before the old one is touched.
fn read(file: &Path) -> Result<String> {
    let text = std::fs::read_to_string(file)
        .map_err(|error| Error::from(error).during(format!("unable to read {}", file.display())))?;
    match text.trim() {
        "" => Err(Error::config(format!("{} is empty", file.display()))),
        greeting => Ok(greeting.to_owned()),
    }
}

impl Service for Greeter {
    type Config = Config;
    const NAME: &'static str = "greeter";

    fn manifest() -> Manifest {
        let mut manifest = Manifest::new(Self::NAME);
        manifest.reloads = true;
        manifest
    }

    fn check(config: &Config) -> Result<()> {
        read(&config.file).map(drop)
    }

    fn init(config: Config, _: &mut Init<'_>) -> Result<Greeter> {
        Ok(Greeter {
            greeting: read(&config.file)?,
            file: config.file,
        })
    }

    fn run(mut self, mut cx: Running) -> Result<()> {
        cx.status(&self.greeting);
        cx.ready();
        loop {
            match cx.wait_timeout(Duration::from_secs(60)) {
                None => cx.log().info(&self.greeting),
                Some(Event::Reload(reload)) => match read(&self.file) {
                    Ok(greeting) => {
                        self.greeting = greeting;
                        cx.status(&self.greeting);
                        reload.done();
                    }
                    Err(error) => reload.failed(error),
                },
                Some(_) => return Ok(()),
            }
        }
    }
}

fn main() -> std::process::ExitCode {
    eudaemon::main::<Greeter>()
}
