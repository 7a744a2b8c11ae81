# What CI runs, one plain command a line. `just check` is all of it.

default:
    @just --list

# Everything that must hold before a commit lands, but for the tests themselves (`cargo test`).
check: fmt lint doc features minimal loom deny fuzz-build

# Formatting.
fmt:
    cargo fmt --all --check

# Lints, the use of newer std than `rust-version` allows among them.
lint:
    cargo clippy --workspace --all-targets --all-features -- -D warnings

# Documentation.
doc:
    RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --all-features

# Each feature alone.
features:
    cargo hack check --each-feature --no-dev-deps -p tightrope -p tightrope-balance -p tightrope-discover -p tightrope-health -p tightrope-proxy

# The oldest versions of our dependencies that the manifests allow. Works on a copy.
minimal:
    ./.ci/minimal-versions

# Interleavings of guard, drain and publish.
loom:
    RUSTFLAGS="--cfg loom" cargo test --profile loom --target-dir target/loom -p tightrope-upstream --test tests

# Licences, sources and bans.
deny:
    cargo deny --all-features check bans licenses sources

# The fuzz targets build, and run for a few seconds.
fuzz-build:
    ./.ci/fuzz 5

# Fuzzes every target for this many seconds.
fuzz SECONDS:
    ./.ci/fuzz {{ SECONDS }}

# What the reverse proxy keeps for 10,000 idle connections and 1,000 slow readers. Linux; ports 25100 to 25103.
memory:
    cargo build --release --locked -p reverse-proxy
    cargo run --release --locked -p endurance -- memory target/release/reverse-proxy --config benches/endurance/proxy.toml

# Ten minutes of mixed traffic with aborts, failures and reloads. Linux; ports 25100 to 25103.
soak:
    cargo build --release --locked -p reverse-proxy
    cargo run --release --locked -p endurance -- soak target/release/reverse-proxy --config benches/endurance/proxy.toml

# The reverse proxy for a place where it stays: optimised as one, by a profile of itself. Minutes; needs `rustup component add llvm-tools`.
pgo:
    ./benches/pgo

# What a pick costs beside tower, pingora and volo, into benches/peers/results.md and the README. Needs valgrind and cmake.
peers:
    cargo build --release --locked --manifest-path benches/peers/Cargo.toml
    cargo run --release --locked --manifest-path benches/peers/Cargo.toml -- --markdown benches/peers/results.md
    ./benches/peers/readme
