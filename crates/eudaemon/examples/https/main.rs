//! A web server whose restart nobody notices: HTTP/1.1 and HTTP/2, plain and over TLS.
//!
//! By hand it listens at 8080, and with `--cert FILE --key FILE` at 8443 too; under a manager at the sockets it is handed as
//! `http` and `https`, with the credentials `cert` and `key`. HUP reads its settings and certificates again; USR2 replaces the process.
//!
//! | path | answer |
//! |---|---|
//! | `/` | the greeting, and which process it is |
//! | `/bytes/N` | that many |
//! | `/slow/MS` | after so many milliseconds |

mod answers;
mod connection;
mod settings;

use answers::Answers;
use eudaemon::drain::Connections;
use eudaemon::handover::Handover;
use eudaemon::sockets::{Bound, Sockets};
use eudaemon::tls::Tls;
use eudaemon::{AsyncService, Error, Event, Init, Manifest, Result, Running};
use settings::Settings;
use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::task::JoinSet;

#[derive(clap::Args)]
struct Words {
    /// The file of settings: lines of `http = ADDRESS`, `https = ADDRESS`, `greeting = WORDS`.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The server's certificate and those that lead to a root, in PEM.
    #[arg(long, value_name = "FILE", requires = "key")]
    cert: Option<PathBuf>,
    /// Its key, in PEM.
    #[arg(long, value_name = "FILE", requires = "cert")]
    key: Option<PathBuf>,
}

/// A socket, and what is spoken at it.
struct Door {
    listener: Bound<TcpListener>,
    tls: Option<Tls>,
}

struct Web {
    words: Words,
    settings: Settings,
    tls: Option<Tls>,
    doors: Vec<Door>,
    /// How often the process was replaced.
    generation: u32,
}

impl AsyncService for Web {
    type Config = Words;
    const NAME: &'static str = "https";

    fn manifest() -> Manifest {
        Manifest::new(Self::NAME).reloading().replacing().storing()
    }

    fn check(words: &Words) -> Result<()> {
        Settings::read(words.config.as_deref()).map(drop)
    }

    fn init(words: Words, cx: &mut Init<'_>) -> Result<Web> {
        let settings = Settings::read(words.config.as_deref())?;
        let tls = match (&words.cert, &words.key) {
            (Some(cert), Some(key)) => Some(Tls::from_files(cert, key)?),
            _ if cx.credentials().get("cert")?.is_some() => {
                Some(Tls::from_credentials(cx.credentials(), "cert", "key")?)
            }
            _ => None,
        };
        let tls = tls.map(|tls| tls.alpn(["h2", "http/1.1"]));
        for remark in tls.iter().flat_map(Tls::remarks) {
            cx.log().warning(remark);
        }
        let doors = doors(&settings, tls.as_ref(), cx.sockets())?;
        Ok(Web {
            words,
            settings,
            tls,
            doors,
            generation: cx.handover().map_or(0, Handover::generation),
        })
    }

    async fn run(self, mut cx: Running) -> Result<()> {
        let answers = Arc::new(Answers::new(self.settings, self.generation));
        let connections = Connections::until(cx.stop());
        let mut serving = serve(self.doors, &connections, &answers)?;
        cx.ready();
        while let Event::Reload(reload) = cx.next_event().await {
            // All of the new is there before anything of the old is touched.
            let renew = || -> Result<_> {
                let settings = Settings::read(self.words.config.as_deref())?;
                let generation = cx.sockets().reset()?;
                let doors = doors(&settings, self.tls.as_ref(), &generation)?;
                self.tls.as_ref().map_or(Ok(()), Tls::reload)?;
                let renewed = serve(doors, &connections, &answers)?;
                generation.keep();
                answers.change(settings);
                Ok(renewed)
            };
            match renew() {
                Ok(renewed) => {
                    serving = renewed;
                    reload.done();
                }
                Err(error) => reload.failed(error),
            }
        }
        drop(serving);
        let left = connections.finish().await;
        if left > 0 {
            cx.log().warning(format_args!("{left} connections are cut"));
        }
        Ok(())
    }
}

/// Opens what is listened at: of what was handed over, or else of what the settings say.
fn doors(settings: &Settings, tls: Option<&Tls>, sockets: &Sockets) -> Result<Vec<Door>> {
    let handed = sockets.names();
    let is_wanted = |name: &str| !sockets.is_activated() || handed.iter().any(|one| one == name);
    let mut doors = Vec::new();
    let mut open = |name, address: &str, tls| -> Result<()> {
        if is_wanted(name) {
            let listener = sockets.get(name).or_bind(address).tcp_listener()?;
            doors.push(Door { listener, tls });
        }
        Ok(())
    };
    open("http", &settings.http, None)?;
    match tls {
        Some(tls) => open("https", &settings.https, Some(tls.clone()))?,
        // Left alone, its clients would wait for ever.
        None if handed.iter().any(|name| name == "https") => {
            return Err(Error::config("there is a socket https, and no certificate"));
        }
        None => {}
    }
    Ok(doors)
}

/// Accepts until the service is to stop, or what is returned is dropped.
fn serve(
    doors: Vec<Door>,
    connections: &Connections,
    answers: &Arc<Answers>,
) -> Result<JoinSet<Result<()>>> {
    let mut accepting = JoinSet::new();
    for Door { listener, tls } in doors {
        let listener = listener.into_tokio()?;
        let (connections, answers) = (connections.clone(), Arc::clone(answers));
        accepting.spawn(async move {
            while let Some((stream, connection)) = connections.accept(&listener).await? {
                let (tls, answers) = (tls.clone(), Arc::clone(&answers));
                tokio::spawn(connection::serve(stream, tls, connection, answers));
            }
            Ok(())
        });
    }
    Ok(accepting)
}

fn main() -> std::process::ExitCode {
    eudaemon::main_async::<Web>()
}
