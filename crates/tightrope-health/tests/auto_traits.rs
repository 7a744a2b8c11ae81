//! What can be moved between threads, shared and pinned.

use tightrope_health::{
    ExpectedBytes, HealthCheck, HealthCheckError, HealthTask, LiveReports, Observe, ObserveLayer,
    Probe, ProbeError, TcpProbe, TcpProbeError,
    observe::{LiveAttempt, ResponseFuture},
    outlier::{
        OutlierCounts, OutlierDetection, OutlierError, OutlierReports, OutlierTask, Watched,
    },
    probe::{Place, ProbeFuture, Shared, check},
};
use tightrope_upstream::Endpoint;

fn send<T: Send>() {}
fn sync<T: Sync>() {}
fn unpin<T: Unpin>() {}

macro_rules! all {
    ($($type:ty),* $(,)?) => {$( send::<$type>(); sync::<$type>(); unpin::<$type>(); )*};
}

#[test]
fn everything_can_be_sent_shared_and_moved() {
    all!(
        ExpectedBytes,
        HealthCheck,
        HealthCheckError,
        HealthTask,
        LiveAttempt,
        LiveReports,
        Observe<(), (), ()>,
        ObserveLayer<(), ()>,
        OutlierCounts,
        OutlierDetection,
        OutlierError,
        OutlierReports,
        OutlierTask,
        Place,
        ProbeError,
        ResponseFuture<(), (), ()>,
        Shared<TcpProbe>,
        TcpProbe,
        TcpProbeError,
        Watched,
        Box<dyn Probe>,
    );
    #[cfg(feature = "http")]
    all!(
        tightrope_health::ExpectedBody,
        tightrope_health::HttpProbe,
        tightrope_health::HttpProbeError,
    );
    #[cfg(feature = "grpc")]
    all!(
        tightrope_health::GrpcProbe,
        tightrope_health::GrpcProbeError
    );
    #[cfg(feature = "regex")]
    all!(tightrope_health::Pattern, tightrope_health::PatternError);
    #[cfg(feature = "tls")]
    all!(tightrope_health::Tls, tightrope_health::TlsError);
}

#[test]
fn the_futures_can_be_sent() {
    fn is_send<T: Send>(_: &T) {}

    send::<ProbeFuture<'_>>();
    let _checked = |probe: &dyn Probe, endpoint: &Endpoint| {
        is_send(&check(probe, endpoint, std::time::Duration::ZERO));
    };
}
