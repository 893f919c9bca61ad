//! The log as the end of `tracing` and of `log`.
#![allow(
    clippy::unwrap_used,
    reason = "a step that fails is the test's failure"
)]
#![cfg(all(feature = "tracing", feature = "log"))]

use eudaemon::Activation;
use eudaemon::logging::{Journal, Level, Log, install, layer};
use eudaemon_core::journal::fields;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use tracing_subscriber::layer::{Layer, SubscriberExt};

fn logged(name: &str) -> (Log, UnixDatagram) {
    let path: PathBuf =
        std::env::temp_dir().join(format!("eud-bridge-{name}-{}", std::process::id()));
    let _ = std::fs::remove_file(&path);
    let receiver = UnixDatagram::bind(&path).unwrap();
    receiver.set_nonblocking(true).unwrap();
    let journal = Journal::at(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    let bare = Activation::made(1, [("", ""); 0]);
    (
        Log::to_journal(journal, &bare, "box", Level::Info),
        receiver,
    )
}

/// The next entry without what every entry has; `None` if there is none.
fn next(receiver: &UnixDatagram) -> Option<Vec<String>> {
    let mut bytes = vec![0; 65_536];
    let length = receiver.recv(&mut bytes).ok()?;
    let own = [
        "SYSLOG_FACILITY",
        "SYSLOG_IDENTIFIER",
        "SYSLOG_PID",
        "TID",
        "CODE_LINE",
    ];
    let read = fields(&bytes[..length]).map(|field| {
        let (name, value) = field.unwrap();
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        (text(name), text(value))
    });
    Some(
        read.filter(|(name, _)| !own.contains(&name.as_str()))
            .map(|(name, value)| format!("{name}={value}"))
            .collect(),
    )
}

const PLACE: [&str; 2] = [
    "CODE_FILE=crates/eudaemon/tests/logging_bridges.rs",
    "CODE_MODULE=logging_bridges",
];

#[test]
fn an_event_is_one_entry_with_its_spans() {
    let (log, receiver) = logged("tracing");
    let levels = log.levels().clone();
    let registry = tracing_subscriber::registry().with(layer(log));
    tracing::subscriber::with_default(registry, || {
        let outer = tracing::info_span!("request", id = 7, path = "/a");
        let _in_outer = outer.enter();
        let inner = tracing::info_span!("query", id = 8, rows = tracing::field::Empty);
        inner.record("rows", 3);
        let _in_inner = inner.enter();
        let message_id = "7d4958e842da4a758f6c1cdc7b36dcc5";
        tracing::warn!(message_id, path = "/b", http.status = 404, "slow {}", 1);
        let got = next(&receiver).unwrap();
        let wanted = [
            "MESSAGE=slow 1",
            "PRIORITY=4",
            PLACE[0],
            PLACE[1],
            "F_ID=8",
            "F_PATH=/b",
            "F_ROWS=3",
            "MESSAGE_ID=7d4958e842da4a758f6c1cdc7b36dcc5",
            "F_HTTP_STATUS=404",
            "F_SPAN=request:query",
        ];
        assert_eq!(got, wanted);
    });
    // The same place in the program, before and after the level moved.
    let registry = tracing_subscriber::registry().with(layer(logged("other").0));
    drop(registry);
    let say = || tracing::debug!("deep");
    let (log, receiver) = logged("level");
    let moved = log.levels().clone();
    let filtered = layer(log).with_filter(moved.clone());
    tracing::subscriber::with_default(tracing_subscriber::registry().with(filtered), || {
        say();
        assert_eq!(next(&receiver), None);
        moved.more();
        say();
        let got = next(&receiver).unwrap();
        assert_eq!(got, ["MESSAGE=deep", "PRIORITY=7", PLACE[0], PLACE[1]]);
        moved.less();
        say();
        assert_eq!(next(&receiver), None);
    });
    assert_eq!(levels.get(), Level::Info);
}

#[test]
fn the_crate_log_ends_here_too() {
    let (log, receiver) = logged("log");
    let levels = log.levels().clone();
    install(log.clone()).unwrap();
    assert!(install(log).is_err());
    log::info!(target: "access", "GET {}", "/");
    let got = next(&receiver).unwrap();
    assert_eq!(
        got,
        [
            "MESSAGE=GET /",
            "PRIORITY=6",
            PLACE[0],
            PLACE[1],
            "F_TARGET=access"
        ]
    );
    log::debug!("no");
    levels.more();
    log::debug!("yes");
    let got = next(&receiver).unwrap();
    assert_eq!(got[..2], ["MESSAGE=yes", "PRIORITY=7"]);
    assert_eq!(got.len(), 4);
    assert_eq!(next(&receiver), None);
}
