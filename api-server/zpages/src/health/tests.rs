//! Cases of the page, also those of upstream's tests.
