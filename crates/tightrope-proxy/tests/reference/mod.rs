//! What parsers of this crate have to do, once more, the slow and obvious way. The replay of found
//! inputs and the fuzz targets `proxy_*` share these files.

pub(crate) mod frames;
pub(crate) mod patterns;
pub(crate) mod rules;
pub(crate) mod server;
pub(crate) mod server_http2;
pub(crate) mod template;
