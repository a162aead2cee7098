//! A certificate authority for one test: its certificate, and one for loopback signed by it.

use std::path::Path;
use std::process::Command;

/// Writes `ca.pem`, `server.pem` and `server.key` into `directory`.
pub fn write_certificates(directory: &Path) {
    // A leaf of its own: TLS libraries refuse a server that shows its authority's certificate.
    openssl(directory, &["-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=onair-testkit"]);
    openssl(
        directory,
        &[
            "-keyout",
            "server.key",
            "-out",
            "server.pem",
            "-subj",
            "/CN=localhost",
            "-CA",
            "ca.pem",
            "-CAkey",
            "ca.key",
            "-addext",
            "subjectAltName=IP:127.0.0.1,DNS:localhost",
            "-addext",
            "basicConstraints=critical,CA:FALSE",
        ],
    );
}

fn openssl(directory: &Path, rest: &[&str]) {
    let output = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-days",
            "2",
        ])
        .args(rest)
        .current_dir(directory)
        .output()
        .unwrap_or_else(|e| panic!("openssl: {e}; run `make setup`"));
    assert!(output.status.success(), "openssl: {}", String::from_utf8_lossy(&output.stderr));
}
