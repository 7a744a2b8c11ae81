//! What is done to the fields of a message.

use http::{
    HeaderMap, HeaderName,
    header::{CONNECTION, CONTENT_LENGTH, EXPECT, HOST, TE, TRAILER, TRANSFER_ENCODING, UPGRADE},
};

use super::{Subject, Template, TemplateError, template::Filled};

/// What is done to the fields of a request or a response, one thing after the other.
///
/// Values are [`Template`]s, and speak of the request as it came: no rule changes what another one
/// reads there.
///
/// Fields that frame a message, end at this hop or say where it goes are refused: they belong to
/// the connection, and `Host` to [`HostPolicy`](crate::HostPolicy). So are names with an
/// underscore, which are not passed on unless [`Underscores`](crate::Underscores) says so.
///
/// ```
/// use tightrope_proxy::rewrite::HeaderRules;
///
/// let rules = HeaderRules::new()
///     .rename("x-user", "x-client-user")?
///     .set("x-user", "{header:x-session-user}")?
///     .append("via-edge", "{host}")?
///     .remove("x-debug")?;
/// assert_eq!(rules.len(), 4);
/// assert!(rules.set("content-length", "0").is_err());
/// # Ok::<(), tightrope_proxy::rewrite::HeaderRuleError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct HeaderRules {
    rules: Vec<Rule>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Rule {
    name: HeaderName,
    action: Action,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Action {
    Set(Template),
    Append(Template),
    Remove,
    /// To this name.
    Rename(HeaderName),
}

/// Why there cannot be a rule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HeaderRuleError {
    /// It is for something that is not the name of a field.
    #[error("`{}` is not the name of a header", name.escape_debug())]
    Name {
        /// What stands for the name.
        name: String,
    },
    /// It is for a field that rules leave alone.
    #[error("`{name}` is not for rules: {reason}")]
    Refused {
        /// Its name.
        name: HeaderName,
        /// Whose it is.
        reason: &'static str,
    },
    /// Its value is not a template.
    #[error("the value of `{name}`")]
    Value {
        /// The name of the field.
        name: HeaderName,
        /// What is wrong with the value.
        source: TemplateError,
    },
}

/// Rules whose values are filled in, up to the endpoint; one for each.
#[derive(Clone, Debug)]
pub(crate) struct FilledValues(Vec<Option<Filled>>);

// === impl HeaderRules ===

impl HeaderRules {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The message has the field `name` once, with this value; or not at all, where the value says
    /// nothing.
    ///
    /// # Errors
    /// The name is not one, or not for rules, or the value is not a template.
    pub fn set(self, name: &str, value: &str) -> Result<Self, HeaderRuleError> {
        let name = checked(name)?;
        let action = Action::Set(template(&name, value)?);
        Ok(self.with(name, action))
    }

    /// The message has one more field `name`, unless the value says nothing.
    ///
    /// # Errors
    /// The name is not one, or not for rules, or the value is not a template.
    pub fn append(self, name: &str, value: &str) -> Result<Self, HeaderRuleError> {
        let name = checked(name)?;
        let action = Action::Append(template(&name, value)?);
        Ok(self.with(name, action))
    }

    /// The message has no field `name`.
    ///
    /// # Errors
    /// The name is not one, or not for rules.
    pub fn remove(self, name: &str) -> Result<Self, HeaderRuleError> {
        Ok(self.with(checked(name)?, Action::Remove))
    }

    /// The fields `name` are called `new` instead, and replace those that are called so already.
    /// Where there are none, nothing changes.
    ///
    /// # Errors
    /// One of the names is not one, or not for rules.
    pub fn rename(self, name: &str, new: &str) -> Result<Self, HeaderRuleError> {
        let action = Action::Rename(checked(new)?);
        Ok(self.with(checked(name)?, action))
    }

    /// How many rules there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.rules.len()
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Whether a value has `{endpoint}` in it.
    #[must_use]
    pub fn name_endpoint(&self) -> bool {
        self.templates().flatten().any(Template::names_endpoint)
    }

    /// The values for this request.
    pub(crate) fn fill(&self, subject: &Subject<'_>) -> FilledValues {
        let fill = |template: Option<&Template>| template.map(|template| template.fill(subject));
        FilledValues(self.templates().map(fill).collect())
    }

    pub(crate) fn apply(
        &self,
        values: &FilledValues,
        endpoint: Option<&str>,
        headers: &mut HeaderMap,
    ) {
        for (rule, value) in self.rules.iter().zip(&values.0) {
            let value = value.as_ref().and_then(|filled| filled.value(endpoint));
            match (&rule.action, value) {
                (Action::Set(_), Some(value)) => {
                    headers.insert(&rule.name, value);
                }
                (Action::Append(_), Some(value)) => {
                    headers.append(&rule.name, value);
                }
                (Action::Set(_) | Action::Remove, _) => {
                    headers.remove(&rule.name);
                }
                (Action::Append(_), None) => {}
                (Action::Rename(new), _) => rename(headers, &rule.name, new),
            }
        }
    }

    fn with(mut self, name: HeaderName, action: Action) -> Self {
        self.rules.push(Rule { name, action });
        self
    }

    fn templates(&self) -> impl Iterator<Item = Option<&Template>> {
        self.rules.iter().map(|rule| match &rule.action {
            Action::Set(template) | Action::Append(template) => Some(template),
            Action::Remove | Action::Rename(_) => None,
        })
    }
}

fn rename(headers: &mut HeaderMap, old: &HeaderName, new: &HeaderName) {
    let values: Vec<_> = headers.get_all(old).iter().cloned().collect();
    if values.is_empty() || old == new {
        return;
    }
    headers.remove(old);
    headers.remove(new);
    for value in values {
        headers.append(new, value);
    }
}

fn template(name: &HeaderName, value: &str) -> Result<Template, HeaderRuleError> {
    value.parse().map_err(|source| HeaderRuleError::Value {
        name: name.clone(),
        source,
    })
}

fn checked(name: &str) -> Result<HeaderName, HeaderRuleError> {
    let Ok(name) = HeaderName::from_bytes(name.as_bytes()) else {
        return Err(HeaderRuleError::Name {
            name: name.to_owned(),
        });
    };
    let reason = match &name {
        // RFC 9110 §7.6.1.
        name if [CONNECTION, TE, UPGRADE].contains(name) => "it ends at this hop",
        name if ["keep-alive", "proxy-connection", "http2-settings"].contains(&name.as_str()) => {
            "it ends at this hop"
        }
        // RFC 9112 §6.
        name if [CONTENT_LENGTH, TRANSFER_ENCODING, TRAILER].contains(name) => {
            "it frames the message"
        }
        name if *name == EXPECT => "it is answered here",
        name if *name == HOST => "the host policy writes it",
        name if name.as_str().contains('_') => "servers take an underscore for a hyphen",
        _ => return Ok(name),
    };
    Err(HeaderRuleError::Refused { name, reason })
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn headers(fields: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }

    fn applied(rules: HeaderRules, fields: &[(&'static str, &str)]) -> HeaderMap {
        let mut request = Request::new(());
        *request.headers_mut() = headers(fields);
        let values = rules.fill(&Subject::of(&request));
        rules.apply(&values, None, request.headers_mut());
        request.into_parts().0.headers
    }

    #[test]
    fn rules_are_applied_in_order() -> Result<(), HeaderRuleError> {
        let fields = [("x-a", "1"), ("x-a", "2"), ("x-b", "3"), ("x-c", "4")];
        let rules = HeaderRules::new();
        let all = rules
            .rename("X-A", "x-b")?
            .append("x-b", "{header:x-b}")?
            .set("x-c", "{header:x-a}!")?
            .set("x-d", "5")?
            .remove("x-d")?
            .rename("x-none", "x-c")?;
        assert_eq!(
            applied(all, &fields),
            headers(&[("x-b", "1"), ("x-b", "2"), ("x-b", "3"), ("x-c", "1!")])
        );
        Ok(())
    }

    #[test]
    fn a_value_that_says_nothing_removes_what_was_set_and_appends_nothing()
    -> Result<(), HeaderRuleError> {
        let rules = HeaderRules::new()
            .set("x-a", "{client_ip}")?
            .append("x-b", "{client_ip}")?;
        let left = applied(rules, &[("x-a", "forged"), ("x-b", "1")]);
        assert_eq!(left, headers(&[("x-b", "1")]));
        Ok(())
    }

    #[test]
    fn fields_of_the_connection_are_refused_by_name() {
        for name in [
            "Connection",
            "keep-alive",
            "proxy-connection",
            "te",
            "upgrade",
            "http2-settings",
            "Content-Length",
            "transfer-encoding",
            "trailer",
            "host",
            "expect",
            "x_user",
        ] {
            let error = HeaderRules::new().remove(name).unwrap_err().to_string();
            let name = name.to_ascii_lowercase();
            assert!(
                error.starts_with(&format!("`{name}` is not for rules: ")),
                "{error}"
            );
            assert!(HeaderRules::new().rename("x-a", &name).is_err(), "{name}");
            assert!(HeaderRules::new().rename(&name, "x-a").is_err(), "{name}");
            assert!(HeaderRules::new().set(&name, "1").is_err(), "{name}");
            assert!(HeaderRules::new().append(&name, "1").is_err(), "{name}");
        }
        let error = HeaderRules::new().remove("a b").unwrap_err();
        assert_eq!(error.to_string(), "`a b` is not the name of a header");
        let error = HeaderRules::new().set("x-a", "{b}").unwrap_err();
        assert_eq!(error.to_string(), "the value of `x-a`");
    }
}
