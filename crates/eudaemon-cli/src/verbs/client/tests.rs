use super::*;
use eudaemon_engine::request::{Service, VERSION};
use eudaemon_engine::socket::Server;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

/// An engine that only talks: it answers with what the script says, or hangs up.
pub(in crate::verbs) struct Fake {
    dir: PathBuf,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// What to answer to a request, given how many came before; `None` hangs up.
type Script = dyn FnMut(&Request, usize) -> Option<Vec<Answer>> + Send;

impl Fake {
    pub fn new(
        name: &str,
        script: impl FnMut(&Request, usize) -> Option<Vec<Answer>> + Send + 'static,
    ) -> Fake {
        let mut script: Box<Script> = Box::new(script);
        let dir = std::env::temp_dir().join(format!("eud-fake-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&dir);
        std::fs::create_dir_all(dir.join(".eudaemon")).unwrap();
        let mut server = Server::bind(&dir.join(CONTROL)).unwrap();
        let over = Arc::new(AtomicBool::new(false));
        let until = Arc::clone(&over);
        let thread = std::thread::spawn(move || {
            let mut pause = Watch::new();
            let mut count = 0;
            while !until.load(Ordering::Relaxed) {
                server.accept();
                let ids: Vec<_> = server.clients().collect();
                for id in ids {
                    let mut requests = Vec::new();
                    server.readable(id, &mut requests);
                    server.writable(id);
                    for request in requests {
                        let answers = script(&request, count);
                        count += 1;
                        match answers {
                            Some(answers) => answers.iter().for_each(|a| server.send(id, a)),
                            None => server.close(id),
                        }
                    }
                }
                pause.wait(Some(Duration::from_millis(1))).unwrap();
            }
        });
        Fake {
            dir,
            over,
            thread: Some(thread),
        }
    }
    pub fn dir(&self) -> &Path {
        &self.dir
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        let _ = self.thread.take().map(JoinHandle::join);
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

pub(in crate::verbs) fn service(name: &str, state: &str, pid: Option<u32>) -> Service {
    Service {
        name: name.into(),
        state: state.into(),
        pid,
        wanted: "up".into(),
        starts: 1,
        ..Service::default()
    }
}

fn request(verb: Verb, names: &[&str]) -> Request {
    Request {
        v: VERSION,
        verb,
        names: names.iter().map(|&name| name.to_owned()).collect(),
        wait_ms: 100,
        signal: None,
    }
}

#[test]
fn an_engine_that_dies_while_asked_is_asked_again_for_the_rest() {
    let fake = Fake::new("again", |request, count| {
        let about = |name: &String| Answer::about(name, None, None);
        match count {
            0 => None,
            _ => {
                assert_eq!(request.names, ["a", "b"]);
                let mut lines: Vec<_> = request.names.iter().map(about).collect();
                lines.push(Answer::done());
                Some(lines)
            }
        }
    });
    let mut seen = Vec::new();
    ask(
        fake.dir(),
        &request(Verb::Start, &["a", "b"]),
        &mut |answer| {
            seen.extend(answer.name);
        },
    )
    .unwrap();
    assert_eq!(seen, ["a", "b"]);
}

#[test]
fn what_would_happen_twice_is_not_asked_twice() {
    let fake = Fake::new("once", |_, count| {
        assert_eq!(count, 0);
        None
    });
    let stop = ask(fake.dir(), &request(Verb::Restart, &["a"]), &mut |_| {}).unwrap_err();
    assert_eq!(stop.exit, Exit::Temporary);
    assert!(stop.why.unwrap().contains("eudaemon status"));
}

#[test]
fn a_refusal_is_told_with_its_reason() {
    let fake = Fake::new("refusal", |_, _| Some(vec![Answer::refused("not today")]));
    let stop = ask(fake.dir(), &request(Verb::Stop, &["a"]), &mut |_| {}).unwrap_err();
    assert_eq!(stop.exit, Exit::Permanent);
    assert!(stop.why.unwrap().contains("not today"));
}

#[test]
fn nobody_there_says_what_to_do() {
    let dir = std::env::temp_dir().join(format!("eud-nobody-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let stop = ask(&dir, &request(Verb::Status, &[]), &mut |_| {}).unwrap_err();
    assert_eq!(stop.exit, Exit::Temporary);
    let why = stop.why.unwrap();
    assert!(
        why.contains("eudaemon up") && why.contains("No such file"),
        "{why}"
    );
    std::fs::remove_dir_all(&dir).unwrap();
}
