//! Clients of our own, one thread each: what wrk counts in one number, these say with the reason and the time.
//!
//! They speak HTTP/1.1 without TLS. Each failure is one request that was sent and not answered, or one connection that was not to be
//! had; a client then connects again and goes on.

use super::figures::{Asked, Figures};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::fmt;
use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Longest wait for an answer.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long one who rests leaves a connection idle.
const REST: Duration = Duration::from_millis(10);
/// Longest answer.
const ANSWER_MAX: usize = 4 << 20;
/// What the patient ask for in turn: an answer that takes its time, and one that does not fit into a socket's buffers.
const LONG: [&str; 2] = ["/slow/100", "/bytes/3000000"];

/// How a client uses its connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Habit {
    /// Asks again as soon as it is answered, over the same connection as long as the server keeps it.
    Keeps,
    /// As a browser: leaves the connection idle for a moment before it asks again, and sees when it is closed meanwhile.
    Rests,
    /// A new connection for each request.
    Fresh,
    /// Asks for what takes long, so that whatever happens, happens in the midst of it. How long it took is not looked at.
    Patient,
}

/// How many there are of each habit.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// Of [`Habit::Keeps`].
    pub keep: u32,
    /// Of [`Habit::Rests`].
    pub rest: u32,
    /// Of [`Habit::Fresh`].
    pub fresh: u32,
    /// Of [`Habit::Patient`].
    pub patient: u32,
}

/// What failed, when, for whom.
#[derive(Clone, Debug)]
pub struct Failure {
    /// When it was seen.
    pub at: Instant,
    /// Whose it was.
    pub habit: Habit,
    /// What was being done, and why it failed.
    pub what: String,
}

/// Clients at work.
#[derive(Debug)]
pub struct Crowd {
    begun: Instant,
    enough: Arc<AtomicBool>,
    clients: Vec<JoinHandle<Told>>,
}

/// What they saw.
#[derive(Debug, Default)]
pub struct Told {
    /// Every request that was answered, but for those of the patient.
    pub asked: Vec<Asked>,
    /// Those of the patient that were answered.
    pub patient: u64,
    /// Every other.
    pub failures: Vec<Failure>,
    /// Connections that were made.
    pub connections: u64,
    /// From the first request to the last.
    pub whole: Duration,
}

impl Crowd {
    /// Begins to ask.
    #[must_use]
    pub fn start(at: SocketAddr, size: Size) -> Crowd {
        let enough = Arc::new(AtomicBool::new(false));
        let habits = [
            (Habit::Keeps, size.keep),
            (Habit::Rests, size.rest),
            (Habit::Fresh, size.fresh),
            (Habit::Patient, size.patient),
        ];
        let clients = habits.into_iter().flat_map(|(habit, count)| {
            let enough = enough.clone();
            (0..count).map(move |_| {
                let enough = enough.clone();
                std::thread::spawn(move || ask(at, habit, &enough))
            })
        });
        Crowd {
            begun: Instant::now(),
            clients: clients.collect(),
            enough,
        }
    }

    /// Lets each finish its request, and asks what they saw.
    ///
    /// # Panics
    /// When one of them did.
    #[must_use]
    pub fn end(self) -> Told {
        self.enough.store(true, Ordering::Relaxed);
        let mut all = Told::default();
        for client in self.clients {
            let told = client.join().expect("a client of the crowd");
            all.asked.extend(told.asked);
            all.patient += told.patient;
            all.failures.extend(told.failures);
            all.connections += told.connections;
        }
        all.whole = self.begun.elapsed();
        all.failures.sort_by_key(|failure| failure.at);
        all
    }
}

impl Told {
    /// As figures.
    #[must_use]
    pub fn figures(&self, changes: &[(Instant, Instant)]) -> Figures {
        let mut figures = Figures::of(&self.asked, self.whole, changes);
        figures.answered += self.patient;
        for failure in &self.failures {
            figures.fail(format!("{:?}: {}", failure.habit, failure.what), 1);
        }
        figures
    }
}

/// What went wrong with one request.
enum Trouble {
    Failed(&'static str, io::Error),
    Ended(&'static str),
    Odd(String),
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Trouble::Failed(doing, why) => write!(f, "{doing}: {why}"),
            Trouble::Ended(doing) => write!(f, "{doing}: the connection ended"),
            Trouble::Odd(what) => write!(f, "answer: {what}"),
        }
    }
}

fn ask(at: SocketAddr, habit: Habit, enough: &AtomicBool) -> Told {
    let mut told = Told::default();
    let mut kept = None;
    while !enough.load(Ordering::Relaxed) {
        let begun = Instant::now();
        let connection = match kept.take() {
            Some(connection) => Ok(connection),
            None => connect(at).inspect(|_| told.connections += 1),
        };
        match connection.and_then(|mut connection| {
            let path = match habit {
                Habit::Keeps | Habit::Rests | Habit::Fresh => "/",
                Habit::Patient => LONG[usize::from(told.patient % 2 == 1)],
            };
            let stays = request(&mut connection, path, habit == Habit::Fresh)?;
            Ok(stays.then_some(connection))
        }) {
            Ok(connection) => {
                if habit == Habit::Patient {
                    told.patient += 1;
                } else {
                    told.asked.push(Asked {
                        at: begun,
                        took: begun.elapsed(),
                    });
                }
                kept = connection.filter(|connection| habit != Habit::Rests || rested(connection));
            }
            Err(trouble) => told.failures.push(Failure {
                at: Instant::now(),
                habit,
                what: trouble.to_string(),
            }),
        }
    }
    told
}

fn connect(at: SocketAddr) -> Result<TcpStream, Trouble> {
    let failed = |why| Trouble::Failed("connect", why);
    let connection = TcpStream::connect_timeout(&at, PATIENCE).map_err(failed)?;
    connection.set_nodelay(true).map_err(failed)?;
    connection
        .set_read_timeout(Some(PATIENCE))
        .map_err(failed)?;
    Ok(connection)
}

/// Leaves a connection idle; whether it is still there then.
fn rested(connection: &TcpStream) -> bool {
    let rest = Timespec {
        tv_sec: 0,
        tv_nsec: i64::from(REST.subsec_nanos()),
    };
    let mut fds = [PollFd::new(connection, PollFlags::IN | PollFlags::HUP)];
    // Nothing is to be read where nothing was asked: what comes is the end.
    matches!(poll(&mut fds, Some(&rest)), Ok(0))
}

/// Asks and reads the answer; whether the connection may be used again.
fn request(connection: &mut TcpStream, path: &str, is_last: bool) -> Result<bool, Trouble> {
    let close = if is_last { "Connection: close\r\n" } else { "" };
    let text = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{close}\r\n");
    connection
        .write_all(text.as_bytes())
        .map_err(|why| Trouble::Failed("send", why))?;
    let mut heard = Vec::new();
    let mut wanted = None;
    while wanted.is_none_or(|(whole, _)| heard.len() < whole) {
        let mut some = [0; 16 << 10];
        let count = connection
            .read(&mut some)
            .map_err(|why| Trouble::Failed(if heard.is_empty() { "wait" } else { "read" }, why))?;
        if count == 0 {
            return Err(Trouble::Ended(if heard.is_empty() {
                "wait"
            } else {
                "read"
            }));
        }
        heard.extend_from_slice(&some[..count]);
        if wanted.is_none() {
            wanted = head(&heard)?;
        }
        if heard.len() > ANSWER_MAX {
            return Err(Trouble::Odd("too long".to_owned()));
        }
    }
    Ok(wanted.is_some_and(|(_, stays)| stays))
}

/// The length of the whole answer, and whether the connection stays; `None` while the head is not whole.
fn head(heard: &[u8]) -> Result<Option<(usize, bool)>, Trouble> {
    let Some(end) = heard.windows(4).position(|four| four == b"\r\n\r\n") else {
        return Ok(None);
    };
    let text = String::from_utf8_lossy(&heard[..end]).to_ascii_lowercase();
    let mut lines = text.lines();
    let status = lines.next().unwrap_or_default();
    if !status.starts_with("http/1.1 2") {
        return Err(Trouble::Odd(status.to_owned()));
    }
    let fields: Vec<_> = lines.filter_map(|line| line.split_once(':')).collect();
    let field = |name: &str| {
        fields
            .iter()
            .find(|field| field.0 == name)
            .map(|field| field.1.trim())
    };
    let length: Option<usize> = field("content-length").and_then(|length| length.parse().ok());
    let length = length.ok_or_else(|| Trouble::Odd("without a length".to_owned()))?;
    Ok(Some((
        end + 4 + length,
        field("connection") != Some("close"),
    )))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;
    use std::sync::mpsc;

    const SIZE: Size = Size {
        keep: 1,
        rest: 0,
        fresh: 0,
        patient: 0,
    };
    const HELLO: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhello\n";
    const BYE: &[u8] = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 4\r\n\r\nbye\n";

    /// One request, without its words.
    fn hear(connection: &mut TcpStream) {
        let mut heard = Vec::new();
        while !heard.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            assert_eq!(connection.read(&mut byte).expect("a request"), 1);
            heard.push(byte[0]);
        }
    }

    #[test]
    fn an_end_that_was_announced_is_none_and_a_surprise_is_a_failure() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let crowd = Crowd::start(listener.local_addr().expect("a name"), SIZE);
        let (mut one, _) = listener.accept().expect("a client");
        hear(&mut one);
        one.write_all(HELLO).expect("an answer");
        hear(&mut one);
        one.write_all(BYE).expect("an answer");
        drop(one);
        let (mut two, _) = listener.accept().expect("a client");
        hear(&mut two);
        drop(two);
        let (mut three, _) = listener.accept().expect("a client");
        hear(&mut three);
        crowd.enough.store(true, Ordering::Relaxed);
        three
            .write_all(b"HTTP/1.1 503 No\r\n\r\n")
            .expect("an answer");
        let told = crowd.end();
        let failed: Vec<_> = told
            .failures
            .iter()
            .map(|failure| failure.what.as_str())
            .collect();
        assert_eq!(
            failed,
            ["wait: the connection ended", "answer: http/1.1 503 no"]
        );
        assert_eq!((told.asked.len(), told.connections), (2, 3));
        assert_eq!(told.figures(&[]).failures(), 2);
    }

    #[test]
    fn one_who_rests_sees_the_end_and_one_who_is_fresh_says_so() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let at = listener.local_addr().expect("a name");
        let crowd = Crowd::start(
            at,
            Size {
                keep: 0,
                rest: 1,
                fresh: 0,
                patient: 0,
            },
        );
        for _ in 0..2 {
            let (mut client, _) = listener.accept().expect("a client");
            hear(&mut client);
            client.write_all(HELLO).expect("an answer");
        }
        let (mut client, _) = listener.accept().expect("a client");
        crowd.enough.store(true, Ordering::Relaxed);
        hear(&mut client);
        client.write_all(HELLO).expect("an answer");
        let told = crowd.end();
        assert_eq!(
            (told.asked.len(), told.failures.len(), told.connections),
            (3, 0, 3)
        );
    }

    #[test]
    fn nobody_there_has_its_name() {
        let gone = TcpListener::bind("127.0.0.1:0").expect("a port");
        let at = gone.local_addr().expect("a name");
        drop(gone);
        let (tell, told) = mpsc::channel();
        std::thread::spawn(move || tell.send(connect(at).err().map(|why| why.to_string())));
        assert_eq!(
            told.recv().expect("an answer").as_deref(),
            Some("connect: Connection refused (os error 111)")
        );
    }
}
