//! Lists in real files, and the text that they are made of.

#![expect(clippy::unwrap_used, reason = "a test may panic")]
#![cfg(feature = "file")]

use std::{fs, time::Duration};

use proptest::prelude::*;
use tempfile::TempDir;
use tightrope_discover::{EndpointLine, FileError, FileSource, LineError, ListError, Refresh};
use tightrope_upstream::{EndpointSpec, Source, Upstream};
use tokio::time::{Instant, timeout};

struct Place(TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> std::path::PathBuf {
        self.0.path().join("endpoints")
    }

    fn write(&self, text: impl AsRef<[u8]>) {
        fs::write(self.path(), text).unwrap();
    }

    fn source(&self) -> FileSource {
        FileSource::new(self.path())
    }
}

async fn ids(source: &mut FileSource) -> Result<Vec<String>, String> {
    match source.next().await.unwrap() {
        Ok(list) => Ok(list.iter().map(|spec| spec.id.to_string()).collect()),
        Err(error) => Err(error.to_string()),
    }
}

/// That nothing is new for an hour.
async fn quiet(source: &mut FileSource) -> bool {
    timeout(Duration::from_secs(3_600), source.next())
        .await
        .is_err()
}

fn parse(line: &str) -> Result<EndpointSpec, LineError> {
    line.parse().map(EndpointLine::into_spec)
}

#[tokio::test(start_paused = true)]
async fn the_list_is_given_at_once_and_again_when_the_content_changes() {
    let (place, begun) = (Place::new(), Instant::now());
    place.write("10.0.0.1:80\n10.0.0.2:80\n");
    let mut source = place.source();
    assert_eq!(
        ids(&mut source).await.unwrap(),
        ["10.0.0.1:80", "10.0.0.2:80"]
    );
    assert_eq!(begun.elapsed(), Duration::ZERO);
    place.write("10.0.0.2:80\n10.0.0.3:80\n");
    assert_eq!(
        ids(&mut source).await.unwrap(),
        ["10.0.0.2:80", "10.0.0.3:80"]
    );
    assert_eq!(begun.elapsed(), Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn a_file_that_stays_or_is_only_touched_gives_nothing_new() {
    let place = Place::new();
    place.write("10.0.0.1:80");
    let mut source = place.source().with_interval(Duration::from_secs(60));
    ids(&mut source).await.unwrap();
    assert!(quiet(&mut source).await);
    place.write("10.0.0.1:80");
    assert!(quiet(&mut source).await);
}

#[tokio::test(start_paused = true)]
async fn a_file_that_is_replaced_by_a_rename_is_read() {
    let place = Place::new();
    place.write("10.0.0.1:80");
    let mut source = place.source();
    ids(&mut source).await.unwrap();
    let next = place.0.path().join("next");
    fs::write(&next, "10.0.0.9:80").unwrap();
    fs::rename(next, place.path()).unwrap();
    assert_eq!(ids(&mut source).await.unwrap(), ["10.0.0.9:80"]);
}

#[tokio::test(start_paused = true)]
async fn a_missing_file_is_an_error_once_and_its_return_is_given_even_unchanged() {
    let place = Place::new();
    let mut source = place.source();
    let missing = format!("cannot read `{}`", place.path().display());
    assert_eq!(ids(&mut source).await.unwrap_err(), missing);
    assert!(quiet(&mut source).await);
    for _ in 0..2 {
        place.write("10.0.0.1:80");
        assert_eq!(ids(&mut source).await.unwrap(), ["10.0.0.1:80"]);
        fs::remove_file(place.path()).unwrap();
        assert_eq!(ids(&mut source).await.unwrap_err(), missing);
    }
}

#[tokio::test(start_paused = true)]
async fn a_directory_is_an_error_that_says_so() {
    let place = Place::new();
    fs::create_dir(place.path()).unwrap();
    let error = place.source().next().await.unwrap().unwrap_err();
    assert_eq!(error.source().unwrap().to_string(), "not a regular file");
}

#[tokio::test(start_paused = true)]
async fn an_error_names_file_line_and_value() {
    let place = Place::new();
    let path = place.path().display().to_string();
    let mut source = place.source();
    for (text, expected) in [
        (
            "\n10.0.0.1:80\n10.0.0.2\n",
            "line 3: `10.0.0.2` is not an address (no port); expected IP:PORT, NAME:PORT or unix:/PATH",
        ),
        (
            "a:1 weight=-1",
            "line 1: weight `-1` is not a whole number from 0 to 65535",
        ),
        (
            "a:1 wieght=1",
            "line 1: `wieght=1` is not id=ID, weight=NUMBER, group=GROUP or meta.KEY=VALUE",
        ),
        (
            "a:1 meta.=1",
            "line 1: `meta.=1` is not id=ID, weight=NUMBER, group=GROUP or meta.KEY=VALUE",
        ),
        ("a:1 id=x id=y", "line 1: `id` is given twice"),
        (
            "a:1\n# a\n\nb:1 id=a:1\n",
            "line 4: endpoint `a:1` is in line 1 already",
        ),
    ] {
        place.write(text);
        assert_eq!(
            ids(&mut source).await.unwrap_err(),
            format!("`{path}`, {expected}")
        );
    }
    place.write(b"a:1\nb:1\n\xff:1");
    assert_eq!(
        ids(&mut source).await.unwrap_err(),
        format!("`{path}`, line 3: not UTF-8")
    );
}

#[tokio::test(start_paused = true)]
async fn a_file_over_the_limit_is_refused() {
    let place = Place::new();
    let file = fs::File::create(place.path()).unwrap();
    file.set_len(FileSource::MAX_BYTES + 1).unwrap();
    let error = place.source().next().await.unwrap().unwrap_err();
    assert!(
        matches!(error.downcast_ref(), Some(FileError::TooLarge { .. })),
        "{error}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_reading_that_was_dropped_is_made_up_for() {
    let place = Place::new();
    place.write("10.0.0.1:80");
    let mut source = place.source();
    ids(&mut source).await.unwrap();
    place.write("10.0.0.2:80");
    // Dropped more often than the file is looked at: it is due all the same.
    for _ in 0..4 {
        assert!(
            timeout(Duration::from_millis(249), source.next())
                .await
                .is_err()
        );
    }
    assert_eq!(ids(&mut source).await.unwrap(), ["10.0.0.2:80"]);
}

#[tokio::test(start_paused = true)]
async fn an_upstream_keeps_its_members_while_the_file_is_broken_or_empty() {
    let (place, upstream) = (Place::new(), Upstream::new("api"));
    place.write("10.0.0.1:80");
    let refresh = Refresh::new(&upstream, place.source()).spawn();
    refresh.wait_for(|state| state.applied == 1).await;
    place.write("10.0.0.1:80 weight=many");
    refresh.wait_for(|state| state.failed == 1).await;
    place.write("# nobody\n");
    refresh.wait_for(|state| state.refused == 1).await;
    assert_eq!(upstream.snapshot().members().len(), 1);
    place.write("10.0.0.1:80\n10.0.0.2:80");
    refresh.wait_for(|state| state.applied == 2).await;
    assert_eq!(upstream.snapshot().members().len(), 2);
}

#[test]
fn a_line_says_all_that_is_configured_of_an_endpoint() {
    let spec = parse("\t[::1]:80 group=blue meta.zone=a=b  meta.zone2=\u{a0}weight=0 id=#1 # id=2")
        .unwrap();
    assert_eq!(spec.address.to_string(), "[::1]:80");
    assert_eq!(spec.id.as_str(), "#1");
    assert_eq!(spec.weight.get(), 0);
    assert_eq!(spec.group.unwrap().as_str(), "blue");
    let labels: Vec<_> = spec.metadata.iter().collect();
    assert_eq!(labels, [("zone", "a=b"), ("zone2", "")]);
}

#[test]
fn comments_blank_lines_and_line_ends_of_any_kind_are_skipped() {
    let list = FileSource::parse("# a\r\n\r\n  \t# b\r\n a:1\r\nunix:/run/b.sock #c\n\n").unwrap();
    let ids: Vec<_> = list.iter().map(|spec| spec.id.as_str()).collect();
    assert_eq!(ids, ["a:1", "unix:/run/b.sock"]);
    assert_eq!(FileSource::parse(""), Ok(Vec::new()));
    assert_eq!(parse(" # nothing"), Err(LineError::Blank));
}

fn line() -> impl Strategy<Value = String> {
    let address = prop_oneof![
        "[0-9]{1,3}\\.[0-9]{1,3}\\.0\\.1:[1-9][0-9]{0,4}",
        "[a-zA-Z_]{1,9}(\\.[a-z]{1,3})?\\.?:[1-9][0-9]{0,3}",
        "unix:/[^ \\s#]{0,9}",
        Just("[fe80::1]:80".to_owned()),
    ];
    let setting = prop_oneof![
        "id=[^\\s]{0,5}",
        "weight=[0-9]{1,6}",
        "group=[^\\s]{1,5}",
        "meta\\.[^\\s]{0,3}=[^\\s]{0,3}",
        "[^\\s]{0,6}",
    ];
    (address, prop::collection::vec(setting, 0..4)).prop_map(|(address, settings)| {
        std::iter::once(address)
            .chain(settings)
            .collect::<Vec<_>>()
            .join(" ")
    })
}

proptest! {
    #[test]
    fn what_is_printed_parses_to_the_same_endpoint(text in line()) {
        if let Ok(line) = text.parse::<EndpointLine>() {
            let printed = line.to_string();
            let again: EndpointLine = printed.parse().unwrap();
            prop_assert_eq!(&again, &line, "{}", printed);
            prop_assert_eq!(again.to_string(), printed);
        }
    }

    #[test]
    fn no_text_panics(text in any::<String>()) {
        let _any = FileSource::parse(&text);
    }

    #[test]
    fn a_list_is_all_of_its_lines_or_an_error_that_names_the_first_wrong_one(
        lines in prop::collection::vec(line(), 0..8),
    ) {
        let wrong = lines.iter().position(|line| parse(line).is_err());
        match FileSource::parse(&lines.join("\n")) {
            Ok(list) => {
                prop_assert_eq!(wrong, None);
                prop_assert_eq!(list.len(), lines.len());
            }
            Err(ListError::Line { line, .. }) => prop_assert_eq!(Some(line - 1), wrong),
            Err(ListError::Duplicate { line, first, .. }) => {
                prop_assert!(first < line && wrong.is_none_or(|wrong| wrong >= line));
            }
            Err(other) => prop_assert!(false, "{other}"),
        }
    }
}
