//! Services that take another one's place.

use super::old::{FOLDER, Old, PROGRAM_ROLE, Told};
use eudaemon::{Builder, Error, Event, Exit, Manifest, Result, Running};
use eudaemon_core::handover::Item;
use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::ExitCode;

fn folder() -> PathBuf {
    std::env::var_os(FOLDER).expect("the stage sets it").into()
}

/// Says something to the test.
fn note(name: &str, text: impl AsRef<[u8]>) {
    let fresh = folder().join(format!(".{name}"));
    std::fs::write(&fresh, text).expect("the test's own directory");
    std::fs::rename(fresh, folder().join(name)).expect("the test's own directory");
}

pub fn play(role: &OsStr) -> ExitCode {
    match role.to_str().expect("ours") {
        "web" => {
            let mut manifest = Manifest::new("web");
            manifest.reloads = true;
            Builder::of(manifest).run(|cx| {
                let given = cx.handover();
                let generation = given.map_or(0, |given| given.generation());
                let state = given.and_then(|given| given.state()).unwrap_or_default();
                note("given", format!("{generation} {}", state.escape_ascii()));
                let address = format!("unix:{}", folder().join("web.sock").display());
                let web = cx.sockets().get("web").or_bind(&address).unix_listener()?;
                note("names", cx.sockets().names().join(" "));
                note("made", web.has_made_a_file().to_string());
                Ok(|mut cx: Running| {
                    cx.status("at work");
                    eprintln!("about to be ready");
                    cx.ready();
                    if cx.stop().is_set() {
                        return Ok(());
                    }
                    eprintln!("serving");
                    note("serving", cx.generation().to_string());
                    let mut reloads = 0;
                    while let Event::Reload(reload) = cx.wait() {
                        reloads += 1;
                        note("reloads", reloads.to_string());
                        reload.done();
                    }
                    drop(web);
                    Ok(())
                })
            })
        }
        // Claims nothing.
        "other" => Builder::new("other").run(|_| {
            Ok(|cx: Running| {
                cx.ready();
                note("serving", "");
                cx.stop().wait();
                Ok(())
            })
        }),
        "init-fails" => Builder::new("init-fails").run(|_| -> Result<fn(Running) -> Result<()>> {
            Err(Error::new(Exit::Unavailable, "the database is away"))
        }),
        "run-fails" => Builder::new("run-fails")
            .run(|_| Ok(|_: Running| Err(Error::new(Exit::Temporary, "the disk is full")))),
        // Both sides of the library: it is replaced by itself.
        "both" => {
            let mut manifest = Manifest::new("both").replacing();
            manifest.reloads = true;
            Builder::of(manifest).run(|cx| {
                let generation = cx.handover().map_or(0, |given| given.generation());
                if folder().join("wrong").exists() {
                    return Err(Error::config("web.toml:3: no such thing"));
                }
                let address = format!("unix:{}", folder().join("web.sock").display());
                let web = cx.sockets().get("web").or_bind(&address).unix_listener()?;
                note(&format!("begun-{generation}"), "");
                while generation > 0 && folder().join("slow").exists() {
                    std::thread::yield_now();
                }
                Ok(move |mut cx: Running| {
                    cx.status(format_args!("generation {generation}"));
                    cx.ready();
                    note(&format!("ready-{generation}"), "");
                    while let Event::Reload(reload) = cx.wait() {
                        note(&format!("reloading-{generation}"), "");
                        while folder().join("slow-reload").exists() {
                            std::thread::yield_now();
                        }
                        cx.status(format_args!("reloaded in {generation}"));
                        reload.done();
                    }
                    while folder().join("slow-drain").exists() {
                        std::thread::yield_now();
                    }
                    note(&format!("ended-{generation}"), "");
                    drop(web);
                    Ok(())
                })
            })
        }
        // An old process that dies when the new one is ready.
        "dying" => {
            let role = std::env::var(PROGRAM_ROLE).expect("the test sets it");
            let old = Old::start(&folder(), &role, &[]);
            old.hand(vec![(Item::Stderr, vec![&std::io::stderr()])]);
            assert_eq!(old.heard(), Told::Ready);
            note("child", old.pid().to_string());
            // Without a word, and without waiting for anybody.
            std::process::exit(0)
        }
        other => panic!("{other}?"),
    }
}
