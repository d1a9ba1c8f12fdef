//! The trait behind a channel, the in-memory broker and the contract suite.
