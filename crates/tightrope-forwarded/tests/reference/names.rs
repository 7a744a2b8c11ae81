//! Which names are those of identity fields.

/// The name as a server sees it that turns names into variables.
pub(crate) fn fold(name: &str) -> String {
    name.chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
        .collect()
}

/// Whether some server takes it for the word of a proxy.
pub(crate) fn is_identity(name: &str) -> bool {
    let name = fold(name);
    name.starts_with("x-forwarded-")
        || name.starts_with("x-original-")
        || "forwarded x-forwarded forwarded-for x-real-ip x-client-ip client-ip x-cluster-client-ip x-remote-ip \
            x-remote-addr x-originating-ip x-proxyuser-ip proxy-client-ip wl-proxy-client-ip x-envoy-external-address \
            x-envoy-internal true-client-ip cf-connecting-ip cf-connecting-ipv6 do-connecting-ip fastly-client-ip \
            fly-client-ip x-appengine-user-ip x-azure-clientip x-azure-socketip front-end-https x-scheme x-url-scheme \
            x-host x-http-host-override x-rewrite-url"
            .split_whitespace()
            .any(|field| field == name)
}
