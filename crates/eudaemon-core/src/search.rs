//! Where a program's file is looked for. Source: specification §0.5.

use alloc::vec::Vec;

/// Where to look when the environment does not say.
const USUAL_PLACES: &[u8] = b"/bin:/usr/bin";

/// What a failed exec says about the search.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Miss {
    /// There is no such file.
    NotThere,
    /// There is one, and it may not be executed, or is a directory.
    Refused,
    /// Anything else.
    Broken,
}

/// A search for a program, from place to place. `E` is an error, which is carried and never looked at.
#[derive(Clone, Debug)]
pub struct Search<'a, E> {
    name: &'a [u8],
    /// The places that are left; `None` if there are none.
    rest: Option<&'a [u8]>,
    /// The name is a path: it is tried as it is, once.
    direct: bool,
    refused: Option<E>,
    last: Option<E>,
}

impl<'a, E> Search<'a, E> {
    /// A search for a name in the places of `path`, the value of PATH; `None` if it is not set.
    #[must_use]
    pub fn new(name: &'a [u8], path: Option<&'a [u8]>) -> Search<'a, E> {
        Search {
            name,
            rest: Some(path.unwrap_or(USUAL_PLACES)),
            direct: name.contains(&b'/'),
            refused: None,
            last: None,
        }
    }

    /// The most bytes a file's path can have, with a NUL behind it.
    #[must_use]
    pub fn longest(&self) -> usize {
        let place = self.rest.map_or(0, <[u8]>::len).max(1);
        place + self.name.len() + 2
    }

    /// Puts the path of the next file to try into `file`; false if there is none.
    pub fn next_file(&mut self, file: &mut Vec<u8>) -> bool {
        let Some(rest) = self.rest else { return false };
        file.clear();
        if self.direct {
            self.rest = None;
        } else {
            let end = rest.iter().position(|&byte| byte == b':');
            self.rest = end.map(|end| &rest[end + 1..]);
            let place = &rest[..end.unwrap_or(rest.len())];
            // An empty place is where we are.
            file.extend_from_slice(if place.is_empty() { b"." } else { place });
            file.push(b'/');
        }
        file.extend_from_slice(self.name);
        true
    }

    /// Takes why the last file could not be executed.
    pub fn missed(&mut self, miss: Miss, error: E) {
        match miss {
            Miss::NotThere => {}
            Miss::Refused => {
                self.refused = Some(error);
                return;
            }
            Miss::Broken => self.rest = None,
        }
        self.last = Some(error);
    }

    /// What to report: a refusal before what came last; `None` if nothing was tried.
    #[must_use]
    pub fn outcome(self) -> Option<E> {
        self.refused.or(self.last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::String;

    fn tried(name: &str, path: Option<&str>, misses: &[Miss]) -> (Vec<String>, Option<usize>) {
        let mut search = Search::new(name.as_bytes(), path.map(str::as_bytes));
        let (mut file, mut tried) = (Vec::new(), Vec::new());
        let longest = search.longest();
        while search.next_file(&mut file) {
            assert!(file.len() < longest);
            let miss = misses.get(tried.len()).copied().unwrap_or(Miss::NotThere);
            search.missed(miss, tried.len());
            tried.push(String::from_utf8_lossy(&file).into_owned());
        }
        (tried, search.outcome())
    }

    #[test]
    fn places_are_tried_in_their_order() {
        let (files, error) = tried("x", Some("/a::/b/:c:"), &[]);
        assert_eq!(files, ["/a/x", "./x", "/b//x", "c/x", "./x"]);
        assert_eq!(error, Some(4));
        assert_eq!(tried("x", None, &[]).0, ["/bin/x", "/usr/bin/x"]);
        assert_eq!(tried("x", Some(""), &[]).0, ["./x"]);
        assert_eq!(tried("", Some("/a"), &[]).0, ["/a/"]);
        assert_eq!(tried("./x", Some("/a:/b"), &[]).0, ["./x"]);
    }

    #[test]
    fn a_refusal_is_remembered_and_what_is_broken_ends_the_search() {
        use Miss::{Broken, NotThere, Refused};
        let path = Some("/a:/b:/c");
        assert_eq!(tried("x", path, &[Refused, NotThere, NotThere]).1, Some(0));
        assert_eq!(tried("x", path, &[Refused, Refused, NotThere]).1, Some(1));
        let (files, error) = tried("x", path, &[NotThere, Broken]);
        assert_eq!((files.len(), error), (2, Some(1)));
        assert_eq!(tried("x", path, &[Refused, Broken]).1, Some(0));
        assert_eq!(tried("/x", path, &[Refused]).1, Some(0));
    }
}
