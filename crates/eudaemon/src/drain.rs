//! Connections that end before the service does, and lose nothing.
//!
//! A connection that is closed while it looks idle may have a request under way, and its client sees a reset. So a server that is to
//! stop, or has been replaced, says on each connection that it is the last time, in the way its protocol has for that, and closes
//! what was silent for a while. This counts the connections and keeps the time; the saying is the server's:
//!
//! | | when it stops |
//! |---|---|
//! | HTTP/1.1 | `Connection: close` with the next answer ([`Connection::is_closing`]); closed when it is idle ([`Connection::idle`]) |
//! | HTTP/2 | GOAWAY at once ([`Connection::closing`]); the streams that are open go on. RFC 9113 §6.8 |
//!
//! ```
//! # fn shown(cx: &eudaemon::Running) {
//! use eudaemon::drain::Connections;
//!
//! let connections = Connections::until(cx.stop());
//! let connection = connections.enter();
//! let worker = std::thread::spawn(move || {
//!     // …serve it, and look at `connection.is_closing()` before each answer…
//!     drop(connection);
//! });
//! // When the service is to stop:
//! let left = connections.wait();
//! # }
//! ```

#[cfg(test)]
mod tests;

use crate::StopSignal;
use eudaemon_sys::clock::mono;
use eudaemon_sys::poll::{Interest, Poll};
use std::io;
use std::os::fd::AsFd;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long a connection must have been silent to be closed, if nobody says: longer than a request is under way.
pub const QUIET: Duration = Duration::from_secs(2);

/// The most that is left of the time to stop when connections are given up: the service ends in order, and is not ended.
const MARGIN: Duration = Duration::from_secs(1);

/// The connections of a service. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Connections(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    stop: StopSignal,
    quiet: Duration,
    open: Mutex<usize>,
    changed: Condvar,
    #[cfg(feature = "tokio")]
    tasks: tokio::sync::watch::Sender<usize>,
}

impl Connections {
    /// None yet, of a service that stops when this says so.
    #[must_use]
    pub fn until(stop: &StopSignal) -> Connections {
        Connections::quiet(stop, QUIET)
    }

    /// The same, where a connection that was silent for so long is closed. Default: [`QUIET`].
    #[must_use]
    pub fn quiet(stop: &StopSignal, quiet: Duration) -> Connections {
        Connections(Arc::new(Inner {
            stop: stop.clone(),
            quiet,
            open: Mutex::new(0),
            changed: Condvar::new(),
            #[cfg(feature = "tokio")]
            tasks: tokio::sync::watch::Sender::new(0),
        }))
    }

    /// One more. It is open until the last clone of what is returned is dropped.
    #[must_use]
    pub fn enter(&self) -> Connection {
        self.count(|open| *open += 1);
        let heard = Heard {
            busy: 0,
            last: Instant::now(),
        };
        Connection(Arc::new(One {
            all: self.clone(),
            heard: Mutex::new(heard),
        }))
    }

    /// How many are open.
    #[must_use]
    pub fn open(&self) -> usize {
        *self.lock()
    }

    /// Waits until the service is to stop and none is open; or until so little is left of the time to stop that the service had
    /// better end: a tenth of it, a second at most. How many are still open.
    #[must_use]
    pub fn wait(&self) -> usize {
        self.0.stop.wait();
        let end = self.end();
        let mut open = self.lock();
        while *open > 0 {
            let rest = end.saturating_duration_since(Instant::now());
            if rest.is_zero() {
                break;
            }
            let waited = self.0.changed.wait_timeout(open, rest);
            open = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        *open
    }

    /// As [`Connections::wait`], for a task.
    #[cfg(feature = "tokio")]
    pub async fn finish(&self) -> usize {
        self.0.stop.cancelled().await;
        let mut open = self.0.tasks.subscribe();
        let none = open.wait_for(|open| *open == 0);
        // Out of time, how many there are is asked once more.
        let _ = tokio::time::timeout_at(self.end().into(), none).await;
        self.open()
    }

    /// The next connection of a listener, with the end of its queue: `None` when the service is to stop. What a client or the
    /// network did to one is passed over, and when there are no descriptors left it waits a tenth of a second, as
    /// [`Handle::serve`](crate::Handle::serve) does. Cancelled, nothing is lost.
    ///
    /// # Errors
    /// The socket is not a listening one, or is broken.
    #[cfg(feature = "tokio")]
    pub async fn accept(
        &self,
        listener: &tokio::net::TcpListener,
    ) -> io::Result<Option<(tokio::net::TcpStream, Connection)>> {
        use crate::serve::{EXHAUSTED, is_exhausted, is_the_peers};
        use std::future::poll_fn;
        use std::pin::pin;
        use std::task::Poll;
        loop {
            let mut stopped = pin!(self.0.stop.cancelled());
            // Asked in this order: a full queue does not keep it from stopping.
            let next = poll_fn(|task| match stopped.as_mut().poll(task) {
                Poll::Ready(()) => Poll::Ready(None),
                Poll::Pending => listener.poll_accept(task).map(Some),
            });
            match next.await {
                None => return Ok(None),
                Some(Ok((stream, _))) => {
                    // Many answers are shorter than a packet. It fails only for one that is gone already.
                    let _ = stream.set_nodelay(true);
                    return Ok(Some((stream, self.enter())));
                }
                Some(Err(error)) if is_the_peers(&error) => {}
                Some(Err(error)) if is_exhausted(&error) => tokio::time::sleep(EXHAUSTED).await,
                Some(Err(error)) => return Err(error),
            }
        }
    }

    /// When connections are given up.
    fn end(&self) -> Instant {
        let now = Instant::now();
        let deadline = self.0.stop.deadline().unwrap_or(now);
        let rest = deadline.saturating_duration_since(now);
        now + rest - (rest / 10).min(MARGIN)
    }

    fn count(&self, change: impl FnOnce(&mut usize)) {
        let mut open = self.lock();
        change(&mut open);
        #[cfg(feature = "tokio")]
        self.0.tasks.send_replace(*open);
        drop(open);
        self.0.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, usize> {
        // Nothing can panic while it is held.
        self.0.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One of them. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Connection(Arc<One>);

#[derive(Debug)]
struct One {
    all: Connections,
    heard: Mutex<Heard>,
}

/// When somebody was last busy with it.
#[derive(Debug)]
struct Heard {
    busy: usize,
    last: Instant,
}

impl Connection {
    /// Whether the service is to stop: then the next answer on this connection is the last, and says so.
    #[must_use]
    pub fn is_closing(&self) -> bool {
        self.0.all.0.stop.is_set()
    }

    /// There is a request. Until what is returned is dropped the connection is not idle.
    #[must_use = "it is busy as long as this is there"]
    pub fn busy(&self) -> Busy {
        self.heard().busy += 1;
        Busy(self.clone())
    }

    /// Waits until there is something to read, and says that there is; `false` if the connection is to be closed, because the
    /// service is to stop and this one was silent. What was read and is not understood yet is looked at before this is asked.
    ///
    /// # Errors
    /// The system can watch no more descriptors.
    pub fn wait(&self, stream: &impl AsFd) -> io::Result<bool> {
        const STREAM: u64 = 0;
        const STOP: u64 = 1;
        let (stop, quiet) = (&self.0.all.0.stop, self.0.all.0.quiet);
        let mut poll = Poll::new()?;
        poll.add(stream, STREAM, Interest::Read)?;
        poll.add(stop, STOP, Interest::Read)?;
        let (mut ready, mut end) = (Vec::new(), None);
        loop {
            ready.clear();
            poll.wait(mono(), end, &mut ready)?;
            if ready.iter().any(|ready| ready.token == STREAM) {
                return Ok(true);
            }
            match end {
                None if stop.is_set() => {
                    poll.remove(stop)?;
                    end = Some(mono() + quiet);
                }
                Some(end) if mono() >= end => return Ok(false),
                None | Some(_) => {}
            }
        }
    }

    /// Is ready when the service is to stop.
    #[cfg(feature = "tokio")]
    pub async fn closing(&self) {
        self.0.all.0.stop.cancelled().await;
    }

    /// Is ready when the service is to stop and nobody was busy with this connection for a while.
    #[cfg(feature = "tokio")]
    pub async fn idle(&self) {
        self.closing().await;
        let quiet = self.0.all.0.quiet;
        let begun = Instant::now();
        loop {
            let since = {
                let heard = self.heard();
                match heard.busy {
                    0 => heard.last.max(begun),
                    _ => Instant::now(),
                }
            };
            if since.elapsed() >= quiet {
                return;
            }
            tokio::time::sleep_until((since + quiet).into()).await;
        }
    }

    fn heard(&self) -> MutexGuard<'_, Heard> {
        // Nothing can panic while it is held.
        self.0.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for One {
    fn drop(&mut self) {
        self.all.count(|open| *open -= 1);
    }
}

/// As long as this is there, somebody is busy with a connection.
#[derive(Debug)]
pub struct Busy(Connection);

impl Drop for Busy {
    fn drop(&mut self) {
        let mut heard = self.0.heard();
        heard.busy -= 1;
        heard.last = Instant::now();
    }
}
