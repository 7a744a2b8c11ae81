//! Scripted endpoints and contract checks for the tightrope crates
