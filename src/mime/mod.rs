//! Reading MIME (RFC 2045-2049, 2231, 5322) leniently, by raw spans.
