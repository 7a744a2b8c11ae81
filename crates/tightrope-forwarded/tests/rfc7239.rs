//! Lines of `Forwarded` that a trusted peer sent, against the reference; the fuzz target `forwarded_rfc7239` shares it.

use crate::reference;

/// Runs the lines of `input` through the layer, under several settings, and panics where it and the reference differ.
pub(crate) fn check(input: &[u8]) {
    let networks = "10.0.0.0/8 203.0.113.0/24 2001:db8::/32";
    for trust in [networks, "nearest 10.0.0.0/8", "hops=2"] {
        for settings in ["keep +port", "+forwarded with-proto with-host", "line"] {
            let mut case = format!("tcp 10.0.0.2:1 8443\n{trust}\nread=forwarded {settings}\n/");
            // Bytes that are no text are as good as others that no address has.
            for line in input.split(|byte| *byte == b'\n') {
                case.push_str("\nForwarded: ");
                case.extend(line.iter().map(|byte| char::from(*byte)));
            }
            reference::check(case.as_bytes());
        }
    }
}
