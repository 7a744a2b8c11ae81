//! What `grpc-timeout` may say. An input is the value of the field.

use std::time::Duration;

use tightrope_retry::GrpcTimeout;

/// Runs an input and panics where it is not read as the reference does, or not printed as it is read.
pub(crate) fn check(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let parsed = text.parse::<GrpcTimeout>().ok();
    let nanos = parsed.map(|timeout| timeout.duration().as_nanos());
    assert_eq!(nanos, nanos_of(&text), "{text:?}");
    if let Some(parsed) = parsed {
        round_down(parsed.duration());
    }
}

/// Prints a duration: never more than it is, nor less by a hundred-thousandth, and the same when it is printed again.
fn round_down(duration: Duration) {
    let printed = GrpcTimeout::new(duration).to_string();
    let (digits, _) = printed.split_at(printed.len() - 1);
    assert!((1..=8).contains(&digits.len()), "{printed}");
    let read = printed.parse::<GrpcTimeout>();
    let read = read.unwrap_or_else(|error| panic!("{printed}: {error}"));
    let lost = duration
        .min(GrpcTimeout::MAX.duration())
        .checked_sub(read.duration());
    let lost = lost.unwrap_or_else(|| panic!("{printed} is more than {duration:?}"));
    // The coarsest step is that to microseconds, from a tenth of a second on.
    assert!(
        lost.as_nanos() <= duration.as_nanos() / 100_000,
        "{printed}: {lost:?}"
    );
    assert_eq!(duration.is_zero(), read.duration().is_zero(), "{printed}");
    assert_eq!(GrpcTimeout::new(read.duration()).to_string(), printed);
}

/// The grammar, by its letter.
fn nanos_of(text: &str) -> Option<u128> {
    let unit = text.chars().next_back()?;
    let digits = text.strip_suffix(unit)?;
    let nanos: u128 = match unit {
        'H' => 3_600_000_000_000,
        'M' => 60_000_000_000,
        'S' => 1_000_000_000,
        'm' => 1_000_000,
        'u' => 1_000,
        'n' => 1,
        _ => return None,
    };
    let is_number = !digits.is_empty() && digits.chars().all(|c| c.is_ascii_digit());
    let number: u128 = digits
        .parse()
        .ok()
        .filter(|_| is_number && digits.len() < 9)?;
    Some(number * nanos)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_edges_are_read_and_printed() {
        for (text, printed) in [
            ("0n", "0n"),
            ("0H", "0n"),
            ("1S", "1000000u"),
            ("00000001m", "1000000n"),
            ("99999999n", "99999999n"),
            ("100000u", "100000u"),
            ("99999999u", "99999999u"),
            ("99999999M", "99999999M"),
            ("99999999H", "99999999H"),
        ] {
            check(text.as_bytes());
            let timeout: GrpcTimeout = text.parse().expect("a timeout");
            assert_eq!(timeout.to_string(), printed, "{text}");
        }
        for text in [
            "",
            "S",
            "1",
            "1s",
            "1h",
            " 1S",
            "1S ",
            "+1S",
            "-1S",
            "1.0S",
            "100000000n",
            "\u{663}S",
        ] {
            check(text.as_bytes());
            let error = text.parse::<GrpcTimeout>().expect_err(text);
            assert!(error.to_string().contains("eight digits"));
        }
        assert_eq!(GrpcTimeout::new(Duration::MAX), GrpcTimeout::MAX);
        round_down(Duration::MAX);
    }

    #[test]
    fn inputs_found_by_fuzzing_stay_fixed() {
        let folder =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/regressions/retry_grpc_timeout");
        let Ok(entries) = std::fs::read_dir(&folder) else {
            eprintln!("skipped: there is no folder {}", folder.display());
            return;
        };
        for entry in entries {
            let path = entry.expect("an entry").path();
            check(&std::fs::read(&path).expect("a file"));
        }
    }

    proptest! {
        #[test]
        fn what_is_printed_is_rounded_down(seconds in 0..=u64::MAX, shift in 0..64_u32, nanos in 0..1_000_000_000_u32) {
            round_down(Duration::new(seconds >> shift, nanos));
            round_down(Duration::from_nanos(seconds >> shift));
        }

        #[test]
        fn what_is_read_is_in_the_grammar(text in "[0-9]{0,10}[HMSmunx ]{0,2}") {
            check(text.as_bytes());
        }
    }
}
