//! Pressure as a manager, or the kernel, tells it.
#![allow(clippy::disallowed_methods, reason = "starts mkfifo")]

use eudaemon::Activation;
use eudaemon::pressure::{Kind, Pressure, PressureError, Unnamed};
use std::io::{Read, Write};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;

fn scratch(name: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("eud-pressure-{name}-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&path);
    std::fs::create_dir(&path).expect("a new directory");
    path
}

fn open(pairs: &[(&str, &str)]) -> Result<Pressure, PressureError> {
    Pressure::open(&Activation::made(1, pairs.iter().copied()), Unnamed::Off)
}

#[test]
fn a_socket_gets_the_trigger_and_tells() {
    let dir = scratch("socket");
    let path = dir.join("memory");
    let listener = UnixListener::bind(&path).unwrap();
    let mut pressure = open(&[
        ("MEMORY_PRESSURE_WATCH", path.to_str().unwrap()),
        ("MEMORY_PRESSURE_WRITE", "Zm9v"),
        ("IO_PRESSURE_WATCH", "/dev/null"),
    ])
    .unwrap();
    assert!(pressure.has(Kind::Memory) && !pressure.has(Kind::Io) && !pressure.has(Kind::Cpu));
    let (mut stream, _) = listener.accept().unwrap();
    let mut trigger = [0; 3];
    stream.read_exact(&mut trigger).unwrap();
    assert_eq!(&trigger, b"foo");
    let (tell, told) = channel();
    let watching = pressure
        .watch(Kind::Memory, move || tell.send(()).unwrap())
        .unwrap();
    assert!(watching.is_some() && !pressure.has(Kind::Memory));
    assert!(pressure.watch(Kind::Io, || ()).unwrap().is_none());
    stream.write_all(b"x").unwrap();
    told.recv().unwrap();
    stream.write_all(b"x").unwrap();
    told.recv().unwrap();
    // The other end leaves: the thread ends by itself, and what it called with it.
    drop(stream);
    assert!(told.recv().is_err());
    drop(watching);
    std::fs::remove_dir_all(&dir).unwrap();
}

#[test]
fn a_fifo_tells_and_its_writer_may_leave() {
    let dir = scratch("fifo");
    let path = dir.join("cpu");
    let made = std::process::Command::new("mkfifo").arg(&path).status();
    assert!(made.unwrap().success());
    let mut pressure = open(&[("CPU_PRESSURE_WATCH", path.to_str().unwrap())]).unwrap();
    let (tell, told) = channel();
    let watching = pressure
        .watch(Kind::Cpu, move || tell.send(()).unwrap())
        .unwrap();
    for _ in 0..2 {
        let mut writer = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
        writer.write_all(b"xx").unwrap();
        drop(writer);
        told.recv().unwrap();
    }
    drop(watching);
    assert!(told.recv().is_err(), "dropping ends the thread");
    std::fs::remove_dir_all(&dir).unwrap();
}

#[test]
fn what_a_manager_names_and_is_not_there_is_an_error() {
    assert!(matches!(
        open(&[("IO_PRESSURE_WATCH", "/nonexistent")]),
        Err(PressureError::Open { .. })
    ));
    assert!(matches!(
        open(&[
            ("IO_PRESSURE_WATCH", "/dev/null"),
            ("IO_PRESSURE_WRITE", "?")
        ]),
        Err(PressureError::Trigger("IO_PRESSURE_WRITE"))
    ));
}

#[test]
fn the_kernel_tells() {
    let bare = Activation::made(1, [("", ""); 0]);
    let mut pressure = Pressure::open(&bare, Unnamed::Watched).unwrap();
    if !pressure.has(Kind::Cpu) {
        assert!(std::env::var_os("EUDAEMON_REQUIRE").is_none(), "no PSI");
        println!("SKIPPED: this kernel has no /proc/pressure that can be watched");
        return;
    }
    let (tell, told) = channel();
    let _watching = pressure
        .watch(Kind::Cpu, move || tell.send(()).unwrap_or_default())
        .unwrap();
    // More threads than processors: some wait.
    let done = AtomicBool::new(false);
    let many = std::thread::available_parallelism().unwrap().get() * 3;
    std::thread::scope(|scope| {
        for _ in 0..many {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            });
        }
        let came = told.recv();
        done.store(true, Ordering::Relaxed);
        came.unwrap();
    });
}
