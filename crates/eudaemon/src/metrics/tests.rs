use super::*;
use std::collections::BTreeSet;

/// A strict reading of the format: every line, every family's order, every sample's name; panics with the line.
fn judged(text: &str) -> Vec<(String, f64)> {
    let body = text.strip_suffix("# EOF\n").expect("an end mark");
    assert!(!body.contains("# EOF"));
    let (mut family, mut kind, mut samples) = (String::new(), String::new(), Vec::new());
    let (mut families, mut seen) = (BTreeSet::new(), BTreeSet::new());
    for line in body.lines() {
        if let Some(comment) = line.strip_prefix("# ") {
            let mut words = comment.splitn(3, ' ');
            let (what, name) = (words.next().unwrap(), words.next().unwrap());
            let rest = words.next().unwrap();
            match what {
                "TYPE" => {
                    assert!(families.insert(name.to_owned()), "{line}: twice");
                    (family, kind) = (name.to_owned(), rest.to_owned());
                    assert!(["counter", "gauge", "histogram"].contains(&rest), "{line}");
                }
                "UNIT" => assert!(
                    name == family && name.ends_with(&format!("_{rest}")),
                    "{line}"
                ),
                "HELP" => assert!(name == family && !rest.is_empty(), "{line}"),
                _ => panic!("{line}"),
            }
            continue;
        }
        let (name, value) = line.rsplit_once(' ').unwrap();
        assert!(seen.insert(name.to_owned()), "{line}: twice");
        let bare = name.split('{').next().unwrap();
        let end = bare
            .strip_prefix(family.as_str())
            .expect("a sample of its family");
        let ends: &[&str] = match kind.as_str() {
            "counter" => &["_total"],
            "gauge" => &[""],
            _ => &["_bucket", "_count", "_sum"],
        };
        assert!(ends.contains(&end), "{line}");
        if let Some(labels) = name.strip_prefix(bare).filter(|labels| !labels.is_empty()) {
            let mut rest = labels.strip_prefix('{').unwrap();
            loop {
                let (label, after) = rest.split_once("=\"").unwrap();
                assert!(label == "le" || is_label(label), "{line}");
                // To the first quotation mark that is not escaped.
                let (mut escaped, mut close) = (false, None);
                for (at, c) in after.char_indices() {
                    match c {
                        '\\' if !escaped => escaped = true,
                        'n' | '"' | '\\' if escaped => escaped = false,
                        '"' => {
                            close = Some(at);
                            break;
                        }
                        _ => assert!(!escaped, "{line}"),
                    }
                }
                rest = &after[close.expect("a closed value") + 1..];
                match rest.strip_prefix(',') {
                    Some(more) => rest = more,
                    None => break,
                }
            }
            assert_eq!(rest, "}", "{line}");
        }
        let value: f64 = match value {
            "+Inf" => f64::INFINITY,
            other => other.parse().unwrap_or_else(|_| panic!("{line}")),
        };
        assert!(kind == "gauge" || value >= 0.0 || end == "_sum", "{line}");
        samples.push((name.to_owned(), value));
    }
    samples
}

#[test]
fn everything_is_told_in_the_format() {
    let metrics = Registry::new();
    let requests = metrics
        .counter("http_requests", "Requests served.", &["code", "path"])
        .unwrap();
    requests.with(&["200", "/a\"b\\c\nd"]).add(3);
    requests.with(&["404"]).add(1);
    metrics
        .gauge("queue_bytes", "Waiting.", &[])
        .unwrap()
        .only()
        .set(-0.5);
    let took = metrics
        .histogram("took_seconds", "", &["kind"], &[0.1, 1.0])
        .unwrap();
    for value in [0.1, 0.11, 1.0, 7.0, f64::NAN] {
        took.with(&["x"]).observe(value);
    }
    let samples = judged(&metrics.text());
    let value = |wanted: &str| {
        let found = samples.iter().find(|(name, _)| name == wanted);
        found
            .unwrap_or_else(|| panic!("no {wanted} in {samples:?}"))
            .1
    };
    assert_eq!(
        value("http_requests_total{code=\"200\",path=\"/a\\\"b\\\\c\\nd\"}"),
        3.0
    );
    assert_eq!(value("http_requests_total{code=\"404\",path=\"\"}"), 1.0);
    assert_eq!(value("queue_bytes"), -0.5);
    assert_eq!(value("took_seconds_bucket{kind=\"x\",le=\"0.1\"}"), 1.0);
    assert_eq!(value("took_seconds_bucket{kind=\"x\",le=\"1.0\"}"), 3.0);
    assert_eq!(value("took_seconds_bucket{kind=\"x\",le=\"+Inf\"}"), 4.0);
    assert_eq!(value("took_seconds_count{kind=\"x\"}"), 4.0);
    assert!((value("took_seconds_sum{kind=\"x\"}") - 8.21).abs() < 1e-9);
    assert!(value("process_cpu_seconds_total") > 0.0);
    assert!(value("process_resident_memory_bytes") > 100_000.0);
    assert!(value("process_open_fds") >= 3.0);
    assert!(value("process_threads") >= 1.0);
    let age = eudaemon_sys::clock::wall().0 as f64 / 1e9 - value("process_start_time_seconds");
    assert!((0.0..600.0).contains(&age.round()), "started {age} s ago");
}

#[test]
fn what_the_format_forbids_is_refused() {
    let metrics = Registry::new();
    metrics.counter("a", "", &[]).unwrap();
    let twice = metrics.gauge("a", "", &[]).unwrap_err();
    assert_eq!(twice, MetricError::Twice("a".to_owned()));
    assert!(metrics.counter("a_total", "", &[]).is_err());
    assert!(metrics.counter("b", "", &["le"]).is_err());
    assert!(metrics.counter("b", "", &["x", "x"]).is_err());
    assert!(metrics.counter("process_x", "", &[]).is_err());
    assert!(metrics.histogram("h", "", &[], &[1.0, 1.0]).is_err());
}

#[test]
fn labels_a_client_chooses_do_not_fill_the_memory() {
    let metrics = Registry::new();
    let family = metrics.counter("hits", "", &["agent"]).unwrap();
    for number in 0..SAMPLES_MAX + 50 {
        family.with(&[&number.to_string()]).add(1);
    }
    assert_eq!(family.with(&[OTHER]).value(), 50);
    judged(&metrics.text());
}
