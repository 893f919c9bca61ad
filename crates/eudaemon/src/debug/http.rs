//! As much of HTTP/1.1 as a debug server needs. Source: RFC 9110 and RFC 9112.

use super::HEAD_MAX;
use eudaemon_core::time::Civil;
use std::net::IpAddr;

/// Most header lines.
const HEADERS: usize = 64;
/// Most bytes of a request's body: a log level.
pub(super) const BODY_MAX: usize = 1024;

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Method {
    Get,
    Head,
    Put,
    Post,
}

/// A request, understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Request {
    pub method: Method,
    pub path: String,
    pub query: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// Whether the line stays for another request.
    pub stays: bool,
}

impl Request {
    /// The value of a word behind the `?`; empty if it has none.
    pub(super) fn word(&self, name: &str) -> Option<&str> {
        let mut query = self.query.iter();
        let found = query.find(|(word, _)| word == name);
        found.map(|(_, value)| value.as_str())
    }
}

/// What has come so far.
#[derive(Debug)]
pub(super) enum Heard {
    /// Not all of it.
    Part,
    /// A request, of so many bytes.
    Whole(Request, usize),
    /// None that can be answered; the line is closed behind the reply.
    Wrong(Reply),
}

/// An answer.
#[derive(Clone, Debug)]
pub(super) struct Reply {
    pub status: u16,
    pub kind: &'static str,
    pub allow: Option<&'static str>,
    pub body: Vec<u8>,
}

pub(super) const TEXT: &str = "text/plain; charset=utf-8";

impl Reply {
    pub(super) fn text(status: u16, words: impl Into<String>) -> Reply {
        let mut body = words.into();
        if !body.ends_with('\n') {
            body.push('\n');
        }
        Reply {
            status,
            kind: TEXT,
            allow: None,
            body: body.into_bytes(),
        }
    }

    /// As bytes for the line. The body of an answer to HEAD is told by its length alone.
    pub(super) fn bytes(self, is_head: bool, stays: bool) -> Vec<u8> {
        let reason = match self.status {
            200 => "OK",
            400 => "Bad Request",
            403 => "Forbidden",
            404 => "Not Found",
            405 => "Method Not Allowed",
            408 => "Request Timeout",
            411 => "Length Required",
            413 => "Content Too Large",
            421 => "Misdirected Request",
            431 => "Request Header Fields Too Large",
            503 => "Service Unavailable",
            505 => "HTTP Version Not Supported",
            _ => "Error",
        };
        let mut head = format!(
            "HTTP/1.1 {} {reason}\r\nDate: {}\r\nContent-Type: {}\r\nContent-Length: {}\r\n\
             Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n",
            self.status,
            date(eudaemon_sys::clock::wall().secs()),
            self.kind,
            self.body.len()
        );
        if let Some(allow) = self.allow {
            head.push_str(&format!("Allow: {allow}\r\n"));
        }
        if !stays {
            head.push_str("Connection: close\r\n");
        }
        head.push_str("\r\n");
        let mut bytes = head.into_bytes();
        if !is_head {
            bytes.extend_from_slice(&self.body);
        }
        bytes
    }
}

/// `Sun, 06 Nov 1994 08:49:37 GMT`. Source: RFC 9110, 5.6.7.
fn date(secs: u64) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let at = Civil::from_secs(i64::try_from(secs).unwrap_or(0));
    let day = DAYS[(secs / 86_400 % 7) as usize];
    let month = MONTHS[usize::from(at.month.clamp(1, 12)) - 1];
    format!(
        "{day}, {:02} {month} {:04} {:02}:{:02}:{:02} GMT",
        at.day, at.year, at.hour, at.minute, at.second
    )
}

/// Reads a request. With `checks_host`, only one that was sent to an address of this machine: a page in somebody's browser that resolves
/// its own name to 127.0.0.1 is not answered.
pub(super) fn read(bytes: &[u8], checks_host: bool) -> Heard {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS];
    let mut head = httparse::Request::new(&mut headers);
    let wrong = |status, words: &str| Heard::Wrong(Reply::text(status, words));
    let length = match head.parse(bytes) {
        Ok(httparse::Status::Complete(length)) if length > HEAD_MAX => {
            return wrong(431, "the head of the request is too large");
        }
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return Heard::Part,
        Err(httparse::Error::TooManyHeaders) => return wrong(431, "too many header lines"),
        Err(httparse::Error::Version) => return wrong(505, "only HTTP/1.0 and HTTP/1.1"),
        Err(error) => return wrong(400, &format!("this is no HTTP request: {error}")),
    };
    let is_11 = head.version == Some(1);
    let lines = |name: &str| -> Vec<&[u8]> {
        let lines = head.headers.iter();
        let named = lines.filter(|line| line.name.eq_ignore_ascii_case(name));
        named.map(|line| line.value).collect()
    };
    match lines("host").as_slice() {
        [] if is_11 => return wrong(400, "a request of HTTP/1.1 names its host"),
        [] => {}
        [host] if checks_host && !is_here(host) => {
            return wrong(
                421,
                "this server answers only to 127.0.0.1, [::1] and localhost",
            );
        }
        [_] => {}
        [_, _, ..] => return wrong(400, "a request names one host"),
    }
    let method = match head.method {
        Some("GET") => Method::Get,
        Some("HEAD") => Method::Head,
        Some("PUT") => Method::Put,
        Some("POST") => Method::Post,
        Some(_) | None => {
            let mut reply = Reply::text(405, "only GET, HEAD, PUT and POST");
            reply.allow = Some("GET, HEAD, PUT, POST");
            return Heard::Wrong(reply);
        }
    };
    // A browser says for whom it asks; nobody changes a service from a page.
    let is_change = matches!(method, Method::Put | Method::Post);
    if is_change && !lines("origin").is_empty() {
        return wrong(403, "not from a page");
    }
    if !lines("transfer-encoding").is_empty() {
        return wrong(411, "a body is sent with its length");
    }
    let size = match lines("content-length").as_slice() {
        [] => 0,
        [size] => match number(size) {
            Some(size) if size <= BODY_MAX => size,
            Some(_) => return wrong(413, "the body is too large"),
            None => return wrong(400, "this length is no number"),
        },
        [_, _, ..] => return wrong(400, "a request has one length"),
    };
    let Some(body) = bytes.get(length..length + size) else {
        return Heard::Part;
    };
    let says = |word: &str| {
        let lines = lines("connection");
        let mut words = lines
            .iter()
            .flat_map(|line| line.split(|&byte| byte == b','));
        words.any(|one| one.trim_ascii().eq_ignore_ascii_case(word.as_bytes()))
    };
    let stays = is_11 && !says("close");
    let (path, query) = target(head.path.unwrap_or_default());
    let request = Request {
        method,
        path,
        query,
        body: body.to_vec(),
        stays,
    };
    Heard::Whole(request, length + size)
}

/// Digits alone: `parse` would take a `+`.
fn number(text: &[u8]) -> Option<usize> {
    let digits = std::str::from_utf8(text).ok()?.trim();
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| digits.parse().unwrap_or(usize::MAX))
}

fn is_here(host: &[u8]) -> bool {
    let Ok(host) = std::str::from_utf8(host) else {
        return false;
    };
    let host = host.trim();
    let bare = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    bare.eq_ignore_ascii_case("localhost")
        || bare
            .parse::<IpAddr>()
            .is_ok_and(|ip| ip.to_canonical().is_loopback())
}

/// The path and the words behind the `?`, of a target in either form (RFC 9112, 3.2.1 and 3.2.2).
fn target(target: &str) -> (String, Vec<(String, String)>) {
    let target = match target.strip_prefix("http://") {
        Some(rest) => rest.find('/').map_or("/", |slash| &rest[slash..]),
        None => target,
    };
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let words = query.split('&').filter(|word| !word.is_empty());
    let words = words.map(|word| {
        let (name, value) = word.split_once('=').unwrap_or((word, ""));
        (name.to_owned(), value.to_owned())
    });
    (path.to_owned(), words.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(bytes: &str) -> u16 {
        match read(bytes.as_bytes(), true) {
            Heard::Wrong(reply) => reply.status,
            Heard::Part => 1,
            Heard::Whole(_, length) => {
                assert_eq!(length, bytes.len(), "{bytes:?}");
                0
            }
        }
    }

    #[test]
    fn requests_are_taken_or_refused() {
        let many = format!(
            "GET / HTTP/1.1\r\nHost: [::1]\r\n{}\r\n",
            "A: b\r\n".repeat(70)
        );
        let long = format!("GET /{} HTTP/1.0\r\n\r\n", "x".repeat(HEAD_MAX));
        let rows = [
            ("GET / HTTP/1.1\r\nHost: localhost:9\r\n\r\n", 0),
            ("GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", 0),
            ("GET / HTTP/1.0\r\n\r\n", 0),
            ("GET / HTTP/1.1\r\nHost: localhost\r\n", 1),
            ("PUT / HTTP/1.0\r\nContent-Length: 2\r\n\r\nab", 0),
            ("PUT / HTTP/1.0\r\nContent-Length: 2\r\n\r\na", 1),
            ("GET / HTTP/1.1\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n", 421),
            ("GET / HTTP/1.1\r\nHost: 10.0.0.1\r\n\r\n", 421),
            ("PUT / HTTP/1.0\r\nContent-Length: +2\r\n\r\n", 400),
            (
                "PUT / HTTP/1.0\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
                400,
            ),
            (
                "PUT / HTTP/1.0\r\nContent-Length: 99999999999999999999999\r\n\r\n",
                413,
            ),
            ("PUT / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 411),
            (
                "POST / HTTP/1.0\r\nOrigin: http://evil.example\r\n\r\n",
                403,
            ),
            ("BREW / HTTP/1.0\r\n\r\n", 405),
            ("GET / HTTP/2.0\r\n\r\n", 505),
            ("\x16\x03\x01 hello\r\n\r\n", 400),
            (&many, 431),
            (&long, 431),
        ];
        for (bytes, wanted) in rows {
            assert_eq!(status(bytes), wanted, "{bytes:.90?}");
        }
    }

    #[test]
    fn the_path_the_words_and_the_stay_are_read() {
        let text = "GET http://localhost/readyz?verbose&x=1 HTTP/1.1\r\nHost: localhost\r\n\
                    Connection: foo, Close\r\n\r\n";
        let Heard::Whole(request, _) = read(text.as_bytes(), true) else {
            panic!("not whole");
        };
        assert_eq!(request.path, "/readyz");
        assert_eq!(
            (request.word("verbose"), request.word("x")),
            (Some(""), Some("1"))
        );
        assert!(!request.stays);
    }

    #[test]
    fn a_date_is_the_one_of_the_document() {
        assert_eq!(date(784_111_777), "Sun, 06 Nov 1994 08:49:37 GMT");
    }
}
