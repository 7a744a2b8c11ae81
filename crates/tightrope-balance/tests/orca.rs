//! Turns follow the load that endpoints report.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::time::Duration;

use tightrope_balance::{
    Balance, Context,
    orca::{LoadReport, Reports, WeightedRoundRobin},
};
use tightrope_upstream::{Change, Upstream};
use tokio::time::advance;

use crate::support::{id, number, spec, upstream};

const SECOND: Duration = Duration::from_secs(1);

/// A report of this load.
fn load(rps: f64, cpu: f64) -> LoadReport {
    let mut report = LoadReport::new();
    (report.rps, report.cpu_utilization) = (rps, cpu);
    report
}

/// Tells what each endpoint reports, if it does.
fn report(upstream: &Upstream, reports: &Reports, loads: &[Option<LoadReport>]) {
    let snapshot = upstream.snapshot();
    for (member, load) in snapshot.members().iter().zip(loads) {
        reports.observe(member, load.as_ref());
    }
}

/// Who gets how many of this many picks.
fn shares(balance: &mut Balance<()>, members: usize, picks: usize) -> Vec<usize> {
    let mut got = vec![0; members];
    for _ in 0..picks {
        got[number(&balance.pick(&Context::new()).unwrap())] += 1;
    }
    got
}

/// The shares, once weights were worked out again.
async fn shares_after(
    upstream: &Upstream,
    strategy: WeightedRoundRobin,
    loads: &[Option<LoadReport>],
    picks: usize,
) -> Vec<usize> {
    let reports = strategy.reports();
    let mut balance = Balance::new(upstream, strategy, ());
    report(upstream, &reports, loads);
    advance(SECOND).await;
    report(upstream, &reports, loads);
    shares(&mut balance, loads.len(), picks)
}

fn at_once() -> WeightedRoundRobin {
    WeightedRoundRobin::new().with_blackout(Duration::ZERO)
}

#[track_caller]
fn assert_near(got: &[usize], expected: &[usize]) {
    let near = got
        .iter()
        .zip(expected)
        .all(|(&got, &expected)| got.abs_diff(expected) <= 2);
    assert!(
        near && got.len() == expected.len(),
        "{got:?}, expected {expected:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn weight_is_rate_over_utilization() {
    let loads = [
        Some(load(100.0, 0.5)),
        Some(load(300.0, 0.5)),
        Some(load(300.0, 0.25)),
    ];
    let got = shares_after(&upstream(&[1, 1, 1]), at_once(), &loads, 1_000).await;
    assert_near(&got, &[100, 300, 600]);
}

#[tokio::test(start_paused = true)]
async fn configured_weights_multiply() {
    let loads = [Some(load(100.0, 0.5)), Some(load(100.0, 0.5))];
    let got = shares_after(&upstream(&[3, 1]), at_once(), &loads, 400).await;
    assert_near(&got, &[300, 100]);
}

#[tokio::test(start_paused = true)]
async fn a_missing_report_counts_as_the_mean() {
    let loads = [Some(load(100.0, 1.0)), None, Some(load(300.0, 1.0))];
    let got = shares_after(&upstream(&[1, 1, 1]), at_once(), &loads, 600).await;
    assert_near(&got, &[100, 200, 300]);
}

#[tokio::test(start_paused = true)]
async fn useless_reports_are_missing_ones() {
    for useless in [
        load(0.0, 0.5),
        load(100.0, 0.0),
        load(-1.0, 0.5),
        load(f64::NAN, 0.5),
    ] {
        let loads = [
            Some(load(100.0, 1.0)),
            Some(useless),
            Some(load(300.0, 1.0)),
        ];
        let got = shares_after(&upstream(&[1, 1, 1]), at_once(), &loads, 600).await;
        assert_near(&got, &[100, 200, 300]);
    }
}

#[tokio::test(start_paused = true)]
async fn with_one_report_configured_weights_decide() {
    let loads = [Some(load(900.0, 0.1)), None];
    let got = shares_after(&upstream(&[1, 2]), at_once(), &loads, 300).await;
    assert_eq!(got, [100, 200]);
}

#[tokio::test(start_paused = true)]
async fn errors_make_lighter() {
    let mut failing = load(100.0, 0.5);
    failing.eps = 50.0;
    // 100 / (0.5 + 0.5 * penalty)
    for (penalty, expected) in [(1.0, [200, 100]), (3.0, [400, 100]), (0.0, [200, 200])] {
        let strategy = at_once().with_error_penalty(penalty);
        let loads = [Some(load(100.0, 0.5)), Some(failing.clone())];
        let picks = expected.iter().sum();
        let got = shares_after(&upstream(&[1, 1]), strategy, &loads, picks).await;
        assert_near(&got, &expected);
    }
}

#[tokio::test(start_paused = true)]
async fn utilization_is_that_of_named_metrics_then_application_then_processor() {
    let mut named = load(100.0, 0.9);
    named.application_utilization = 0.8;
    named.utilization.insert("disk".into(), 0.1);
    named.named_metrics.insert("queue".into(), 0.2);
    for (metrics, utilization) in [
        (
            vec!["utilization.disk", "named_metrics.queue", "no.such"],
            0.2,
        ),
        (vec!["utilization.none"], 0.8),
        (vec!["cpu_utilization"], 0.9),
        (vec![], 0.8),
    ] {
        let strategy = at_once().with_metrics(metrics);
        // The other is as heavy as the first must be.
        let loads = [Some(named.clone()), Some(load(100.0, utilization))];
        let got = shares_after(&upstream(&[1, 1]), strategy, &loads, 200).await;
        assert_near(&got, &[100, 100]);
    }
}

#[tokio::test(start_paused = true)]
async fn nobody_counts_ten_times_the_mean_or_less_than_a_tenth() {
    let mut loads = vec![Some(load(100.0, 1.0)); 30];
    loads[0] = Some(load(1e9, 1.0));
    let upstream = upstream(&[1; 30]);
    let got = shares_after(&upstream, at_once(), &loads, 10_000).await;
    // The others are far below the mean: each counts as a tenth of it.
    let tenth = 10_000 / (100 + 29);
    assert!(
        got[1..].iter().all(|&got| got.abs_diff(tenth) <= 2),
        "{got:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn reports_of_a_newcomer_are_not_yet_believed() {
    let upstream = upstream(&[1, 1]);
    let strategy = WeightedRoundRobin::new();
    let reports = strategy.reports();
    let mut balance = Balance::new(&upstream, strategy, ());
    let loads = [Some(load(100.0, 0.5)), Some(load(300.0, 0.5))];
    for second in 0..=12 {
        report(&upstream, &reports, &loads);
        let got = shares(&mut balance, 2, 400);
        let expected = if second < 10 { [200, 200] } else { [100, 300] };
        assert_near(&got, &expected);
        advance(SECOND).await;
    }

    // Who comes back begins anew; the other is the only one whose reports count.
    upstream.apply(Change::new().drain(id(1), "test")).unwrap();
    upstream
        .apply(Change::new().undrain(id(1), "test"))
        .unwrap();
    report(&upstream, &reports, &loads);
    assert_near(&shares(&mut balance, 2, 400), &[200, 200]);
}

#[tokio::test(start_paused = true)]
async fn old_reports_expire() {
    let upstream = upstream(&[1, 1]);
    let strategy = at_once().with_expiry(5 * SECOND);
    let reports = strategy.reports();
    let mut balance = Balance::new(&upstream, strategy, ());
    report(
        &upstream,
        &reports,
        &[Some(load(100.0, 0.5)), Some(load(300.0, 0.5))],
    );
    for second in 1..=6 {
        advance(SECOND).await;
        // Answers without a report.
        report(&upstream, &reports, &[None, None]);
        let expected = if second < 5 { [100, 300] } else { [200, 200] };
        assert_near(&shares(&mut balance, 2, 400), &expected);
    }
}

#[tokio::test(start_paused = true)]
async fn reports_survive_updates() {
    let upstream = upstream(&[1, 1]);
    let strategy = at_once();
    let reports = strategy.reports();
    let mut balance = Balance::new(&upstream, strategy, ());
    report(
        &upstream,
        &reports,
        &[Some(load(100.0, 0.5)), Some(load(300.0, 0.5))],
    );
    upstream.apply(Change::new().add(spec(2, 1))).unwrap();
    assert_near(&shares(&mut balance, 3, 600), &[100, 300, 200]);
}

#[tokio::test(start_paused = true)]
async fn reports_of_strangers_are_nothing() {
    let (upstream, other) = (upstream(&[1, 1]), upstream(&[1, 1]));
    let got = {
        let strategy = at_once();
        let reports = strategy.reports();
        let mut balance = Balance::new(&upstream, strategy, ());
        report(
            &other,
            &reports,
            &[Some(load(100.0, 0.5)), Some(load(300.0, 0.5))],
        );
        advance(SECOND).await;
        report(&other, &reports, &[None, None]);
        shares(&mut balance, 2, 400)
    };
    assert_eq!(got, [200, 200]);
}

#[cfg(feature = "orca")]
mod responses {
    use std::convert::Infallible;

    use bytes::Bytes;
    use http::{HeaderMap, HeaderValue, Response};
    use http_body::Body;
    use http_body_util::{BodyExt, Full};
    use tightrope_balance::orca::{ReadReports, ReportError};
    use tightrope_upstream::Picked;
    use tower::{Service, ServiceExt, service_fn};

    use super::*;

    fn headers(name: &'static str, value: &str) -> HeaderMap {
        let value = HeaderValue::from_bytes(value.as_bytes()).unwrap();
        [(name.parse().unwrap(), value)].into_iter().collect()
    }

    fn read(value: &str) -> Result<Option<LoadReport>, ReportError> {
        LoadReport::from_headers(&headers("endpoint-load-metrics", value))
    }

    fn full() -> LoadReport {
        let mut report = load(1_234.5, 0.25);
        report.mem_utilization = 0.5;
        report.application_utilization = 1.5;
        report.eps = 2.0;
        report.request_cost.insert("bytes".into(), 10.0);
        report.utilization.insert("disk".into(), 0.75);
        report.named_metrics.insert("queue".into(), 3.0);
        report
    }

    #[test]
    fn every_format_says_the_same() {
        let text = "TEXT cpu_utilization=0.25, mem_utilization=0.5,application_utilization=1.5,\
                    rps_fractional=1234.5,eps=2,request_cost.bytes=10,utilization.disk=0.75,\
                    named_metrics.queue=3";
        let snake = r#"JSON {"cpu_utilization":0.25,"mem_utilization":0.5,"eps":2,
            "application_utilization":1.5,"rps_fractional":1234.5,"request_cost":{"bytes":10},
            "utilization":{"disk":0.75},"named_metrics":{"queue":3},"unknown":1}"#
            .replace('\n', "");
        let camel = r#"JSON {"cpuUtilization":0.25,"memUtilization":0.5,"eps":2,
            "applicationUtilization":1.5,"rpsFractional":1234.5,"requestCost":{"bytes":10},
            "utilization":{"disk":0.75},"namedMetrics":{"queue":3}}"#
            .replace('\n', "");
        for value in [text, &snake, &camel] {
            assert_eq!(read(value), Ok(Some(full())), "{value}");
        }
        assert_eq!(LoadReport::from_headers(&HeaderMap::new()), Ok(None));
    }

    #[test]
    fn binary_reports_are_protobuf_in_base64() {
        // Field 1 (double 0.25), 3 (varint 300), 5 (map entry "disk": 0.75).
        let bytes = "CQAAAAAAANA/GKwCKg8KBGRpc2sRAAAAAAAA6D8";
        let mut expected = load(300.0, 0.25);
        expected.utilization.insert("disk".into(), 0.75);
        let in_binary = LoadReport::from_headers(&headers("endpoint-load-metrics-bin", bytes));
        assert_eq!(in_binary, Ok(Some(expected.clone())));
        assert_eq!(read(&format!("BIN {bytes}=")), Ok(Some(expected)));
    }

    #[test]
    fn errors_name_what_is_wrong() {
        for (value, error) in [
            ("XML <a/>", r#"a report in no known format: "XML <a/>""#),
            ("", r#"a report in no known format: """#),
            ("caf\u{e9}", "a report in no known format: \"caf\u{e9}\""),
            (
                "TEXT eps=x",
                r#"the metric "eps" of a report cannot be "x""#,
            ),
            ("TEXT eps", r#"the metric "eps" of a report cannot be """#),
            (
                "TEXT eps=1,eps=2",
                r#"the metric "eps" of a report cannot be "2""#,
            ),
            (
                "TEXT eps=inf",
                r#"the metric "eps" of a report cannot be "inf""#,
            ),
            (
                "TEXT a.b=NaN",
                r#"the metric "a.b" of a report cannot be "NaN""#,
            ),
            (
                "TEXT named_metrics.b=NaN",
                r#"the metric "b" of a report cannot be "NaN""#,
            ),
            (
                "TEXT rps=1",
                r#"the metric "rps" of a report cannot be "1""#,
            ),
        ] {
            assert_eq!(read(value).unwrap_err().to_string(), error);
        }
        for value in ["JSON {", "JSON []x", "BIN *", "BIN CQA"] {
            let error = read(value).unwrap_err().to_string();
            assert!(error.starts_with("a report cannot be decoded: "), "{error}");
        }
    }

    /// Answers with a report in the head, in the trailers, or with none.
    async fn answer(
        picked: Picked<&str>,
    ) -> Result<Response<impl Body<Data = Bytes, Error = Infallible>>, Infallible> {
        let first = picked.endpoint().id().as_str() == "0";
        let value = HeaderValue::from_static(if first {
            "TEXT cpu_utilization=0.5,rps_fractional=100"
        } else {
            "TEXT cpu_utilization=0.5,rps_fractional=300"
        });
        let report: HeaderMap = [("endpoint-load-metrics".parse().unwrap(), value)]
            .into_iter()
            .collect();
        let body = Full::new(Bytes::from_static(b"hello"));
        let in_trailers = *picked.request() == "trailers";
        let trailers = in_trailers.then(|| Ok(report.clone()));
        let mut response = Response::new(body.with_trailers(std::future::ready(trailers)));
        if *picked.request() == "head" {
            response.headers_mut().extend(report);
        }
        Ok(response)
    }

    #[tokio::test(start_paused = true)]
    async fn heads_and_trailers_are_read() {
        for (where_to, expected) in [
            ("head", [100, 300]),
            ("trailers", [100, 300]),
            ("nowhere", [200, 200]),
        ] {
            let upstream = upstream(&[1, 1]);
            let strategy = at_once();
            let inner = ReadReports::new(service_fn(answer), strategy.reports());
            let mut balance = Balance::new(&upstream, strategy, inner);
            for _ in 0..4 {
                let response = balance.ready().await.unwrap().call(where_to).await.unwrap();
                let body = response.into_body().collect().await.unwrap();
                assert_eq!(body.trailers().is_some(), where_to == "trailers");
                assert_eq!(body.to_bytes(), "hello");
                advance(SECOND).await;
            }
            let mut got = [0; 2];
            for _ in 0..400 {
                got[number(&balance.pick(&Context::new()).unwrap())] += 1;
            }
            assert_near(&got, &expected);
        }
    }
}
