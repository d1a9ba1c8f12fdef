//! The sans-IO session machine of Fanfare.
