//! How an endpoint is chosen.

use std::str::FromStr;

use tightrope::balance::{
    self, FailOpen, FirstAvailable, HashOn, Jump, LeastRequest, Maglev, PeakEwma, Priorities,
    Rendezvous, RingHash, RoundRobin, WeightedRandom, Zones, envoy,
    haproxy::{self, HashType},
    nginx,
};

use super::Upstream;

/// How an endpoint is chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Strategy {
    #[default]
    RoundRobin,
    WeightedRandom,
    LeastRequest,
    LeastRequestFullScan,
    PeakEwma,
    FirstAvailable,
    Maglev,
    RingHash,
    Rendezvous,
    Jump,
    NginxIpHash,
    NginxHash,
    NginxHashConsistent,
    NginxLeastConn,
    NginxRandom,
    NginxRandomTwo,
    EnvoyLeastRequest,
    EnvoyMaglev,
    EnvoyRingHash,
    HaproxySource,
    HaproxyHash,
}

impl Upstream {
    /// The strategy within priorities, zones and what else it is to be within.
    pub(crate) fn strategy(&self) -> Box<dyn balance::Strategy> {
        let (strategy, has_affinity) = (self.strategy, self.strategy.hashes());
        let zone = self.zone.clone();
        let callers = self.zone_callers;
        let within = move || -> Box<dyn balance::Strategy> {
            let Some(zone) = zone.clone() else {
                return strategy.build();
            };
            let mut zones = Zones::new(zone, move || strategy.build());
            if let Some(callers) = callers {
                zones = zones.with_callers_percent(callers.0);
            }
            if has_affinity {
                zones = zones.with_affinity(HashOn::key_or_client());
            }
            Box::new(zones)
        };
        let has_stand_ins = self.endpoints.iter().any(|endpoint| endpoint.priority > 0);
        let strategy = if has_stand_ins {
            let mut levels = Priorities::new(within).with_panic_threshold(self.panic_threshold.0);
            levels = match self.over_provisioning {
                0 => levels.without_spill(),
                percent => levels.with_over_provisioning(percent),
            };
            if has_affinity {
                levels = levels.with_affinity(HashOn::key_or_client());
            }
            Box::new(levels)
        } else {
            within()
        };
        // Of one priority the threshold is here; of several each has its own.
        let threshold = if has_stand_ins {
            0
        } else {
            self.panic_threshold.0
        };
        if self.fail_open || threshold > 0 {
            Box::new(FailOpen::new(strategy).with_panic_threshold(threshold))
        } else {
            strategy
        }
    }
}

// === impl Strategy ===

impl Strategy {
    const NAMES: [(&'static str, Self); 21] = [
        ("round_robin", Self::RoundRobin),
        ("weighted_random", Self::WeightedRandom),
        ("least_request", Self::LeastRequest),
        ("least_request_full_scan", Self::LeastRequestFullScan),
        ("peak_ewma", Self::PeakEwma),
        ("first_available", Self::FirstAvailable),
        ("maglev", Self::Maglev),
        ("ring_hash", Self::RingHash),
        ("rendezvous", Self::Rendezvous),
        ("jump", Self::Jump),
        ("nginx_ip_hash", Self::NginxIpHash),
        ("nginx_hash", Self::NginxHash),
        ("nginx_hash_consistent", Self::NginxHashConsistent),
        ("nginx_least_conn", Self::NginxLeastConn),
        ("nginx_random", Self::NginxRandom),
        ("nginx_random_two", Self::NginxRandomTwo),
        ("envoy_least_request", Self::EnvoyLeastRequest),
        ("envoy_maglev", Self::EnvoyMaglev),
        ("envoy_ring_hash", Self::EnvoyRingHash),
        ("haproxy_source", Self::HaproxySource),
        ("haproxy_hash", Self::HaproxyHash),
    ];

    fn build(self) -> Box<dyn balance::Strategy> {
        match self {
            Self::RoundRobin => Box::new(RoundRobin::new()),
            Self::WeightedRandom => Box::new(WeightedRandom::new()),
            Self::LeastRequest => Box::new(LeastRequest::new()),
            Self::LeastRequestFullScan => Box::new(LeastRequest::full_scan()),
            Self::PeakEwma => Box::new(PeakEwma::new()),
            Self::FirstAvailable => Box::new(FirstAvailable::new()),
            Self::Maglev => Box::new(Maglev::new()),
            Self::RingHash => Box::new(RingHash::new()),
            Self::Rendezvous => Box::new(Rendezvous::new()),
            Self::Jump => Box::new(Jump::new()),
            Self::NginxIpHash => Box::new(nginx::IpHash::new()),
            Self::NginxHash => Box::new(nginx::KeyHash::new()),
            Self::NginxHashConsistent => Box::new(nginx::ConsistentHash::new()),
            Self::NginxLeastConn => Box::new(nginx::LeastConn::new()),
            Self::NginxRandom => Box::new(nginx::Random::new()),
            Self::NginxRandomTwo => Box::new(nginx::RandomTwo::new()),
            Self::EnvoyLeastRequest => Box::new(envoy::LeastRequest::new()),
            Self::EnvoyMaglev => Box::new(envoy::Maglev::new()),
            Self::EnvoyRingHash => Box::new(envoy::RingHash::new()),
            Self::HaproxySource => Box::new(haproxy::Source::new(HashType::map_based())),
            Self::HaproxyHash => Box::new(haproxy::KeyHash::new(HashType::map_based())),
        }
    }

    /// Whether a client or key stays on an endpoint.
    const fn hashes(self) -> bool {
        matches!(
            self,
            Self::Maglev
                | Self::RingHash
                | Self::Rendezvous
                | Self::Jump
                | Self::NginxIpHash
                | Self::NginxHash
                | Self::NginxHashConsistent
                | Self::EnvoyMaglev
                | Self::EnvoyRingHash
                | Self::HaproxySource
                | Self::HaproxyHash
        )
    }
}

impl FromStr for Strategy {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let found = Self::NAMES.iter().find(|(known, _)| *known == name);
        found.map(|&(_, strategy)| strategy).ok_or_else(|| {
            let known: Vec<&str> = Self::NAMES.iter().map(|(name, _)| *name).collect();
            format!("`{name}` is not one of {}", known.join(", "))
        })
    }
}
