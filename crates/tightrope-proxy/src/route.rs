//! Chooses by host and path prefix.

use std::{borrow::Cow, collections::HashMap, fmt, str::FromStr};

use crate::host;

/// Values by host and path prefix: which upstream a request goes to, say.
///
/// The most specific route wins: an exact host over a wildcard, a longer wildcard over a shorter
/// one, any of them over no host at all, and within a host the longest prefix. Where the routes of
/// a host have no prefix for a path, those of the next less specific host are asked.
///
/// Paths are compared as they were sent. A prefix therefore guards nothing: `/a/../b` is under `/a`
/// here, and may be under `/b` for the endpoint.
///
/// A route for one path alone goes before all prefixes of its host.
///
/// A search costs one look-up for each label of the host, and one comparison for each prefix of it.
///
/// ```
/// use tightrope_proxy::Routes;
///
/// let mut routes = Routes::new();
/// routes.add("*".parse()?, "/".parse()?, "site")?;
/// routes.add("shop.test".parse()?, "/".parse()?, "shop")?;
/// routes.add("shop.test".parse()?, "/api".parse()?, "api")?;
///
/// assert_eq!(routes.find("Shop.test:8080", "/api/v1"), Some(&"api"));
/// assert_eq!(routes.find("shop.test", "/apix"), Some(&"shop"));
/// assert_eq!(routes.find("other.test", "/api"), Some(&"site"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Routes<T> {
    exact: HashMap<String, Vec<Route<T>>>,
    /// By what follows the `*.`.
    wildcard: HashMap<String, Vec<Route<T>>>,
    any: Vec<Route<T>>,
    len: usize,
}

/// One route of a host; those of a host are kept with the exact paths first, then with the longest
/// prefix first.
#[derive(Clone, Debug)]
struct Route<T> {
    path: Path,
    /// Which one it was, counted from 1 in the order of adding.
    place: usize,
    value: T,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Path {
    Exact(ExactPath),
    Prefix(PathPrefix),
}

/// The hosts that a route is for: `shop.test`, `*.shop.test` or `*`.
///
/// A wildcard stands for one label or more: `*.shop.test` matches `a.shop.test` and
/// `a.b.shop.test`, but not `shop.test`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HostPattern(Host);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Host {
    Exact(String),
    Wildcard(String),
    Any,
}

/// The paths that a route is for: `/api` matches `/api` and `/api/x`, but not `/apix`.
///
/// A slash at the end changes nothing: `/api/` is `/api`, and `/` matches every path, also the `*`
/// of an `OPTIONS` request.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PathPrefix(
    /// Without the slash at the end, so empty for every path.
    String,
);

/// The one path that a route is for: `/api` matches neither `/api/` nor `/api/x`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ExactPath(String);

/// A text that is not a [`HostPattern`], [`ExactPath`] or [`PathPrefix`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not {expected}")]
pub struct PatternError {
    text: String,
    expected: &'static str,
}

/// Why a route was not added.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RouteError {
    /// There is a route for this host and path already.
    #[error("route {place} repeats route {earlier}: {host}{path}")]
    Duplicate {
        /// Which route it would be, counted from 1.
        place: usize,
        /// Which route it repeats, counted from 1.
        earlier: usize,
        /// Its host.
        host: HostPattern,
        /// Its prefix, or its exact path.
        path: String,
    },
}

// === impl Routes ===

impl<T> Routes<T> {
    /// No routes yet.
    #[must_use]
    pub fn new() -> Self {
        Self {
            exact: HashMap::new(),
            wildcard: HashMap::new(),
            any: Vec::new(),
            len: 0,
        }
    }

    /// Sends what matches `host` and `prefix` to `value`. The order of adding means nothing.
    ///
    /// # Errors
    /// There is such a route already; nothing was changed.
    pub fn add(
        &mut self,
        host: HostPattern,
        prefix: PathPrefix,
        value: T,
    ) -> Result<(), RouteError> {
        self.insert(host, Path::Prefix(prefix), value)
    }

    /// Sends what matches `host` and asks for this very `path` to `value`, whatever the prefixes of
    /// the host say.
    ///
    /// # Errors
    /// There is such a route already; nothing was changed.
    pub fn add_exact(
        &mut self,
        host: HostPattern,
        path: ExactPath,
        value: T,
    ) -> Result<(), RouteError> {
        self.insert(host, Path::Exact(path), value)
    }

    /// What the most specific route for `host` and `path` leads to. The host may have a port, which
    /// is ignored, and may be in any case.
    #[must_use]
    pub fn find(&self, host: &str, path: &str) -> Option<&T> {
        let name = lower_case(host::without_port(host));
        let exact = self.exact.get(&*name).into_iter();
        let wildcard = suffixes(&name).filter_map(|suffix| self.wildcard.get(suffix));
        let mut routes = exact.chain(wildcard).chain([&self.any]).flatten();
        routes
            .find(|route| route.path.matches(path))
            .map(|route| &route.value)
    }

    /// How many routes there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    fn insert(&mut self, host: HostPattern, path: Path, value: T) -> Result<(), RouteError> {
        let place = self.len + 1;
        let routes = match &host.0 {
            Host::Exact(name) => self.exact.entry(name.clone()).or_default(),
            Host::Wildcard(suffix) => self.wildcard.entry(suffix.clone()).or_default(),
            Host::Any => &mut self.any,
        };
        if let Some(same) = routes.iter().find(|route| route.path == path) {
            return Err(RouteError::Duplicate {
                place,
                earlier: same.place,
                host,
                path: path.to_string(),
            });
        }
        let at = routes.partition_point(|route| route.path.rank() >= path.rank());
        let route = Route { path, place, value };
        routes.insert(at, route);
        self.len = place;
        Ok(())
    }
}

impl<T> Default for Routes<T> {
    fn default() -> Self {
        Self::new()
    }
}

/// What follows each dot of `name`, the longest first.
fn suffixes(name: &str) -> impl Iterator<Item = &str> {
    name.match_indices('.').map(|(dot, _)| &name[dot + 1..])
}

fn lower_case(name: &str) -> Cow<'_, str> {
    if name.bytes().any(|b| b.is_ascii_uppercase()) {
        Cow::Owned(name.to_ascii_lowercase())
    } else {
        Cow::Borrowed(name)
    }
}

// === impl Path ===

impl Path {
    fn matches(&self, path: &str) -> bool {
        match self {
            Self::Exact(exact) => exact.0 == path,
            Self::Prefix(prefix) => prefix.matches(path),
        }
    }

    /// The higher goes first.
    const fn rank(&self) -> usize {
        match self {
            Self::Exact(_) => usize::MAX,
            Self::Prefix(prefix) => prefix.0.len(),
        }
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(exact) => exact.fmt(f),
            Self::Prefix(prefix) => prefix.fmt(f),
        }
    }
}

// === impl HostPattern ===

impl HostPattern {
    /// Every host.
    pub const ANY: Self = Self(Host::Any);
}

impl FromStr for HostPattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        if text == "*" {
            return Ok(Self::ANY);
        }
        let (suffix, wildcard) = match text.strip_prefix("*.") {
            Some(suffix) => (suffix, true),
            None => (text, false),
        };
        let name = host::without_port(suffix);
        let holds = host::is_host_and_port(name.as_bytes())
            && suffix.strip_suffix('.').unwrap_or(suffix) == name
            // One dot ends an absolute name.
            && !name.ends_with('.')
            && !(wildcard && name.starts_with('['));
        if !holds {
            return Err(PatternError {
                text: text.to_owned(),
                expected: "a host (`shop.test`, `*.shop.test` or `*`), which has no port",
            });
        }
        let name = name.to_ascii_lowercase();
        Ok(Self(if wildcard {
            Host::Wildcard(name)
        } else {
            Host::Exact(name)
        }))
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Host::Exact(name) => f.write_str(name),
            Host::Wildcard(suffix) => write!(f, "*.{suffix}"),
            Host::Any => f.write_str("*"),
        }
    }
}

// === impl PathPrefix ===

impl PathPrefix {
    /// Every path.
    pub const ROOT: Self = Self(String::new());

    fn matches(&self, path: &str) -> bool {
        self.rest(path).is_some()
    }

    /// What follows it in a path that is under it: nothing, or a slash and more.
    pub(crate) fn rest<'p>(&self, path: &'p str) -> Option<&'p str> {
        path.strip_prefix(&*self.0)
            .filter(|rest| self.0.is_empty() || rest.is_empty() || rest.starts_with('/'))
    }

    /// Without the slash at the end.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for PathPrefix {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        if !is_path(text) {
            return Err(PatternError {
                text: text.to_owned(),
                expected: "a path prefix: `/` and printable ASCII without `?` and `#`",
            });
        }
        let prefix = text.strip_suffix('/').unwrap_or(text);
        Ok(Self(prefix.to_owned()))
    }
}

impl fmt::Display for PathPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "/" } else { &self.0 })
    }
}

// === impl ExactPath ===

impl FromStr for ExactPath {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        if !is_path(text) {
            return Err(PatternError {
                text: text.to_owned(),
                expected: "a path: `/` and printable ASCII without `?` and `#`",
            });
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for ExactPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn is_path(text: &str) -> bool {
    let printable = |b: u8| b.is_ascii_graphic() && !b"?#".contains(&b);
    text.starts_with('/') && text.bytes().all(printable)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn routes(places: &[(&str, &str)]) -> Routes<String> {
        let mut routes = Routes::new();
        for (host, prefix) in places {
            let value = format!("{host}{prefix}");
            let (host, prefix) = (host.parse().unwrap(), prefix.parse().unwrap());
            routes.add(host, prefix, value).unwrap();
        }
        routes
    }

    #[test]
    fn prefixes_end_at_segments() {
        let routes = routes(&[("*", "/api")]);
        for path in ["/api", "/api/", "/api/x"] {
            assert!(routes.find("a", path).is_some(), "{path}");
        }
        for path in ["/", "/apix", "/ap", "/Api", "/x/api", "*", ""] {
            assert!(routes.find("a", path).is_none(), "{path}");
        }
    }

    #[test]
    fn the_longest_prefix_wins_in_any_order_of_adding() {
        let places = [("*", "/"), ("*", "/a/b"), ("*", "/a")];
        for turn in 0..3 {
            let mut places = places;
            places.rotate_left(turn);
            let routes = routes(&places);
            let find = |path| routes.find("h", path).unwrap().as_str();
            assert_eq!(find("/a/b/c"), "*/a/b");
            assert_eq!(find("/a/c"), "*/a");
            assert_eq!(find("/c"), "*/");
            assert_eq!(find("*"), "*/");
        }
    }

    #[test]
    fn an_exact_path_goes_before_prefixes_of_its_host() {
        let mut routes = routes(&[("*", "/a/b"), ("a.test", "/")]);
        let exact = |text: &str| text.parse::<ExactPath>().unwrap();
        let any = HostPattern::ANY;
        routes
            .add_exact(any.clone(), exact("/a/b"), "exact".to_owned())
            .unwrap();
        assert_eq!(routes.find("h", "/a/b").unwrap(), "exact");
        for path in ["/a/b/", "/a/b/c"] {
            assert_eq!(routes.find("h", path).unwrap(), "*/a/b");
        }
        assert_eq!(routes.find("a.test", "/a/b").unwrap(), "a.test/");
        let again = routes.add_exact(any, exact("/a/b"), String::new());
        let error = again.unwrap_err().to_string();
        assert_eq!(error, "route 4 repeats route 3: */a/b");
        for text in ["", "x", "/a?b", "/a b"] {
            assert!(text.parse::<ExactPath>().is_err(), "{text}");
        }
    }

    #[test]
    fn the_more_specific_host_wins() {
        let routes = routes(&[
            ("*", "/"),
            ("*.test", "/"),
            ("*.a.test", "/"),
            ("x.a.test", "/"),
        ]);
        let find = |host| routes.find(host, "/p").unwrap().as_str();
        assert_eq!(find("x.a.test"), "x.a.test/");
        assert_eq!(find("X.A.Test.:80"), "x.a.test/");
        assert_eq!(find("y.a.test"), "*.a.test/");
        assert_eq!(find("z.y.a.test"), "*.a.test/");
        assert_eq!(find("a.test"), "*.test/");
        assert_eq!(find("test"), "*/");
        assert_eq!(find("[::1]:80"), "*/");
    }

    #[test]
    fn a_host_without_the_path_leaves_it_to_the_next() {
        let routes = routes(&[("a.test", "/api"), ("*", "/")]);
        assert_eq!(routes.find("a.test", "/x").unwrap(), "*/");
        assert_eq!(routes.find("a.test", "/api").unwrap(), "a.test/api");
    }

    #[test]
    fn nothing_is_found_without_a_route() {
        assert_eq!(Routes::<()>::new().find("a", "/"), None);
        assert!(Routes::<()>::default().is_empty());
        assert_eq!(routes(&[("a.test", "/")]).find("b.test", "/"), None);
    }

    #[test]
    fn a_duplicate_names_both_places() {
        let mut routes = routes(&[("*", "/"), ("A.test", "/api/")]);
        let error = routes
            .add(
                "a.test".parse().unwrap(),
                "/api".parse().unwrap(),
                String::new(),
            )
            .unwrap_err();
        assert_eq!(error.to_string(), "route 3 repeats route 2: a.test/api");
        assert_eq!(routes.len(), 2);
    }

    #[test]
    fn patterns_are_checked() {
        for host in [
            "", "a b", "a:80", "**", "*a", "a.*", "*.", "*.[::1]", "u@a", "a/b",
        ] {
            assert!(host.parse::<HostPattern>().is_err(), "{host}");
        }
        for host in ["a", "*.a", "*", "[::1]", "127.0.0.1"] {
            assert_eq!(host.parse::<HostPattern>().unwrap().to_string(), host);
        }
        for prefix in ["", "api", "/a?b", "/a#b", "/a b", "/\u{e9}"] {
            assert!(prefix.parse::<PathPrefix>().is_err(), "{prefix}");
        }
        for (prefix, printed) in [("/", "/"), ("/a/", "/a"), ("/a/b", "/a/b")] {
            assert_eq!(prefix.parse::<PathPrefix>().unwrap().to_string(), printed);
        }
    }
}
