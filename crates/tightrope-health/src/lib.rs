//! Health of endpoints: active probes and what live traffic tells
