//! Whether a program needs another to be started. Source: elf(5).

/// Program header of the interpreter's name, `PT_INTERP`.
const INTERPRETER: u32 = 3;

/// The path of the dynamic linker a 64-bit little-endian ELF file asks for; `None` if it asks for none.
///
/// # Errors
/// It is no such file, or is cut short.
pub fn interpreter(file: &[u8]) -> Result<Option<String>, String> {
    // Magic, 64 bits, little-endian.
    if !file.starts_with(b"\x7fELF\x02\x01") {
        return Err("not a 64-bit little-endian ELF file".to_owned());
    }
    let table = number(file, 32, 8)?;
    let entry_size = number(file, 54, 2)?;
    let count = number(file, 56, 2)?;
    for at in (0..count).map(|index| table.saturating_add(index * entry_size)) {
        if u32::try_from(number(file, at, 4)?) == Ok(INTERPRETER) {
            let start = number(file, at + 8, 8)?;
            let size = number(file, at + 32, 8)?;
            let name = start
                .checked_add(size)
                .and_then(|end| file.get(start..end))
                .ok_or_else(cut)?;
            return Ok(Some(
                String::from_utf8_lossy(name)
                    .trim_end_matches('\0')
                    .to_owned(),
            ));
        }
    }
    Ok(None)
}

fn cut() -> String {
    "an ELF file that is cut short".to_owned()
}

fn number(file: &[u8], at: usize, size: usize) -> Result<usize, String> {
    let bytes = at
        .checked_add(size)
        .and_then(|end| file.get(at..end))
        .ok_or_else(cut)?;
    let value = bytes
        .iter()
        .rev()
        .fold(0u64, |value, &byte| value << 8 | u64::from(byte));
    usize::try_from(value).map_err(|_| cut())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dynamic_program_names_its_linker() {
        let shell = std::fs::read("/bin/echo").unwrap();
        let linker = interpreter(&shell)
            .unwrap()
            .expect("a distribution's echo is dynamic");
        assert!(linker.contains("ld"), "{linker}");
        assert!(interpreter(&shell[..60]).is_err());
        assert!(interpreter(b"#!/bin/sh\n").is_err());
    }
}
