//! Inputs that the fuzz target `tightrope_head` found, or that are hard by design.

use std::path::Path;

#[test]
fn inputs_found_by_fuzzing_stay_fixed() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = folder.join("../../fuzz/regressions/tightrope_head");
    let Ok(entries) = std::fs::read_dir(&folder) else {
        eprintln!("skipped: there is no folder {}", folder.display());
        return;
    };
    for entry in entries {
        let path = entry.unwrap().path();
        eprintln!("{}", path.display());
        super::head::check(&std::fs::read(&path).unwrap());
    }
}
