//! Which file an address belongs to, and what the program's own file calls it.

use eudaemon_core::elf::Elf;
use eudaemon_core::pprof;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

/// The program's own file, opened while it could be.
#[derive(Debug)]
pub(super) struct Own {
    file: Option<File>,
    path: PathBuf,
}

impl Own {
    /// Without it, a profile has addresses and no names.
    pub(super) fn open() -> Own {
        Own {
            file: File::open("/proc/self/exe").ok(),
            path: std::fs::read_link("/proc/self/exe").unwrap_or_default(),
        }
    }

    /// Puts the program first, gives it its build id, and answers with what names its functions.
    pub(super) fn describe(
        &self,
        profile: &mut pprof::Profile,
    ) -> impl FnMut(u64) -> Option<String> + use<> {
        let elf = self.file.as_ref().and_then(read).unwrap_or_default();
        let own = self.path.to_string_lossy().into_owned();
        let (mut mine, others): (Vec<_>, Vec<_>) = std::mem::take(&mut profile.mappings)
            .into_iter()
            .partition(|mapping| mapping.file == own);
        for mapping in &mut mine {
            mapping.build_id.clone_from(&elf.build_id);
        }
        profile.mappings.extend(mine.iter().cloned());
        profile.mappings.extend(others);
        move |address| {
            let inside = |mapping: &&pprof::Mapping| (mapping.from..mapping.to).contains(&address);
            let mapping = mine.iter().find(inside)?;
            let name = elf.name_at(address - mapping.from + mapping.offset)?;
            Some(name.to_owned())
        }
    }
}

fn read(file: &File) -> Option<Elf> {
    let size = file.metadata().ok()?.len();
    Elf::read(|offset, length| {
        // Nothing is allocated for what the file cannot hold.
        let fits = offset.checked_add(length).is_some_and(|end| end <= size);
        let mut bytes = vec![0; fits.then(|| usize::try_from(length).ok())??];
        file.read_exact_at(&mut bytes, offset).ok()?;
        Some(bytes)
    })
}

/// The executable mappings in the text of `/proc/self/maps`. Source: `proc_pid_maps(5)`.
pub(super) fn code(maps: &str) -> Vec<pprof::Mapping> {
    maps.lines().filter_map(mapping).collect()
}

fn mapping(line: &str) -> Option<pprof::Mapping> {
    // Five words, and then a name in which there may be blanks.
    let mut words = line.splitn(6, ' ');
    let (from, to) = words.next()?.split_once('-')?;
    let is_code = words.next()?.as_bytes().get(2) == Some(&b'x');
    let offset = words.next()?;
    let file = words.nth(2).unwrap_or_default().trim_start();
    let number = |digits| u64::from_str_radix(digits, 16).ok();
    Some(pprof::Mapping {
        from: number(from)?,
        to: number(to)?,
        offset: number(offset)?,
        file: file.to_owned(),
        build_id: String::new(),
    })
    .filter(|_| is_code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_have_blanks_and_may_be_missing() {
        let maps = "55d0c0de0000-55d0c0df0000 r-xp 00002000 fe:01 1234                       /opt/my app\n\
                    7f0000000000-7f0000001000 rw-p 00000000 00:00 0 \n\
                    7f0000002000-7f0000003000 r-xp 00000000 00:00 0 \n";
        let found = code(maps);
        assert_eq!(found.len(), 2);
        assert_eq!(
            (found[0].offset, found[0].file.as_str()),
            (0x2000, "/opt/my app")
        );
        assert_eq!(
            (found[1].from, found[1].file.as_str()),
            (0x7f00_0000_2000, "")
        );
    }
}
