//! The same for gRPC, whose calls tell in their trailers how they ended.
//!
//! A gRPC server that fails answers 200 all the same. [`GrpcObserveLayer`] waits for the status of the call,
//! which is in the head where there is nothing else, and after the messages otherwise.

mod body;
mod classify;
mod future;
mod layer;
mod service;

pub use self::{
    body::ObservedBody,
    classify::{CallEnd, GrpcClassify},
    future::ResponseFuture,
    layer::GrpcObserveLayer,
    service::GrpcObserve,
};
