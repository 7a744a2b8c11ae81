//! Inputs that the fuzz targets found, or that are hard by design.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::path::Path;

use crate::reference::{patterns, rules, server, server_http2, template};

#[test]
fn inputs_found_by_fuzzing_stay_fixed() {
    replay("proxy_patterns", patterns::check);
    replay("proxy_rules", rules::check);
    replay("proxy_server", server::check);
    replay("proxy_server_http2", |input| {
        eprintln!("{:?}", server_http2::check(input));
    });
    replay("proxy_template", template::check);
}

fn replay(target: &str, check: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = folder.join("../../fuzz/regressions").join(target);
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
