//! Any byte arrives as it was written, with little memory.

use crate::{count, logger};
use eudaemon_lab::Subject;
use eudaemon_lab::log::arrives;

#[test]
fn any_bytes_arrive() {
    for subject in [Subject::Djb, Subject::Ours] {
        let Some(logger) = logger(subject) else {
            return;
        };
        let long = u64::from(count("EUDAEMON_LOG_LINE_MIB", 40)) << 20;
        let all: Vec<u8> = (0..=255).cycle().take(100_000).collect();
        for (head, long, tail) in [
            (&b"\0\n\0\0\n"[..], 0, &b"end\n"[..]),
            (b"\xff\xfe no UTF-8 \x80\n", 0, b"no newline"),
            (&all, 5000, b"\0"),
            (b"one\n", long, b"\nend\n"),
            (b"", long, b""),
        ] {
            let arrived = arrives(&logger, head, long, tail);
            println!("{subject:?}: {arrived:?}");
            assert!(
                arrived.exact,
                "{subject:?}: {arrived:?} of {long} and {} and {}",
                head.len(),
                tail.len()
            );
            assert!(arrived.memory_kib <= 2048, "{subject:?}: {arrived:?}");
        }
    }
}
