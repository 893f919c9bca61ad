//! Services that do what the tests need, each a `main` of its own.

use eudaemon::needs::{Needs, Preset};
use eudaemon::options::SandboxMode;
use eudaemon::privileges::{Capability, Set, Step};
use eudaemon::{Builder, Error, Event, Exit, Handle, Manifest, Result, Runnable, Running};
use eudaemon_core::words::Signal;
use std::ffi::OsStr;
use std::io::{Read, Write};
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Where the test and its role meet: a directory.
pub fn folder() -> std::path::PathBuf {
    std::env::var_os(super::stage::FOLDER)
        .expect("the stage sets it")
        .into()
}

/// Says something to the test.
pub fn note(name: &str, text: impl AsRef<[u8]>) {
    let folder = folder();
    let fresh = folder.join(format!(".{name}"));
    std::fs::write(&fresh, text).expect("the test's own directory");
    std::fs::rename(fresh, folder.join(name)).expect("the test's own directory");
}

/// Waits until the test says something.
fn heard(name: &str) {
    let path = folder().join(name);
    while !path.exists() {
        std::thread::yield_now();
    }
}

fn reloading(name: &str) -> Builder {
    let mut manifest = Manifest::new(name);
    manifest.reloads = true;
    Builder::of(manifest)
}

/// Its `init` gives something up by itself, and asks for something.
fn meddles(asks: &'static [Capability]) -> ExitCode {
    Builder::new("meddles").run(|cx| {
        let reboot = Set::EMPTY.with(Capability::SysBoot);
        eudaemon_sys::privilege::perform(&Step::Bounding(reboot))?;
        asks.iter().for_each(|one| cx.keep_capability(*one));
        Ok(|cx: Running| {
            cx.ready();
            cx.stop().wait();
            Ok(())
        })
    })
}

pub fn play(role: &OsStr) -> ExitCode {
    match role.to_str().expect("ours") {
        "plain" => Builder::new("plain").run(|_| {
            Ok(|cx: Running| {
                cx.status("at work");
                cx.ready();
                cx.ready();
                cx.stop().wait();
                note("stopped", "");
                Ok(())
            })
        }),
        "reload" => reloading("reload").run(|_| {
            Ok(|mut cx: Running| {
                cx.ready();
                let mut done = 0;
                while let Event::Reload(reload) = cx.wait() {
                    if Path::new(&folder().join("wrong")).exists() {
                        reload.failed("line 3: no such thing");
                    } else if Path::new(&folder().join("silent")).exists() {
                        reload.done();
                    } else {
                        done += 1;
                        cx.status(format_args!("reloaded {done}"));
                        reload.done();
                    }
                }
                Ok(())
            })
        }),
        // The reload of a thread of its own, which panics the first time.
        "reload-thread" => Builder::new("reload-thread").run(|_| {
            Ok(|cx: Running| {
                cx.on_reload(|| {
                    heard("go");
                    Ok(())
                })?;
                cx.ready();
                cx.stop().wait();
                Ok(())
            })
        }),
        // The first reload takes as long as nobody writes to a FIFO, and uses no processor meanwhile.
        "reload-asleep" => Builder::new("reload-asleep").run(|_| {
            Ok(|cx: Running| {
                let mut fifo = Some(folder().join("fifo"));
                cx.on_reload(move || {
                    fifo.take().map(std::fs::read).transpose()?;
                    Ok(())
                })?;
                cx.ready();
                cx.stop().wait();
                Ok(())
            })
        }),
        "runnable" => reloading("runnable").start(|_| Ok(Machine)),
        "future" => Builder::new("future").run_async(|_| {
            Ok(|mut cx: Running| async move {
                cx.ready();
                while let Event::Reload(reload) = cx.next_event().await {
                    reload.done();
                }
                cx.stop().cancelled().await;
                Ok(())
            })
        }),
        // Started, and says so when it is told to: what comes in between is the test's.
        "slow-init" => Builder::new("slow-init").run(|cx| {
            note("begun", "");
            heard("go");
            note("asked", cx.is_stop_asked().to_string());
            Ok(|cx: Running| {
                cx.ready();
                cx.stop().wait();
                note("stopped", "");
                Ok(())
            })
        }),
        "init-fails" => Builder::new("init-fails").run(|_| {
            let gone: std::io::Result<()> = Err(std::io::Error::from_raw_os_error(98));
            gone.map_err(|error| Error::from(error).during("unable to listen at [::]:80"))?;
            Ok(|_: Running| Ok(()))
        }),
        "config-fails" => Builder::new("config-fails")
            .checked(Err(Error::config("web.toml:3: no such thing")))
            .run(|_| Ok(|_: Running| Ok(()))),
        "init-panics" => Builder::new("init-panics")
            .run(|_| -> Result<fn(Running) -> Result<()>> { panic!("a slip of the author") }),
        "run-fails" => Builder::new("run-fails").run(|_| {
            Ok(|cx: Running| {
                cx.ready();
                Err(Error::new(Exit::Temporary, "the disk is full"))
            })
        }),
        "worker-panics" => Builder::new("worker-panics").run(|_| {
            Ok(|cx: Running| {
                cx.ready();
                cx.spawn("counter", |_| panic!("out of numbers"))?;
                cx.stop().wait();
                Ok(())
            })
        }),
        // Never ends, whatever it is told.
        "stubborn" => Builder::new("stubborn").run(|_| {
            Ok(|cx: Running| {
                cx.ready();
                loop {
                    std::thread::park();
                }
            })
        }),
        // Stops in time, but for a task that never ends.
        "stubborn-task" => Builder::new("stubborn-task").run_async(|_| {
            Ok(|cx: Running| async move {
                cx.spawn("a task", |_| {
                    loop {
                        std::thread::park();
                    }
                })?;
                cx.ready();
                cx.stop().cancelled().await;
                // The runtime waits for this one.
                let deadline = cx.stop().deadline().expect("it is to stop");
                while Instant::now() < deadline {
                    std::thread::yield_now();
                }
                Ok(())
            })
        }),
        // Serves, and hangs in it.
        "hangs" => Builder::new("hangs").run(|_| {
            Ok(|cx: Running| {
                let lease = cx.health().lease("work", Duration::from_millis(500));
                cx.ready();
                lease.beat();
                loop {
                    std::thread::park();
                }
            })
        }),
        // Speaks to a manager that may not hear.
        "holds" => Builder::new("holds").run(|cx| {
            let listener = cx.tcp_listener("holds", "127.0.0.1:0")?;
            note("port", listener.local_addr()?.port().to_string());
            Ok(move |cx: Running| {
                cx.ready();
                cx.serve(&listener, |mut client, _| {
                    // Until it is gone, nothing is given back.
                    std::thread::spawn(move || {
                        let _ = client.write_all(b"x");
                        client.read_to_end(&mut Vec::new())
                    });
                })
            })
        }),
        "speaks" => Builder::new("speaks").run(|_| {
            Ok(|cx: Running| {
                let stop = cx.stop().clone();
                cx.spawn("ear", move |_| {
                    stop.wait();
                    note("stopping", "");
                    Ok(())
                })?;
                note("begun", "");
                cx.ready();
                cx.stop().wait();
                Ok(())
            })
        }),
        "last-words" => Builder::new("last-words").run(|_| {
            Ok(|cx: Running| {
                cx.ready();
                cx.stop().wait();
                cx.status("drained");
                Ok(())
            })
        }),
        // Callbacks that do what they must not: each stops the attendant, if it lets them.
        "callbacks" => Builder::new("callbacks").run(|_| {
            Ok(|cx: Running| {
                let handle = cx.handle();
                cx.on_signal(Signal::Usr1, move || {
                    let given = handle.clone();
                    let asked = handle.on_signal(Signal::Usr2, move || {
                        given.status("told to end");
                        given.request_stop();
                    });
                    asked.expect("it is free");
                    note("asked", "");
                })?;
                cx.on_signal(Signal::Winch, || panic!("out of columns"))?;
                cx.ready();
                cx.stop().wait();
                Ok(())
            })
        }),
        "confined" => Builder::new("confined").run(|cx| {
            let inside = cx.options().chroot.clone();
            Ok(move |cx: Running| {
                let threads = (0..3).map(|_| {
                    cx.spawn("one of three", |cx| {
                        cx.stop().wait();
                        Ok(())
                    })
                });
                let threads: Vec<_> = threads.collect();
                // Behind a changed root there is no /proc to ask.
                if inside.is_none() {
                    assert_eq!(cx.proof().verify_again()?, 5);
                }
                let path = inside.map(|chroot| cx.path(chroot.path.join("etc/x")));
                let path = path.map(|path| path.map(|path| path.as_path().to_owned()));
                cx.status(format_args!("{path:?}"));
                cx.ready();
                cx.stop().wait();
                drop(threads);
                Ok(())
            })
        }),
        "filtered" => {
            let mut manifest = Manifest::new("filtered");
            manifest.needs = Needs::serving(8080, Preset::NetworkServer);
            manifest.sandbox = SandboxMode::BestEffort;
            Builder::of(manifest).run(|_| {
                Ok(|cx: Running| {
                    cx.ready();
                    cx.stop().wait();
                    Ok(())
                })
            })
        }
        "meddles" => meddles(&[]),
        "meddles-asks" => meddles(&[Capability::NetRaw]),
        "crowded" => Builder::new("crowded").run(|_| {
            std::thread::spawn(std::thread::park);
            Ok(|_: Running| Ok(()))
        }),
        "progress" => Builder::new("progress").run(|cx| {
            cx.progress("migrating", Duration::from_secs(30));
            Ok(|cx: Running| {
                let mut progress = cx.progress(Duration::from_secs(40));
                for part in 0..1000 {
                    progress.step(format_args!("part {part}"));
                }
                cx.ready();
                cx.stop().wait();
                Ok(())
            })
        }),
        other => super::handed::play(other).unwrap_or_else(|| super::surroundings::play(other)),
    }
}

struct Machine;

impl Runnable for Machine {
    fn start(&mut self, cx: &Handle) -> Result<()> {
        cx.status("started");
        Ok(())
    }

    fn stop(&mut self, deadline: Instant) -> Result<()> {
        let rest = deadline.saturating_duration_since(Instant::now());
        note("rest", rest.as_secs().to_string());
        Ok(())
    }
}
