//! One request, one reply; a profile is waited for without anyone else waiting.

use super::http::{self, Heard, Method, Reply, Request};
use super::{State, endpoints};
use crate::clients::{Line, Next, Talk};
use eudaemon_core::time::Mono;

pub(super) struct Requests {
    pub state: State,
    /// Whether only requests sent to this machine by an address of it are answered.
    pub checks_host: bool,
}

/// One client, and what is being done for it.
#[derive(Default)]
pub(super) struct Client {
    job: Option<Job>,
}

/// What an endpoint answers.
pub(super) enum Served {
    Now(Reply),
    /// At that moment. Dropping what would answer ends what is being done.
    #[cfg_attr(not(feature = "profile"), allow(dead_code))]
    Later(Mono, Answer),
}

pub(super) type Answer = Box<dyn FnOnce() -> Reply + Send>;

struct Job {
    until: Mono,
    answer: Answer,
    request: Request,
}

impl Talk for Requests {
    type Client = Client;

    fn greet(&mut self, _: &Line) -> Result<Client, Vec<u8>> {
        Ok(Client::default())
    }

    fn heard(&mut self, client: &mut Client, heard: &mut Vec<u8>) -> Next {
        let request = match http::read(heard, self.checks_host) {
            Heard::Part => return Next::Hear,
            Heard::Wrong(reply) => return Next::Last(reply.bytes(false, false)),
            Heard::Whole(request, length) => {
                heard.drain(..length);
                request
            }
        };
        match endpoints::serve(&self.state, &request) {
            Served::Now(reply) => said(reply, &request),
            Served::Later(until, answer) => {
                client.job = Some(Job {
                    until,
                    answer,
                    request,
                });
                Next::Wait(Some(until))
            }
        }
    }

    fn due(&mut self, client: &mut Client, now: Mono) -> Next {
        let Some(job) = client.job.take() else {
            return Next::Hear;
        };
        if now < job.until {
            let until = job.until;
            client.job = Some(job);
            return Next::Wait(Some(until));
        }
        said((job.answer)(), &job.request)
    }

    fn overlong(&self) -> Vec<u8> {
        Reply::text(431, "the head of the request is too large").bytes(false, false)
    }

    fn late(&self) -> Vec<u8> {
        Reply::text(408, "the request did not end in time").bytes(false, false)
    }

    fn full(&self) -> Vec<u8> {
        Reply::text(503, "too many clients").bytes(false, false)
    }
}

fn said(reply: Reply, request: &Request) -> Next {
    let bytes = reply.bytes(request.method == Method::Head, request.stays);
    if request.stays {
        Next::Say(bytes)
    } else {
        Next::Last(bytes)
    }
}
