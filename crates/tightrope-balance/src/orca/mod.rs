//! Weights that the endpoints themselves report, in the Open Request Cost Aggregation format.
//!
//! Servers say in the head or the trailers of a response how busy they are and how much they
//! serve. What they serve for how busy they are is what they can bear, and so their weight:
//!
//! ```
//! use std::time::Duration;
//! use tightrope_balance::{Balance, orca::{LoadReport, WeightedRoundRobin}};
//! use tightrope_upstream::{Change, EndpointSpec, Upstream};
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let upstream = Upstream::new("shop");
//! let specs = ["10.0.0.1:80", "10.0.0.2:80"].map(|address| address.parse().map(EndpointSpec::new));
//! upstream.apply(Change::new().add(specs[0].clone()?).add(specs[1].clone()?))?;
//!
//! let strategy = WeightedRoundRobin::new().with_blackout(Duration::ZERO);
//! let reports = strategy.reports();
//! let mut balance = Balance::new(&upstream, strategy, ());
//!
//! // Both are half busy with it, but the second serves four times as much. `ReadReports` (feature
//! // `orca`) takes this from responses.
//! for (endpoint, rps) in upstream.snapshot().members().iter().zip([100.0, 400.0]) {
//!     let mut report = LoadReport::new();
//!     (report.cpu_utilization, report.rps) = (0.5, rps);
//!     reports.observe(endpoint, Some(&report));
//! }
//! tokio::time::advance(Duration::from_secs(1)).await;
//! reports.observe(&upstream.snapshot().members()[0], None);
//!
//! let second = (0..500).filter(|_| {
//!     let pick = balance.pick(&Default::default());
//!     pick.is_ok_and(|pick| pick.endpoint().address().to_string() == "10.0.0.2:80")
//! });
//! assert_eq!(second.count(), 400);
//! # Ok(())
//! # }
//! ```
//!
//! Sources: gRPC's proposals A51 (reports), A58 (this strategy) and A114 (metrics of one's own),
//! and `xds.data.orca.v3.OrcaLoadReport`.

#[cfg(feature = "orca")]
mod body;
#[cfg(feature = "orca")]
mod format;
#[cfg(feature = "orca")]
mod read;
mod report;
mod reports;
mod weighted;

#[cfg(feature = "orca")]
pub use self::{
    body::ReadBody,
    format::ReportError,
    read::{ReadReports, ReadReportsFuture},
};
pub use self::{report::LoadReport, reports::Reports, weighted::WeightedRoundRobin};
