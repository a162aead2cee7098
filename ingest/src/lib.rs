//! onair-ingest
