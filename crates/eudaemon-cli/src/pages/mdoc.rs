//! Reads the few macros of mdoc(7) that our pages use where a table stands behind them.

use std::path::Path;

/// One manual page: its lines, by section.
pub struct Page {
    file: String,
    title: String,
    sections: Vec<(String, Vec<String>)>,
}

impl Page {
    /// Reads a file.
    pub fn read(path: &Path) -> Page {
        let file = path.file_name().expect("a file").to_string_lossy();
        let text = std::fs::read_to_string(path).expect("a page that can be read");
        Page::parse(&file, &text)
    }

    /// Reads the text of a file of this name.
    pub fn parse(file: &str, text: &str) -> Page {
        let mut page = Page {
            file: file.to_owned(),
            title: String::new(),
            sections: Vec::new(),
        };
        for line in text.lines() {
            if let Some(title) = line.strip_prefix(".Dt ") {
                page.title = title.to_owned();
            } else if let Some(name) = line.strip_prefix(".Sh ") {
                page.sections.push((name.to_owned(), Vec::new()));
            } else if let Some((_, lines)) = page.sections.last_mut() {
                lines.push(line.to_owned());
            }
        }
        page
    }

    /// Its file's name.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// Its file's name without the number.
    pub fn stem(&self) -> &str {
        self.file.rsplit_once('.').map_or("", |(stem, _)| stem)
    }

    /// What is wrong with the title, which must be the file's name in capitals.
    pub fn wrong_title(&self) -> Option<String> {
        let section = self.file.strip_prefix(self.stem()).unwrap_or_default();
        let wanted = format!("{} {}", self.stem(), section.trim_start_matches('.')).to_uppercase();
        (self.title != wanted).then(|| format!("its title is {:?}, not {wanted:?}", self.title))
    }

    /// The lines of a section; none if there is no such section.
    pub fn section(&self, name: &str) -> &[String] {
        let found = self.sections.iter().find(|(section, _)| section == name);
        found.map_or(&[], |(_, lines)| lines.as_slice())
    }

    /// The names behind `.Nm` in NAME.
    pub fn names(&self) -> Vec<String> {
        let names = self
            .section("NAME")
            .iter()
            .filter_map(|line| line.strip_prefix(".Nm "));
        names
            .map(|name| name.trim_end_matches(" ,").to_owned())
            .collect()
    }

    /// What stands behind `.Nd`.
    pub fn purpose(&self) -> String {
        let mut lines = self.section("NAME").iter();
        let found = lines.find_map(|line| line.strip_prefix(".Nd "));
        found.unwrap_or_default().to_owned()
    }

    /// Each way the program is called; a line that begins with `.Nm` begins one.
    pub fn synopses(&self) -> Vec<String> {
        let mut forms: Vec<Vec<String>> = Vec::new();
        for line in self.section("SYNOPSIS") {
            let line = match line.strip_prefix(".Nm") {
                Some(rest) => {
                    forms.push(Vec::new());
                    let own = self.names().into_iter().next().unwrap_or_default();
                    let rest = rest.trim_start();
                    format!(".No {}", if rest.is_empty() { &own } else { rest })
                }
                None => line.clone(),
            };
            if let Some(form) = forms.last_mut() {
                form.push(line);
            }
        }
        forms.iter().map(|form| plain(form)).collect()
    }

    /// The heads of the lists of a section, at whatever depth.
    pub fn items(&self, section: &str) -> Vec<String> {
        let heads = self
            .section(section)
            .iter()
            .filter_map(|line| line.strip_prefix(".It "));
        heads.map(|head| plain(&[format!(".No {head}")])).collect()
    }
}

/// How the words behind a macro look.
#[derive(Clone, Copy)]
enum Look {
    Plain,
    Flag,
    Argument,
}

/// What macro lines say, as it is written in our tables: flags with their dash, arguments in capitals, options in brackets.
fn plain(lines: &[String]) -> String {
    let mut out = String::new();
    let mut glue = true;
    for line in lines {
        let mut look = Look::Plain;
        let mut open = 0;
        for word in line.trim_start_matches('.').split(' ') {
            let text = match word {
                "Op" | "Oo" => {
                    open += usize::from(word == "Op");
                    look = Look::Plain;
                    put(&mut out, &mut glue, "[");
                    glue = true;
                    continue;
                }
                "Oc" => {
                    out.push(']');
                    continue;
                }
                "Ns" => {
                    glue = true;
                    continue;
                }
                "Fl" => {
                    look = Look::Flag;
                    continue;
                }
                "Ar" => {
                    look = Look::Argument;
                    continue;
                }
                "Cm" | "No" | "Ev" | "Ql" | "Pa" => {
                    look = Look::Plain;
                    continue;
                }
                "..." | "," => {
                    out.push_str(word);
                    glue = false;
                    continue;
                }
                "|" => {
                    out.push('|');
                    glue = true;
                    continue;
                }
                other => other
                    .replace("\\(en", "-")
                    .replace("\\-", "-")
                    .replace("\\&", ""),
            };
            let text = match look {
                Look::Plain => text,
                Look::Flag => format!("-{text}"),
                Look::Argument => text.to_uppercase(),
            };
            put(&mut out, &mut glue, &text);
        }
        out.extend(std::iter::repeat_n(']', open));
    }
    out
}

fn put(out: &mut String, glue: &mut bool, text: &str) {
    if !std::mem::take(glue) {
        out.push(' ');
    }
    out.push_str(text);
}

#[test]
fn macros_are_read_as_they_look() {
    let plain = |text: &str| plain(&text.lines().map(str::to_owned).collect::<Vec<_>>());
    assert_eq!(
        plain(".No x\n.Op Fl nNxX\n.Ar file\n.Op Ar arg ..."),
        "x [-nNxX] FILE [ARG...]"
    );
    assert_eq!(
        plain(".No x\n.Oo\n.Fl -wait Ar secs |\n.Fl -no-block\n.Oc\n.Ar name ..."),
        "x [--wait SECS|--no-block] NAME..."
    );
    assert_eq!(
        plain(".No Fl s , Fl -signal Ar signal"),
        "-s, --signal SIGNAL"
    );
    assert_eq!(
        plain(".No x\n.Oo\n.Fl l | L Ar lock\n.Oc Ns ...\n.Ar y"),
        "x [-l|-L LOCK]... Y"
    );
    assert_eq!(plain(".No Fl t Ns Oo Cm t Oc"), "-t[t]");
}
