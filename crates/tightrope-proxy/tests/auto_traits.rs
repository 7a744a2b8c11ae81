//! Send, Sync and Unpin of the public types.

use tightrope_proxy::{
    Connections, ExactPath, ExtendedConnect, ExtendedConnectFuture, ExtendedConnectLayer, Forward,
    ForwardBody, ForwardConfig, ForwardError, HostError, HostPattern, HostPolicy, HttpClassify,
    KeepWarm, LingeringClose, LingeringStream, MinRate, PathPrefix, PatternError, Preamble,
    Protocol, Pseudonym, PseudonymError, RequestError, ResponseFuture, RouteError, Routes,
    Underscores, Upgrades, WriteTimeout, respond, rewrite, server, splice,
};

fn send<T: Send + Unpin + 'static>() {}
fn sync<T: Send + Sync + Unpin + 'static>() {}

#[test]
fn public_types_can_move_between_threads() {
    sync::<Connections>();
    sync::<KeepWarm>();
    sync::<Protocol>();
    sync::<Forward>();
    sync::<ForwardConfig>();
    sync::<ForwardError>();
    send::<ForwardBody>();
    send::<ResponseFuture>();
    sync::<ExactPath>();
    sync::<ExtendedConnect<()>>();
    sync::<ExtendedConnectFuture<()>>();
    sync::<ExtendedConnectLayer>();
    sync::<HostPattern>();
    sync::<HostError>();
    sync::<HostPolicy>();
    sync::<HttpClassify>();
    sync::<MinRate>();
    sync::<PathPrefix>();
    sync::<PatternError>();
    sync::<LingeringClose<tokio::net::TcpStream>>();
    sync::<LingeringStream<tokio::net::TcpStream>>();
    sync::<Preamble>();
    sync::<Pseudonym>();
    sync::<PseudonymError>();
    sync::<RequestError>();
    sync::<RouteError>();
    sync::<Underscores>();
    #[cfg(feature = "tls")]
    sync::<(tightrope_proxy::ClientTls, tightrope_proxy::ClientTlsError)>();
    sync::<Routes<String>>();
    sync::<Upgrades>();
    sync::<WriteTimeout<tokio::net::TcpStream>>();
    sync::<respond::Text>();
    sync::<respond::Form>();
    sync::<server::Detected>();
    sync::<server::End>();
    sync::<server::HalfClose>();
    sync::<server::Http1>();
    sync::<server::Http2>();
    sync::<server::Interim>();
    sync::<server::OnUpgrade>();
    send::<server::RequestBody>();
    sync::<server::RequestBodyError>();
    sync::<server::ServeError>();
    sync::<server::Upgraded>();
    send::<splice::Spliced<ForwardBody>>();
    sync::<splice::SplicedData>();
    sync::<rewrite::AnswerBody<String>>();
    sync::<rewrite::BodyLimit<()>>();
    sync::<rewrite::BodyLimitError<std::io::Error>>();
    sync::<rewrite::BodyLimitFuture<()>>();
    sync::<rewrite::BodyLimitLayer>();
    sync::<rewrite::Facts>();
    sync::<rewrite::HeaderRuleError>();
    sync::<rewrite::HeaderRules>();
    sync::<rewrite::Headers<()>>();
    sync::<rewrite::HeadersFuture<()>>();
    sync::<rewrite::HeadersLayer>();
    sync::<rewrite::Https<()>>();
    sync::<rewrite::HttpsFuture<()>>();
    sync::<rewrite::HttpsLayer>();
    sync::<rewrite::LimitedBody<String>>();
    sync::<rewrite::Prefix<()>>();
    sync::<rewrite::PrefixFuture<()>>();
    sync::<rewrite::PrefixLayer>();
    sync::<rewrite::RedirectStatus>();
    sync::<rewrite::RedirectStatusError>();
    sync::<rewrite::Template>();
    sync::<rewrite::TemplateError>();
}
