//! Patterns of routes. An input is a line `HOST PATH`, which is asked for, and one for each route:
//! `HOST PREFIX` or `HOST =PATH`.

use tightrope_proxy::{ExactPath, HostPattern, PathPrefix, Routes};

/// A route: labels of a host in small letters, whether more may stand in front, and a path.
struct Route {
    host: Option<(String, bool)>,
    path: String,
    is_exact: bool,
}

/// Runs an input and panics where the routes do not lead where the reference says.
pub(crate) fn check(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let mut lines = text.lines();
    let asked = lines.next().unwrap_or_default();
    let (host, path) = asked.split_once(' ').unwrap_or((asked, "/"));
    let mut routes = Routes::new();
    let mut all: Vec<Route> = Vec::new();
    for line in lines.take(64) {
        let (pattern, path) = line.split_once(' ').unwrap_or((line, "/"));
        let parsed = pattern.parse::<HostPattern>();
        let reference = host_pattern(pattern);
        assert_eq!(parsed.is_ok(), reference.is_some(), "{pattern:?}");
        let (Ok(parsed), Some(host)) = (parsed, reference) else {
            continue;
        };
        let printed = parsed.to_string();
        assert_eq!(
            printed.parse().as_ref(),
            Ok(&parsed),
            "{pattern:?} as {printed:?}"
        );
        let (path, is_exact) = match path.strip_prefix('=') {
            Some(path) => (path, true),
            None => (path, false),
        };
        let number = all.len();
        let is_path = path.starts_with('/')
            && path
                .bytes()
                .all(|b| (0x21..=0x7e).contains(&b) && b != b'?' && b != b'#');
        let added = if is_exact {
            let exact = path.parse::<ExactPath>();
            assert_eq!(exact.is_ok(), is_path, "{path:?}");
            exact
                .ok()
                .map(|path| routes.add_exact(parsed, path, number))
        } else {
            let prefix = path.parse::<PathPrefix>();
            assert_eq!(prefix.is_ok(), is_path, "{path:?}");
            prefix.ok().map(|path| routes.add(parsed, path, number))
        };
        let Some(added) = added else {
            continue;
        };
        let path = match is_exact {
            true => path,
            false => path.strip_suffix('/').unwrap_or(path),
        };
        let is_new = !all
            .iter()
            .any(|r| r.host == host && r.path == path && r.is_exact == is_exact);
        assert_eq!(added.is_ok(), is_new, "{line:?}");
        if is_new {
            all.push(Route {
                host,
                path: path.to_owned(),
                is_exact,
            });
        }
    }
    let best = all
        .iter()
        .enumerate()
        .filter(|(_, route)| route.matches(host, path))
        .max_by_key(|(_, route)| route.rank());
    assert_eq!(
        routes.find(host, path),
        best.map(|(number, _)| number).as_ref(),
        "{text:?}"
    );
}

/// `None` where it is none, and `Some(None)` for every host.
fn host_pattern(text: &str) -> Option<Option<(String, bool)>> {
    if text == "*" {
        return Some(None);
    }
    let (name, is_wildcard) = match text.strip_prefix("*.") {
        Some(name) => (name, true),
        None => (text, false),
    };
    let name = name.strip_suffix('.').unwrap_or(name);
    let address = name
        .strip_prefix('[')
        .and_then(|name| name.strip_suffix(']'));
    let holds = match address {
        Some(address) => !is_wildcard && address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => {
            !name.is_empty()
                && name
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || "-._~".contains(c))
        }
    };
    (holds && !name.ends_with('.') && name.len() <= 259)
        .then(|| Some((name.to_ascii_lowercase(), is_wildcard)))
}

impl Route {
    fn matches(&self, host: &str, path: &str) -> bool {
        let name = match host.rfind(']') {
            Some(end) => &host[..=end],
            None => host.split(':').next().unwrap_or_default(),
        };
        let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
        let is_host = match &self.host {
            None => true,
            Some((own, false)) => name == *own,
            Some((own, true)) => name.ends_with(&format!(".{own}")),
        };
        let is_path = path == self.path
            || (!self.is_exact
                && (self.path.is_empty() || path.starts_with(&format!("{}/", self.path))));
        is_host && is_path
    }

    /// The highest wins: the host before the path.
    fn rank(&self) -> (u8, usize, bool, usize) {
        let (kind, length) = match &self.host {
            None => (0, 0),
            Some((own, true)) => (1, own.len()),
            Some((own, false)) => (2, own.len()),
        };
        (kind, length, self.is_exact, self.path.len())
    }
}
