//! Tokens, keys and grants.
