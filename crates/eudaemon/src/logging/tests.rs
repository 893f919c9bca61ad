use super::*;
use std::os::unix::net::UnixDatagram;

#[test]
fn a_target_is_what_it_is_called() {
    for text in [
        "auto",
        "journal",
        "prefixed",
        "human",
        "syslog",
        "file:/var/log/web.log",
    ] {
        let target: LogTarget = text.parse().unwrap();
        assert_eq!(target.to_string(), text);
    }
    for text in ["", "stderr", "file:", "file", "Auto"] {
        assert_eq!(
            text.parse::<LogTarget>(),
            Err(UnknownTarget(text.to_owned()))
        );
    }
}

#[test]
fn debugging_a_start_begins_with_everything() {
    let path = std::env::temp_dir().join(format!("eud-log-debug-{}", std::process::id()));
    let _ = std::fs::remove_file(&path);
    let _receiver = UnixDatagram::bind(&path).unwrap();
    let of = |pairs: &[(&str, &str)]| {
        let activation = Activation::made(1, pairs.iter().copied());
        Log::to_journal(Journal::at(&path).unwrap(), &activation, "t", Level::Notice)
    };
    assert_eq!(of(&[]).levels().get(), Level::Notice);
    let log = of(&[("DEBUG_INVOCATION", "1")]);
    assert_eq!(log.levels().get(), Level::Debug);
    assert_eq!(log.clone().levels().less(), Level::Info);
    assert!(log.is_enabled(Level::Info) && !log.is_enabled(Level::Debug));
    std::fs::remove_file(&path).unwrap();
}
