//! Registry, channels, rounds and readers.
