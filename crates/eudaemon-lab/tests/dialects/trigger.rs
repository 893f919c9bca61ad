//! daemontoolsx: specification §3.8.

use crate::{House, pid_in};
use std::os::unix::fs::symlink;

const RUN: &str = "echo run >> said\nexec sleep 1000";

#[test]
fn a_service_waits_for_the_one_its_trigger_names() {
    let Some(h) = House::new("trigger-link") else {
        return;
    };
    h.script("sv/db/run", RUN);
    h.write("sv/db/down", "");
    h.script("sv/web/run", RUN);
    symlink("../db/supervise/status", h.path("sv/web/trigger")).expect("a link");
    let _svscan = h.svscan(&["db", "web"]);
    h.never("a start of web", || !h.read("sv/web/said").is_empty());
    let line = h.svstat("sv/web");
    assert!(line.ends_with(", normally up, want up\n"), "{line}");
    let told = h.ask("eudaemon -C sv status web --json").out;
    assert!(told.contains("trigger"), "{told}");

    h.svc("-u", "sv/db");
    h.says("sv/web/said", "run\n");
    let pid = h.pid("sv/web");
    h.svc("-d", "sv/db");
    h.until_status("sv/db", "sv/db: down");
    h.never("an end of web", || pid_in(&h.svstat("sv/web")) != Some(pid));
    // But it is not started again without.
    h.svc("-t", "sv/web");
    h.until_status("sv/web", "sv/web: down");
    h.never("a start of web", || h.read("sv/web/said") != "run\n");
    h.svc("-u", "sv/db");
    h.says("sv/web/said", "run\nrun\n");
}

#[test]
fn a_trigger_may_list_files_and_all_must_hold() {
    let Some(h) = House::new("trigger-list") else {
        return;
    };
    h.script("db/run", RUN);
    h.script("web/run", RUN);
    let path = |name: &str| h.path(name).to_string_lossy().into_owned();
    let text = format!(
        "# who\n\n{}\n {} \n",
        path("db/supervise/status"),
        path("x.pid")
    );
    h.write("web/trigger", text);
    h.write("x.pid", "0\n");
    let _db = h.supervise("db");
    let _web = h.supervise("web");
    h.until_status("db", "db: up");
    h.never("a start on half a trigger", || {
        !h.read("web/said").is_empty()
    });
    h.write("x.pid", "not a pid\n");
    h.never("a start on nonsense", || !h.read("web/said").is_empty());
    h.write("x.pid", format!("{}\n", std::process::id()));
    h.says("web/said", "run\n");
}

#[test]
fn a_held_service_obeys() {
    let Some(h) = House::new("trigger-held") else {
        return;
    };
    h.script("a/run", RUN);
    symlink("nowhere/supervise/status", h.path("a/trigger")).expect("a link");
    let running = h.supervise("a");
    h.until_status("a", "want up");
    h.svc("-d", "a");
    h.soon("it to be wanted down", || {
        !h.svstat("a").contains("want up")
    });
    h.svc("-u", "a");
    h.until_status("a", "want up");
    h.svc("-dx", "a");
    assert_eq!(h.code(&running), 0);
    assert_eq!(h.read("a/said"), "");
}
