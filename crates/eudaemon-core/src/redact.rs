//! What is not shown to whoever may look at a running service.

use alloc::string::String;

/// What stands in its place.
pub const REDACTED: &str = "(redacted)";

/// Parts of a name that make its value a secret, whatever else is in it. Rather a keyboard too much than a key too little.
const SECRET: [&str; 8] = [
    "password",
    "passwd",
    "passphrase",
    "secret",
    "token",
    "key",
    "credential",
    "cookie",
];

/// The value of an option as it may be shown: not at all if the name tells of a secret; without the password if it is an
/// address with one, as in `postgres://user:password@host/`.
#[must_use]
pub fn shown(name: &str, value: &str) -> String {
    let name = name.to_ascii_lowercase();
    if SECRET.iter().any(|part| name.contains(part)) {
        return REDACTED.into();
    }
    let mut out = String::new();
    let mut rest = value;
    while let Some((before, after)) = rest.split_once("://") {
        out.push_str(before);
        out.push_str("://");
        // Source: RFC 3986, 3.2: the authority ends at the next `/`, `?` or `#`; its user part at the last `@` before.
        let end = after.find(['/', '?', '#', ' ', ',']).unwrap_or(after.len());
        let (authority, behind) = after.split_at(end);
        match authority.rsplit_once('@') {
            Some((user, host)) => {
                let user = user.split(':').next().unwrap_or_default();
                out.push_str(user);
                if authority.contains(':') {
                    out.push(':');
                    out.push_str(REDACTED);
                }
                out.push('@');
                out.push_str(host);
            }
            None => out.push_str(authority),
        }
        rest = behind;
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_not_shown() {
        let rows = [
            ("tls-key", "abc", REDACTED),
            ("DB_PASSWORD", "abc", REDACTED),
            ("api.Token", "", REDACTED),
            ("port", "80", "80"),
            (
                "db",
                "postgres://me:pw@h:1/x?y=z",
                "postgres://me:(redacted)@h:1/x?y=z",
            ),
            (
                "db",
                "postgres://me:p@w@h/x",
                "postgres://me:(redacted)@h/x",
            ),
            (
                "two",
                "a://u:1@h,b://u:2@h",
                "a://u:(redacted)@h,b://u:(redacted)@h",
            ),
            ("url", "http://h:80/a@b", "http://h:80/a@b"),
        ];
        for (name, value, wanted) in rows {
            assert_eq!(shown(name, value), wanted, "{name}");
        }
    }
}
