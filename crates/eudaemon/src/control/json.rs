//! JSON as it is written. Source: RFC 8259.

use std::fmt::{self, Write};

/// A value.
#[derive(Clone, Debug)]
pub(super) enum Json {
    Bool(bool),
    Text(String),
    Object(Vec<(String, Json)>),
}

impl fmt::Display for Json {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Json::Bool(value) => write!(to, "{value}"),
            Json::Text(text) => quoted(to, text),
            Json::Object(members) => {
                to.write_char('{')?;
                for (index, (name, value)) in members.iter().enumerate() {
                    to.write_str(if index > 0 { "," } else { "" })?;
                    quoted(to, name)?;
                    write!(to, ":{value}")?;
                }
                to.write_char('}')
            }
        }
    }
}

fn quoted(to: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    to.write_char('"')?;
    for c in text.chars() {
        match c {
            '"' => to.write_str("\\\"")?,
            '\\' => to.write_str("\\\\")?,
            c if u32::from(c) < 0x20 => write!(to, "\\u{:04x}", u32::from(c))?,
            c => to.write_char(c)?,
        }
    }
    to.write_char('"')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_escaped() {
        let json = Json::Object(vec![
            ("a\"".into(), Json::Text("x\\\n\u{1}ü".into())),
            ("b".into(), Json::Bool(true)),
        ]);
        assert_eq!(
            json.to_string(),
            "{\"a\\\"\":\"x\\\\\\u000a\\u0001ü\",\"b\":true}"
        );
    }
}
