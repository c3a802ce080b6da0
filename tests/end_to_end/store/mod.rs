//! The embedded regional store, over real sockets and on a real disk.

mod batches;
mod documents;
mod files;
mod hostile;
mod lives;

const JSON: (&str, &str) = ("Content-Type", "application/json");
const NDJSON: (&str, &str) = ("Content-Type", "application/x-ndjson");
const BINARY: (&str, &str) = ("Content-Type", "application/octet-stream");
