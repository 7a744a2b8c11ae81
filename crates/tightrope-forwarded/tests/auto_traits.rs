//! What the public types promise to threads and pins.

use tightrope_forwarded::proxy_protocol::{Header, HeaderError, Parsed, Version};
use tightrope_forwarded::{
    ByError, Cidr, CidrError, Client, ClientHeader, Evidence, Forwarded, ForwardedElement,
    ForwardedFor, ForwardedLayer, IdentityHeader, Peer, PseudonymError, ResponseFuture, Scheme,
    Strangers, Trust, Via, ViaError, ViaLayer,
};

fn is_send_sync_unpin<T: Send + Sync + Unpin + 'static>() {}

fn is_clone_debug<T: Clone + std::fmt::Debug>() {}

#[test]
fn public_types_are_send_sync_and_unpin() {
    is_send_sync_unpin::<ByError>();
    is_send_sync_unpin::<Cidr>();
    is_send_sync_unpin::<CidrError>();
    is_send_sync_unpin::<Client>();
    is_send_sync_unpin::<ClientHeader>();
    is_send_sync_unpin::<Evidence>();
    is_send_sync_unpin::<Forwarded<()>>();
    is_send_sync_unpin::<ForwardedElement>();
    is_send_sync_unpin::<ForwardedFor>();
    is_send_sync_unpin::<ForwardedLayer>();
    is_send_sync_unpin::<Header>();
    is_send_sync_unpin::<HeaderError>();
    is_send_sync_unpin::<IdentityHeader>();
    is_send_sync_unpin::<Parsed>();
    is_send_sync_unpin::<Peer>();
    is_send_sync_unpin::<PseudonymError>();
    is_send_sync_unpin::<ResponseFuture<()>>();
    is_send_sync_unpin::<Scheme>();
    is_send_sync_unpin::<Strangers>();
    is_send_sync_unpin::<Trust>();
    is_send_sync_unpin::<Version>();
    is_send_sync_unpin::<Via<()>>();
    is_send_sync_unpin::<ViaError<()>>();
    is_send_sync_unpin::<ViaLayer>();
}

#[cfg(feature = "tokio")]
#[test]
fn what_reads_from_connections_is_send_sync_and_unpin() {
    is_send_sync_unpin::<tightrope_forwarded::proxy_protocol::Receiver>();
    is_send_sync_unpin::<tightrope_forwarded::proxy_protocol::ReceiveError>();
    is_clone_debug::<tightrope_forwarded::proxy_protocol::Receiver>();
}

#[test]
fn layer_and_service_are_clone_and_debug() {
    is_clone_debug::<ForwardedLayer>();
    is_clone_debug::<Forwarded<()>>();
    is_clone_debug::<ViaLayer>();
    is_clone_debug::<Via<()>>();
}
