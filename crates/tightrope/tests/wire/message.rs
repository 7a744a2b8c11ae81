//! A request as the strictest of servers would read it (RFC 9112): whatever is odd is an error.
//!
//! It shares nothing with the code that it judges, and is used by the tests and the fuzz target
//! `tightrope_head`.

/// One request.
#[derive(Debug)]
pub(crate) struct Message {
    pub(crate) method: String,
    pub(crate) target: String,
    /// Names in small letters.
    pub(crate) fields: Vec<(String, Vec<u8>)>,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Vec<(String, Vec<u8>)>,
}

impl Message {
    /// The values of the fields called `name`.
    pub(crate) fn all(&self, name: &str) -> Vec<&[u8]> {
        let fields = self.fields.iter().filter(|(other, _)| other == name);
        fields.map(|(_, value)| &**value).collect()
    }
}

/// The first request in `bytes` and how long it is; `None` where it is not complete.
pub(crate) fn parse(bytes: &[u8]) -> Result<Option<(Message, usize)>, String> {
    let Some((line, mut at)) = line(bytes, 0)? else {
        return Ok(None);
    };
    let text = String::from_utf8(line.to_vec()).map_err(|_| "a request line that is no ASCII")?;
    let mut words = text.split(' ');
    let (Some(method), Some(target), Some("HTTP/1.1"), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(format!("the request line {text:?}"));
    };
    if method.is_empty() || !method.bytes().all(is_token) {
        return Err(format!("the method {method:?}"));
    }
    let is_visible = target.bytes().all(|byte| (0x21..=0x7e).contains(&byte));
    let is_path = target.starts_with('/') || (target == "*" && method == "OPTIONS");
    if !is_visible || !is_path || target.contains(['#', '"', '<', '>']) {
        return Err(format!("the target {target:?}"));
    }
    let Some((fields, after)) = fields(bytes, at)? else {
        return Ok(None);
    };
    at = after;
    let mut message = Message {
        method: method.to_owned(),
        target: target.to_owned(),
        fields,
        body: Vec::new(),
        trailers: Vec::new(),
    };
    let lengths = message.all("content-length");
    let codings = message.all("transfer-encoding");
    match (&*lengths, &*codings) {
        ([], []) => {}
        ([length], []) => {
            let digits = String::from_utf8_lossy(length).into_owned();
            let is_number = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
            let length: usize = digits.parse().map_err(|_| "a length that is none")?;
            if !is_number {
                return Err(format!("the length {digits:?}"));
            }
            let end = at.checked_add(length).ok_or("a length that overflows")?;
            let Some(body) = bytes.get(at..end) else {
                return Ok(None);
            };
            (message.body, at) = (body.to_vec(), end);
        }
        ([], [b"chunked"]) => match chunks(bytes, at)? {
            Some((body, trailers, after)) => {
                (message.body, message.trailers, at) = (body, trailers, after);
            }
            None => return Ok(None),
        },
        _ => return Err(format!("the framing {lengths:?} {codings:?}")),
    }
    Ok(Some((message, at)))
}

/// The line at `at` without its end, and where the next one begins.
fn line(bytes: &[u8], at: usize) -> Result<Option<(&[u8], usize)>, String> {
    let rest = &bytes[at..];
    let Some(end) = rest.iter().position(|byte| matches!(byte, b'\r' | b'\n')) else {
        return Ok(None);
    };
    match &rest[end..] {
        [b'\r', b'\n', ..] => Ok(Some((&rest[..end], at + end + 2))),
        [b'\r'] => Ok(None),
        _ => Err("a bare CR or LF".to_owned()),
    }
}

type Fields = Vec<(String, Vec<u8>)>;

fn fields(bytes: &[u8], mut at: usize) -> Result<Option<(Fields, usize)>, String> {
    let mut fields = Vec::new();
    loop {
        let Some((line, after)) = line(bytes, at)? else {
            return Ok(None);
        };
        at = after;
        if line.is_empty() {
            return Ok(Some((fields, at)));
        }
        let bad = || format!("the field line {}", line.escape_ascii());
        let colon = line.iter().position(|byte| *byte == b':').ok_or_else(bad)?;
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        let is_value = |byte: &u8| matches!(byte, b'\t' | b' '..=b'~' | 0x80..);
        if name.is_empty() || !name.iter().copied().all(is_token) || !value.iter().all(is_value) {
            return Err(bad());
        }
        let name = String::from_utf8_lossy(name).to_ascii_lowercase();
        fields.push((name, value.to_vec()));
    }
}

type Chunks = (Vec<u8>, Fields, usize);

fn chunks(bytes: &[u8], mut at: usize) -> Result<Option<Chunks>, String> {
    let mut body = Vec::new();
    loop {
        let Some((size, after)) = line(bytes, at)? else {
            return Ok(None);
        };
        let digits = String::from_utf8_lossy(size).into_owned();
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(format!("the chunk size {digits:?}"));
        }
        let size = usize::from_str_radix(&digits, 16).map_err(|error| error.to_string())?;
        if size == 0 {
            return Ok(fields(bytes, after)?.map(|(trailers, at)| (body, trailers, at)));
        }
        let end = after
            .checked_add(size)
            .ok_or("a chunk size that overflows")?;
        let Some(data) = bytes.get(after..end) else {
            return Ok(None);
        };
        body.extend_from_slice(data);
        match bytes.get(end..end + 2) {
            Some(b"\r\n") => at = end + 2,
            Some(_) => return Err("no CRLF after a chunk".to_owned()),
            None => return Ok(None),
        }
    }
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}
