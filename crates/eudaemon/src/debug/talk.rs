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
    /// A profile, until that moment.
    #[cfg(feature = "profile")]
    Profile(crate::profile::Profile, Mono),
}

struct Job {
    #[cfg(feature = "profile")]
    profile: crate::profile::Profile,
    until: Mono,
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
            #[cfg(feature = "profile")]
            Served::Profile(profile, until) => {
                client.job = Some(Job {
                    profile,
                    until,
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
        finish(job)
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

#[cfg(feature = "profile")]
fn finish(job: Job) -> Next {
    let reply = match job.profile.stop() {
        Ok(body) => Reply {
            status: 200,
            kind: "application/octet-stream",
            allow: None,
            body,
        },
        Err(error) => endpoints::unable("end the profile", &error),
    };
    said(reply, &job.request)
}

#[cfg(not(feature = "profile"))]
fn finish(job: Job) -> Next {
    said(Reply::text(404, "there is no such page"), &job.request)
}

fn said(reply: Reply, request: &Request) -> Next {
    let bytes = reply.bytes(request.method == Method::Head, request.stays);
    if request.stays {
        Next::Say(bytes)
    } else {
        Next::Last(bytes)
    }
}
