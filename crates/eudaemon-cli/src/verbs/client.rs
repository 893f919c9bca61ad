//! The client's end of a tree's socket.

use super::tree::CONTROL;
use super::{Stop, reason};
use eudaemon_core::exit::Exit;
use eudaemon_engine::request::{Answer, Request, Verb};
use eudaemon_sys::watch::Watch;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

/// Longest line of an answer.
const LINE_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// How long the engine may be silent beyond what it was asked to wait.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long the next engine may take to come, if one went away while we asked.
const RETURN: Duration = Duration::from_secs(3);
/// How many engines may die over one request.
const ATTEMPTS: u32 = 5;

/// Asks the tree in `dir`, and hands over each line about a service as it comes.
///
/// An engine that dies is replaced by its keeper, and what it was asked dies with it. What can be said twice is then
/// asked again, for the services that are not answered yet.
pub fn ask(dir: &Path, request: &Request, each: &mut dyn FnMut(Answer)) -> Result<(), Stop> {
    let mut request = request.clone();
    let mut answered: Vec<String> = Vec::new();
    let mut stream = connect(dir).map_err(|error| unreached(dir, &error))?;
    for left in (0..ATTEMPTS).rev() {
        let lost = match converse(dir, stream, &request, &mut answered, each)? {
            Ended::Done => return Ok(()),
            Ended::Lost(lost) => lost,
        };
        let again = match request.verb {
            Verb::Status | Verb::Start | Verb::Stop => left > 0,
            // Asked twice, it would happen twice.
            Verb::Restart | Verb::Reload | Verb::Kill => false,
        };
        if !again {
            return Err(Stop::new(
                Exit::Temporary,
                format!(
                    "unable to hear what came of it: {}: {}; `eudaemon status` tells",
                    dir.join(CONTROL).display(),
                    reason(&lost)
                ),
            ));
        }
        if !request.names.is_empty() {
            request.names.retain(|name| !answered.contains(name));
            if request.names.is_empty() {
                return Ok(());
            }
        }
        stream = reconnect(dir).map_err(|error| unreached(dir, &error))?;
    }
    Ok(())
}

/// How a conversation ended.
enum Ended {
    Done,
    /// The connection broke before the last line.
    Lost(io::Error),
}

fn converse(
    dir: &Path,
    mut stream: UnixStream,
    request: &Request,
    answered: &mut Vec<String>,
    each: &mut dyn FnMut(Answer),
) -> Result<Ended, Stop> {
    let silence = Duration::from_millis(request.wait_ms) + PATIENCE;
    let mut text = serde_json::to_vec(request)
        .map_err(|error| Stop::new(Exit::Permanent, format!("unable to ask: {error}")))?;
    text.push(b'\n');
    let timeouts = stream
        .set_read_timeout(Some(silence))
        .and_then(|()| stream.set_write_timeout(Some(PATIENCE)));
    if let Err(error) = timeouts.and_then(|()| stream.write_all(&text)) {
        return Ok(Ended::Lost(error));
    }
    let mut lines = BufReader::new(stream);
    loop {
        let mut line = Vec::new();
        match (&mut lines)
            .take(LINE_BYTES_MAX)
            .read_until(b'\n', &mut line)
        {
            Ok(_) if line.ends_with(b"\n") => {}
            Ok(_) if line.len() as u64 >= LINE_BYTES_MAX => {
                return Err(nonsense(dir, "a line without end"));
            }
            Ok(_) => return Ok(Ended::Lost(io::ErrorKind::UnexpectedEof.into())),
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
                ) =>
            {
                return Err(Stop::new(
                    Exit::Temporary,
                    format!(
                        "unable to get an answer from {}: silent for {} seconds; is it stopped?",
                        dir.join(CONTROL).display(),
                        silence.as_secs()
                    ),
                ));
            }
            Err(error) => return Ok(Ended::Lost(error)),
        }
        let answer: Answer =
            serde_json::from_slice(&line).map_err(|error| nonsense(dir, &error.to_string()))?;
        match (&answer.name, answer.done) {
            (Some(name), _) => {
                let done = answer.done;
                if !answered.contains(name) {
                    answered.push(name.clone());
                    each(answer);
                }
                if done {
                    return Ok(Ended::Done);
                }
            }
            (None, true) if !answer.ok => {
                let why = answer.error.as_deref().unwrap_or("no reason given");
                return Err(Stop::new(
                    Exit::Permanent,
                    format!(
                        "{} refused: {}",
                        dir.join(CONTROL).display(),
                        super::screen::plain(why)
                    ),
                ));
            }
            (None, true) => return Ok(Ended::Done),
            // A line of a later version that is about nothing we know.
            (None, false) => {}
        }
    }
}

fn connect(dir: &Path) -> io::Result<UnixStream> {
    eudaemon_sys::socket::connect(&dir.join(CONTROL))
}

fn reconnect(dir: &Path) -> io::Result<UnixStream> {
    let until = Instant::now() + RETURN;
    let mut pause = Watch::new();
    loop {
        match connect(dir) {
            Err(error) if Instant::now() < until => {
                let gone = matches!(
                    error.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused
                );
                if !gone {
                    return Err(error);
                }
                pause.wait(Some(Duration::from_millis(50)))?;
            }
            result => return result,
        }
    }
}

/// What was attempted, on what, why it failed, and what to do where that is certain.
fn unreached(dir: &Path, error: &io::Error) -> Stop {
    let nobody = [io::ErrorKind::NotFound, io::ErrorKind::ConnectionRefused];
    let todo = if nobody.contains(&error.kind()) {
        format!(
            "; nothing runs the services of {0}: start it with `eudaemon up {0}`",
            dir.display()
        )
    } else if error.kind() == io::ErrorKind::PermissionDenied {
        "; only the owner of the tree and root may ask".to_owned()
    } else {
        String::new()
    };
    Stop::new(
        Exit::Temporary,
        format!(
            "unable to connect to {}: {}{todo}",
            dir.join(CONTROL).display(),
            reason(error)
        ),
    )
}

fn nonsense(dir: &Path, what: &str) -> Stop {
    Stop::new(
        Exit::Temporary,
        format!(
            "unable to understand {}: {what}; is it of another version?",
            dir.join(CONTROL).display()
        ),
    )
}

#[cfg(test)]
pub(super) mod tests;
