//! One endpoint in a line of text.

use std::{
    collections::{HashMap, HashSet},
    fmt,
    str::FromStr,
};

use tightrope_upstream::{Address, EndpointId, EndpointSpec, Group, Metadata, Weight};

use super::{LineError, ListError};

/// An endpoint as a line of text: `ADDRESS [id=ID] [weight=NUMBER] [group=GROUP] [meta.KEY=VALUE]...`
///
/// Words are separated by white space, in any order after the address. A word that begins with `#` begins a comment
/// that takes the rest of the line. Values have no white space and are not quoted, so the path of a Unix socket must
/// have none either. What is left out has its default, see [`EndpointSpec`]. Printing gives back what parses to the
/// same endpoint.
///
/// ```
/// use tightrope_discover::EndpointLine;
///
/// let line: EndpointLine = "api-1.internal:8080  weight=2 group=blue id=api-1 meta.zone=a # new".parse()?;
/// assert_eq!(line.spec().weight.get(), 2);
/// assert_eq!(line.to_string(), "api-1.internal:8080 id=api-1 weight=2 group=blue meta.zone=a");
/// assert!("10.0.0.1:8080 wieght=2".parse::<EndpointLine>().is_err());
/// # Ok::<(), tightrope_discover::LineError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointLine {
    spec: EndpointSpec,
}

/// The list that `text` stands for.
pub(super) fn list(text: &str) -> Result<Vec<EndpointSpec>, ListError> {
    let mut list: Vec<EndpointSpec> = Vec::new();
    let mut seen: HashMap<EndpointId, usize> = HashMap::new();
    for (line, words) in (1..).zip(text.lines()) {
        if words_of(words).next().is_none() {
            continue;
        }
        let EndpointLine { spec } = words
            .parse()
            .map_err(|error| ListError::Line { line, error })?;
        if let Some(first) = seen.insert(spec.id.clone(), line) {
            let id = spec.id;
            return Err(ListError::Duplicate { line, first, id });
        }
        list.push(spec);
    }
    Ok(list)
}

/// The words of a line, up to its comment.
fn words_of(line: &str) -> impl Iterator<Item = &str> {
    line.split_whitespace()
        .take_while(|word| !word.starts_with('#'))
}

// === impl EndpointLine ===

impl EndpointLine {
    const META: &'static str = "meta.";

    /// The endpoint.
    #[must_use]
    pub const fn spec(&self) -> &EndpointSpec {
        &self.spec
    }

    /// The endpoint.
    #[must_use]
    pub fn into_spec(self) -> EndpointSpec {
        self.spec
    }
}

impl FromStr for EndpointLine {
    type Err = LineError;

    fn from_str(line: &str) -> Result<Self, LineError> {
        let mut words = words_of(line);
        let address: Address = words
            .next()
            .ok_or(LineError::Blank)?
            .parse()
            .map_err(LineError::Address)?;
        let mut spec = EndpointSpec::new(address);
        let (mut keys, mut labels) = (HashSet::new(), Vec::new());
        for word in words {
            let unknown = || LineError::Unknown {
                word: word.to_owned(),
            };
            let (key, value) = word.split_once('=').ok_or_else(unknown)?;
            match key {
                "id" => spec.id = EndpointId::new(value).map_err(LineError::Name)?,
                "weight" => spec.weight = value.parse::<Weight>().map_err(LineError::Weight)?,
                "group" => spec.group = Some(Group::new(value).map_err(LineError::Name)?),
                _ => match key.strip_prefix(Self::META) {
                    Some(label) if !label.is_empty() => labels.push((label, value)),
                    _ => return Err(unknown()),
                },
            }
            if !keys.insert(key) {
                return Err(LineError::Twice {
                    key: key.to_owned(),
                });
            }
        }
        spec.metadata = Metadata::from_iter(labels);
        Ok(Self { spec })
    }
}

impl fmt::Display for EndpointLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let spec = &self.spec;
        write!(f, "{}", spec.address)?;
        if spec.id != EndpointId::from(&spec.address) {
            write!(f, " id={}", spec.id)?;
        }
        if spec.weight != Weight::default() {
            write!(f, " weight={}", spec.weight)?;
        }
        if let Some(group) = &spec.group {
            write!(f, " group={group}")?;
        }
        for (label, value) in spec.metadata.iter() {
            write!(f, " {}{label}={value}", Self::META)?;
        }
        Ok(())
    }
}
