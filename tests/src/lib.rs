//! Scenario and conformance tests of the whole product.
