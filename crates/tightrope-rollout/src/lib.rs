//! Zero-downtime deployment: blue/green with a gate, a drain and a way back
