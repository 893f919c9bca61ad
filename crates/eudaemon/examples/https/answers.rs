//! What is answered.

use crate::settings::Settings;
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::{Request, Response, StatusCode};
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

/// The most that `/bytes/` gives.
const MOST: usize = 1 << 24;

pub struct Answers {
    greeting: RwLock<String>,
    generation: u32,
}

impl Answers {
    pub fn new(settings: Settings, generation: u32) -> Answers {
        Answers {
            greeting: RwLock::new(settings.greeting),
            generation,
        }
    }

    pub fn change(&self, settings: Settings) {
        *self
            .greeting
            .write()
            .unwrap_or_else(PoisonError::into_inner) = settings.greeting;
    }

    pub async fn to<B>(&self, request: &Request<B>) -> Response<Full<Bytes>> {
        let (word, number) = match request.uri().path().trim_start_matches('/').split_once('/') {
            Some((word, number)) => (word, number.parse::<u32>().ok()),
            None => (request.uri().path(), None),
        };
        let (status, body) = match (word, number) {
            ("/", None) => (StatusCode::OK, self.greeting().into()),
            ("bytes", Some(count)) if count as usize <= MOST => {
                (StatusCode::OK, vec![b'x'; count as usize].into())
            }
            ("slow", Some(milliseconds)) => {
                tokio::time::sleep(Duration::from_millis(milliseconds.into())).await;
                (StatusCode::OK, Bytes::from_static(b"slow\n"))
            }
            _ => (StatusCode::NOT_FOUND, Bytes::from_static(b"not found\n")),
        };
        let mut response = Response::new(Full::new(body));
        *response.status_mut() = status;
        response
    }

    fn greeting(&self) -> String {
        let greeting = self.greeting.read().unwrap_or_else(PoisonError::into_inner);
        let (process, generation) = (std::process::id(), self.generation);
        format!("{greeting} from process {process}, generation {generation}\n")
    }
}
