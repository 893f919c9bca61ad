//! Clients of the tree's socket: what they ask, and who waits for what.

use super::{Engine, token};
use crate::request::{Answer, Request, Service as Told, VERSION, Verb};
use crate::service::{Service, hold_word, seconds};
use crate::socket::ClientId;
use eudaemon_core::control::{Command, Control};
use eudaemon_core::scan::Part;
use eudaemon_core::status::{Phase, Wanted};
use eudaemon_core::supervise::{Event, START_GAP};
use eudaemon_core::time::Mono;
use eudaemon_core::words::Signal;
use eudaemon_sys::poll::{Interest, Ready};
use std::collections::HashMap;
use std::time::Duration;

/// Pause before the listener is looked at again.
const LISTEN_PAUSE: Duration = Duration::from_secs(1);
/// Longest wait of a client.
const LONGEST_WAIT: Duration = Duration::from_secs(24 * 3600);

/// What somebody waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Goal {
    /// Ready, and started more often than this.
    Ready { beyond: Option<u32> },
    /// Nothing runs.
    Down,
}

#[derive(Clone, Debug)]
struct Waiter {
    client: ClientId,
    record: usize,
    name: String,
    goal: Goal,
    until: Mono,
}

/// Clients and what they wait for.
#[derive(Debug, Default)]
pub(super) struct Clients {
    waiters: Vec<Waiter>,
    /// How many answers a client's request still lacks.
    open: HashMap<ClientId, usize>,
    /// What each client's descriptor is waited for.
    interests: HashMap<ClientId, Interest>,
}

impl Clients {
    pub(super) fn deadline(&self) -> Option<Mono> {
        self.waiters.iter().map(|waiter| waiter.until).min()
    }
}

impl Engine<'_> {
    pub(super) fn on_listener(&mut self) {
        let Some(server) = &mut self.server else {
            return;
        };
        let clients = server.accept();
        if clients.is_empty() {
            // Somebody waits and cannot be let in: out of descriptors, most likely. Looking at once again would be all
            // that we did.
            let _ = self.poll.remove(&*server);
            self.listen_at = Some(eudaemon_sys::clock::mono() + LISTEN_PAUSE);
        }
        for client in clients {
            self.attend(client);
        }
    }

    pub(super) fn listen_again(&mut self) {
        self.listen_at = None;
        let Some(server) = &self.server else { return };
        if self
            .poll
            .add(server, token::LISTENER, Interest::Read)
            .is_err()
        {
            self.listen_at = Some(eudaemon_sys::clock::mono() + LISTEN_PAUSE);
        }
    }

    /// Waits for what matters of a client now.
    fn attend(&mut self, client: ClientId) {
        let Some(server) = &self.server else { return };
        let told = token::of(token::CLIENT, client.0);
        let wanted = match (server.wants_read(client), server.wants_write(client)) {
            (_, true) => Some(Interest::ReadWrite),
            (true, false) => Some(Interest::Read),
            (false, false) => Some(Interest::Gone),
        };
        let Some(fd) = server.client_fd(client) else {
            self.clients.interests.remove(&client);
            return;
        };
        let known = self.clients.interests.get(&client).copied();
        let done = match (known, wanted) {
            (None, Some(interest)) => self.poll.add(fd, told, interest),
            (Some(old), Some(interest)) if old != interest => self.poll.modify(fd, told, interest),
            (Some(_), None) => self.poll.remove(fd),
            (None, None) | (Some(_), Some(_)) => Ok(()),
        };
        match (done, wanted) {
            (Ok(()), Some(interest)) => drop(self.clients.interests.insert(client, interest)),
            (Ok(()), None) => drop(self.clients.interests.remove(&client)),
            // A client that cannot be waited for cannot be served.
            (Err(_), _) => self.drop_client(client),
        }
    }

    fn drop_client(&mut self, client: ClientId) {
        if let Some(server) = &mut self.server {
            server.close(client);
        }
        self.clients.interests.remove(&client);
        self.clients.open.remove(&client);
        self.clients
            .waiters
            .retain(|waiter| waiter.client != client);
    }

    pub(super) fn on_client(&mut self, number: u64, what: Ready) {
        let client = ClientId(number);
        let mut requests = Vec::new();
        if let Some(server) = &mut self.server {
            if what.writable {
                server.writable(client);
            }
            server.readable(client, &mut requests);
        }
        for request in requests {
            self.answer(client, request);
        }
        if what.hung_up {
            self.drop_client(client);
        } else {
            self.attend(client);
        }
    }

    fn send(&mut self, client: ClientId, answer: &Answer) {
        if let Some(server) = &mut self.server {
            server.send(client, answer);
        }
        self.attend(client);
    }

    fn answer(&mut self, client: ClientId, request: Request) {
        if request.v != VERSION {
            let why = format!(
                "version {} of the protocol is not spoken here, only {VERSION}",
                request.v
            );
            return self.send(client, &Answer::refused(&why));
        }
        let asked: Vec<(String, Option<usize>)> =
            if request.names.is_empty() && request.verb == Verb::Status {
                let all = self.services.iter().enumerate();
                let mut all: Vec<(String, Option<usize>)> = all
                    .filter_map(|(record, service)| {
                        Some((display(&service.as_ref()?.label), Some(record)))
                    })
                    .collect();
                all.sort();
                all
            } else {
                let names = request.names.iter().cloned();
                names.map(|name| (name.clone(), self.find(&name))).collect()
            };
        let signal = match (request.verb, request.signal.as_deref()) {
            (Verb::Kill, given) => match Signal::parse(given.unwrap_or("TERM")) {
                Some(signal) => signal,
                None => {
                    let why = format!("no signal is called {}", given.unwrap_or_default());
                    return self.send(client, &Answer::refused(&why));
                }
            },
            (Verb::Status | Verb::Start | Verb::Stop | Verb::Restart | Verb::Reload, _) => {
                Signal::Hup
            }
        };
        *self.clients.open.entry(client).or_default() += asked.len() + 1;
        for (name, record) in asked {
            let Some(record) = record else {
                let why = "there is no such service".to_owned();
                self.send(client, &Answer::about(&name, None, Some(why)));
                self.settle(client);
                continue;
            };
            self.ask(client, record, name, &request, signal);
        }
        self.settle(client);
    }

    /// Another answer of a request is out; the last line follows the last answer.
    fn settle(&mut self, client: ClientId) {
        if let Some(open) = self.clients.open.get_mut(&client) {
            *open = open.saturating_sub(1);
            if *open == 0 {
                self.clients.open.remove(&client);
                self.send(client, &Answer::done());
            }
        }
    }

    fn find(&self, name: &str) -> Option<usize> {
        self.services.iter().position(|service| {
            service
                .as_ref()
                .is_some_and(|service| display(&service.label) == name)
        })
    }

    fn ask(
        &mut self,
        client: ClientId,
        record: usize,
        name: String,
        request: &Request,
        signal: Signal,
    ) {
        let starts = self
            .service(record)
            .map_or(0, |service| service.supervisor.starts());
        let (controls, goal): (&[Control], Option<Goal>) = match request.verb {
            Verb::Status => (&[], None),
            Verb::Start => (&[Control::Up], Some(Goal::Ready { beyond: None })),
            Verb::Stop => (&[Control::Down], Some(Goal::Down)),
            Verb::Restart => (
                &[Control::Up, Control::Restart],
                Some(Goal::Ready {
                    beyond: Some(starts),
                }),
            ),
            Verb::Reload | Verb::Kill => (&[Control::Send(signal)], None),
        };
        if matches!(request.verb, Verb::Reload | Verb::Kill)
            && self
                .service(record)
                .is_some_and(|service| service.supervisor.run_pid().is_none())
        {
            let service = self.service(record).map(|service| self.tell(service));
            let why = format!("it is not running, so {} was not sent", signal.name());
            self.send(client, &Answer::about(&name, service, Some(why)));
            return self.settle(client);
        }
        for control in controls {
            self.queue
                .push_back((record, Event::Command(Command::plain(*control))));
        }
        self.drain_queue();
        match goal.filter(|_| request.wait_ms > 0) {
            Some(goal) => {
                let wait = Duration::from_millis(request.wait_ms).min(LONGEST_WAIT);
                let until = eudaemon_sys::clock::mono() + wait;
                self.clients.waiters.push(Waiter {
                    client,
                    record,
                    name,
                    goal,
                    until,
                });
                self.tell_waiters(record);
            }
            None => {
                let service = self.service(record).map(|service| self.tell(service));
                self.send(client, &Answer::about(&name, service, None));
                self.settle(client);
            }
        }
    }

    /// A service changed: whoever waits for what it is now, or can no longer become, is answered.
    pub(super) fn tell_waiters(&mut self, record: usize) {
        if self
            .clients
            .waiters
            .iter()
            .all(|waiter| waiter.record != record)
        {
            return;
        }
        let Some(service) = self.service(record) else {
            return;
        };
        let supervisor = service.supervisor;
        let verdict = |goal: Goal| match goal {
            Goal::Down if supervisor.is_down() => Some(None),
            Goal::Ready { beyond }
                if supervisor.is_ready() && beyond.is_none_or(|n| supervisor.starts() != n) =>
            {
                Some(None)
            }
            Goal::Ready { .. } if supervisor.is_failed() => {
                Some(Some("it failed and will not be restarted".to_owned()))
            }
            Goal::Ready { .. } if supervisor.is_down() && supervisor.wanted() == Wanted::Down => {
                Some(Some("somebody else took it down".to_owned()))
            }
            Goal::Down if supervisor.wanted() != Wanted::Down && supervisor.is_ready() => {
                Some(Some("somebody else brought it up".to_owned()))
            }
            Goal::Down | Goal::Ready { .. } => None,
        };
        let told = self.tell(service);
        let (settled, waiting): (Vec<_>, Vec<_>) = std::mem::take(&mut self.clients.waiters)
            .into_iter()
            .partition(|waiter| waiter.record == record && verdict(waiter.goal).is_some());
        let answers: Vec<(ClientId, Answer)> = settled
            .into_iter()
            .map(|waiter| {
                let error = verdict(waiter.goal).flatten();
                (
                    waiter.client,
                    Answer::about(&waiter.name, Some(told.clone()), error),
                )
            })
            .collect();
        self.clients.waiters = waiting;
        for (client, answer) in answers {
            self.send(client, &answer);
            self.settle(client);
        }
    }

    /// The supervisor left: what runs is nothing, which some wait for.
    pub(super) fn forget_waiters(&mut self, record: usize, service: &Service) {
        let told = self.tell(service);
        let (over, waiting): (Vec<_>, Vec<_>) = std::mem::take(&mut self.clients.waiters)
            .into_iter()
            .partition(|waiter| waiter.record == record);
        self.clients.waiters = waiting;
        for waiter in over {
            let error = (waiter.goal != Goal::Down).then(|| "its supervisor left".to_owned());
            self.send(
                waiter.client,
                &Answer::about(&waiter.name, Some(told.clone()), error),
            );
            self.settle(waiter.client);
        }
    }

    pub(super) fn time_out_clients(&mut self, now: Mono) {
        if self.clients.deadline().is_none_or(|at| at > now) {
            return;
        }
        let (late, waiting): (Vec<_>, Vec<_>) = std::mem::take(&mut self.clients.waiters)
            .into_iter()
            .partition(|waiter| waiter.until <= now);
        self.clients.waiters = waiting;
        for waiter in late {
            let service = self
                .service(waiter.record)
                .map(|service| self.tell(service));
            let why = match waiter.goal {
                Goal::Down => "it still runs",
                Goal::Ready { .. } => "it is not ready yet",
            };
            let mut answer = Answer::about(&waiter.name, service, Some(why.to_owned()));
            answer.timed_out = true;
            self.send(waiter.client, &answer);
            self.settle(waiter.client);
        }
    }

    /// What a service does, in words.
    fn tell(&self, service: &Service) -> Told {
        let supervisor = &service.supervisor;
        let name = display(&service.label);
        let bare = name
            .strip_suffix("/log")
            .filter(|_| service.about.part == Part::Log)
            .unwrap_or(&name)
            .to_owned();
        let now = eudaemon_sys::clock::mono();
        let state = match supervisor.phase() {
            Phase::Running if supervisor.run_pid().is_some() => {
                if supervisor.is_ready() {
                    "ready"
                } else {
                    "up"
                }
            }
            Phase::Starting | Phase::Running => "starting",
            Phase::Started => "ready",
            Phase::Stopping => "stopping",
            Phase::Failed => "failed",
            Phase::Stopped if supervisor.held().is_some() => "held",
            Phase::Stopped if supervisor.next_start().is_some() => "waiting",
            Phase::Stopped => "down",
        };
        let last = supervisor.last().map(|(_, ended)| ended.to_string());
        let mut detail = String::new();
        if let Some(hold) = supervisor.held() {
            detail = hold_word(hold).to_owned();
        } else if let Some(at) = supervisor.next_start() {
            let ended = last
                .clone()
                .unwrap_or_else(|| "it could not be started".to_owned());
            detail = format!("{ended}, next try in {:.1} s", at.since(now).as_secs_f64());
        } else if supervisor.is_failed() {
            detail = format!(
                "{}; it will not be restarted",
                last.clone().unwrap_or_else(|| "start failed".to_owned())
            );
        } else if supervisor.run_pid().is_some()
            && now.since(supervisor.up_since()) < START_GAP
            && supervisor.starts() > 1
        {
            detail = format!("restarted after {}", last.clone().unwrap_or_default());
        }
        Told {
            state: state.to_owned(),
            pid: supervisor
                .child(eudaemon_core::supervise::Role::Main)
                .map(eudaemon_core::words::Pid::get),
            wanted: match supervisor.wanted() {
                Wanted::Up => "up",
                Wanted::Down => "down",
                Wanted::Once => "once",
            }
            .to_owned(),
            ready: supervisor.is_ready(),
            paused: supervisor.status().main.paused,
            since: seconds(supervisor.since()),
            starts: supervisor.starts(),
            last,
            detail,
            dir: service.dir.path().to_string_lossy().into_owned(),
            logged: service.about.logged && service.about.part == Part::Main,
            log_dir: if service.about.builtin && service.about.part == Part::Main {
                self.builtin_log_dir(bare.as_bytes())
                    .map(|path| path.to_string_lossy().into_owned())
            } else {
                None
            },
            name,
        }
    }
}

fn display(label: &std::ffi::OsStr) -> String {
    label.to_string_lossy().into_owned()
}
