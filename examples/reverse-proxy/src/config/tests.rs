//! The file that shows every setting.

use super::Config;

const FILE: &str = include_str!("../../proxy.toml");

/// Settings without a default: the file shows an example.
const WITHOUT_DEFAULT: [&str; 6] = ["upstream", "token", "path", "hash_header", "id", "host"];

#[test]
fn what_the_file_shows_as_defaults_are_the_defaults() {
    let mut shown = 0;
    let with_defaults = FILE.lines().map(|line| {
        let setting = line.strip_prefix("# ").filter(|rest| {
            let name = rest.split(" = ").next().unwrap_or_default();
            let is_name = name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
            is_name && rest.contains(" = ") && !WITHOUT_DEFAULT.contains(&name)
        });
        shown += usize::from(setting.is_some());
        format!("{}\n", setting.unwrap_or(line))
    });
    // A global setting stands before the first table, as it must in TOML.
    let with_defaults: String = with_defaults.collect();
    assert_eq!(Config::parse(&with_defaults), Config::parse(FILE));
    assert!(Config::parse(FILE).is_ok());
    assert_eq!(shown, 35);
}
