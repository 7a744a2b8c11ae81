//! What may be sent, shared and moved.

use tightrope_discover::{
    ChannelSource, Closed, Fixed, OnEmpty, Refresh, RefreshError, RefreshState, Refreshing, Sender,
};

const fn all<T: Send + Sync + Unpin + 'static>() {}

const _: () = {
    all::<ChannelSource>();
    all::<Closed>();
    all::<Fixed>();
    all::<OnEmpty>();
    all::<Refresh<Fixed>>();
    all::<RefreshError>();
    all::<RefreshState>();
    all::<Refreshing>();
    all::<Sender>();
};

#[cfg(feature = "file")]
const _: () = {
    all::<tightrope_discover::EndpointLine>();
    all::<tightrope_discover::FileError>();
    all::<tightrope_discover::FileSource>();
    all::<tightrope_discover::LineError>();
    all::<tightrope_discover::ListError>();
};
