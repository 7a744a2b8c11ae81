//! Inputs that the fuzz targets found, or that are hard by design.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::path::Path;

#[test]
fn inputs_found_by_fuzzing_stay_fixed() {
    replay("forwarded_parse", crate::reference::check);
    replay("forwarded_rfc7239", crate::rfc7239::check);
    replay("forwarded_cidr", crate::networks::check);
}

fn replay(target: &str, check: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../fuzz/regressions")
        .join(target);
    let Ok(entries) = std::fs::read_dir(&folder) else {
        eprintln!("skipped: there is no folder {}", folder.display());
        return;
    };
    for entry in entries {
        let path = entry.unwrap().path();
        eprintln!("{}", path.display());
        check(&std::fs::read(&path).unwrap());
    }
}

#[test]
fn hard_inputs_are_handled() {
    let trusted = "tcp 10.0.0.2:40000\n10.0.0.0/8\n+port +real-ip\n/\n";
    for header in [
        String::new(),
        format!("X-Forwarded-For: {}", "10.0.0.1, ".repeat(500)),
        format!("X-Forwarded-For: 203.0.113.7{}", ", 10.0.0.1".repeat(1023)),
        format!("X-Forwarded-For: 203.0.113.7{}", ", 10.0.0.1".repeat(1024)),
        format!("X-Forwarded-For: 203.0.113.7{}", ",".repeat(60_000)),
        format!("X-Forwarded-For: {}", "9".repeat(60_000)),
        "X-Forwarded-For: 203.0.113.7\n".repeat(2000),
        (0..4000)
            .map(|number| format!("x-forwarded-{number}: a\n"))
            .collect(),
        (0..4000)
            .map(|number| format!("x_forwarded-{number}: a\n"))
            .collect(),
        "X-Forwarded-For: \nX-Forwarded-Host:\nX-Forwarded-Proto:\nX-Forwarded-Port:".to_owned(),
    ] {
        crate::reference::check(format!("{trusted}{header}").as_bytes());
        crate::reference::check(
            format!("{trusted}{header}")
                .replace("10.0.0.0/8", "")
                .as_bytes(),
        );
    }
}

#[test]
fn hard_lines_of_forwarded_are_handled() {
    for lines in [
        String::new(),
        "\"".repeat(2000),
        "\\".repeat(2000),
        "\\\"".repeat(2000),
        ",".repeat(20_000),
        ";".repeat(20_000),
        format!("for=203.0.113.7{}", ", for=10.0.0.1".repeat(1023)),
        format!("for=203.0.113.7{}", ", for=10.0.0.1".repeat(1024)),
        format!("for=\"{}, for=\"10.0.0.1\"", "\\".repeat(1001)),
        format!("for=203.0.113.7;x=\"{}\"", "a,".repeat(2000)),
        "for=203.0.113.7\n".repeat(1500),
    ] {
        crate::rfc7239::check(lines.as_bytes());
    }
}
