//! Loom models of the ring's protocol.
