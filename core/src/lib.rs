//! Goroutines, channels and select.

mod arch;
