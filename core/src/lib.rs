//! Goroutines, channels and select.
