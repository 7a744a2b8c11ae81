//! Rollouts from the gate to the way back, by the public API alone.

mod blue_green;
mod gate;
mod verify;
mod world;
