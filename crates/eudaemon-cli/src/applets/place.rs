//! Where a service's supervisor keeps its files, as the clients find it.

use eudaemon_core::status::Dialect;
use eudaemon_sys::file::Folder;
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;

/// The directory `supervise`, or what the environment says instead.
#[derive(Debug)]
pub struct Place {
    name: Vec<u8>,
    /// Whose supervisors may be meant.
    dialect: Dialect,
}

impl Place {
    /// What `SUPERVISEDIR` says; 0.76 does not know it. Source: specification §2.2.
    pub fn from_environment(dialect: Dialect) -> Place {
        let named = match dialect {
            Dialect::Classic => None,
            Dialect::Encore | Dialect::Runit | Dialect::Auto => {
                std::env::var_os("SUPERVISEDIR").filter(|name| !name.is_empty())
            }
        };
        Place {
            name: named.map_or_else(|| b"supervise".to_vec(), |name| name.as_bytes().to_vec()),
            dialect,
        }
    }

    /// Whether a supervisor there makes a FIFO again that was deleted.
    pub fn is_remade(&self) -> bool {
        self.dialect != Dialect::Classic
    }

    /// The file's name for a message, as seen from within the service directory.
    pub fn told(&self, file: &str) -> Vec<u8> {
        [self.name.as_slice(), b"/", file.as_bytes()].concat()
    }

    /// The file's path as seen from here, for a try without entering the directory; `None` if it must be entered.
    ///
    /// An empty name is no directory, but would make a path that is one.
    pub fn beside<'a>(
        &self,
        service: &OsStr,
        file: &str,
        buffer: &'a mut Vec<u8>,
    ) -> Option<&'a [u8]> {
        if service.is_empty() || self.is_absolute() {
            return None;
        }
        buffer.clear();
        for part in [service.as_bytes(), b"/", &self.name, b"/", file.as_bytes()] {
            buffer.extend_from_slice(part);
        }
        Some(buffer)
    }

    /// The file's path for a process whose working directory is the service directory.
    ///
    /// # Errors
    /// For an absolute `SUPERVISEDIR`, when the system cannot tell where we are.
    pub fn within(&self, file: &str) -> io::Result<Vec<u8>> {
        if !self.is_absolute() {
            return Ok(self.told(file));
        }
        let here = std::env::current_dir()?;
        Ok(self.elsewhere(here.as_os_str().as_bytes(), file))
    }

    fn is_absolute(&self) -> bool {
        self.name.first() == Some(&b'/')
    }

    /// The real path's slashes but the first become colons, so that all services fit in one directory.
    fn elsewhere(&self, here: &[u8], file: &str) -> Vec<u8> {
        let flat = here
            .iter()
            .enumerate()
            .map(|(at, &byte)| if at > 0 && byte == b'/' { b':' } else { byte });
        let mut path = self.name.clone();
        path.extend(flat);
        path.push(b'/');
        path.extend_from_slice(file.as_bytes());
        path
    }
}

/// The directory a program was started in, to which it returns after each service.
#[derive(Debug)]
pub struct Home(Folder);

impl Home {
    /// Remembers where we are.
    pub fn remember() -> io::Result<Home> {
        Ok(Home(Folder::open(c".")?))
    }

    /// Goes back there.
    pub fn back(&self) -> io::Result<()> {
        self.0.enter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_for_all_is_named_by_the_real_path() {
        let place = Place {
            name: b"/run/sv".to_vec(),
            dialect: Dialect::Auto,
        };
        // Source: specification §2.2, its example.
        assert_eq!(
            place.elsewhere(b"/service/a", "ok"),
            b"/run/sv/service:a/ok"
        );
        assert_eq!(place.beside(OsStr::new("a"), "ok", &mut Vec::new()), None);
    }

    #[test]
    fn a_place_in_each_is_named_by_its_name() {
        let place = Place {
            name: b"supervise".to_vec(),
            dialect: Dialect::Auto,
        };
        let mut buffer = Vec::new();
        assert_eq!(
            place.beside(OsStr::new("x/y"), "ok", &mut buffer),
            Some(&b"x/y/supervise/ok"[..])
        );
        assert_eq!(place.beside(OsStr::new(""), "ok", &mut buffer), None);
        assert_eq!(place.within("ok").expect("needs nothing"), b"supervise/ok");
    }
}
