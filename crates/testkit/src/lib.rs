//! Virtual clock, session pairs, fault proxy, history checker and fake clients.
