//! Sans-IO server side of RFC 6455.
