//! Key sets over real HTTPS: which answers are believed, and what becomes of the last good one.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use onair_cluster::live_key::IssuerTerms;
use onair_testkit::redis::write_certificates;
use parking_lot::Mutex;
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use tempfile::TempDir;

use super::*;

/// RFC 8037 appendix A.2, and another name for it.
const SET: &str =
    r#"{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"a","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;

/// Answers every request with what it was told last.
struct Platform {
    addr: SocketAddr,
    answer: Arc<Mutex<String>>,
    asked: Arc<AtomicUsize>,
    dir: TempDir,
}

fn ok(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len())
}

impl Platform {
    fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        write_certificates(dir.path());
        let chain = CertificateDer::pem_file_iter(dir.path().join("server.pem")).unwrap();
        let chain = chain.collect::<Result<Vec<_>, _>>().unwrap();
        let key = PrivateKeyDer::from_pem_file(dir.path().join("server.key")).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let config = config.unwrap().with_no_client_auth().with_single_cert(chain, key).unwrap();
        let config = Arc::new(config);

        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let (answer, asked) = (Arc::new(Mutex::new(ok(SET))), Arc::new(AtomicUsize::new(0)));
        let (told, count) = (Arc::clone(&answer), Arc::clone(&asked));
        thread::spawn(move || {
            for socket in listener.incoming().map_while(Result::ok) {
                let connection = ServerConnection::new(Arc::clone(&config)).unwrap();
                let mut stream = StreamOwned::new(connection, socket);
                let mut request = [0; 4_096];
                // Whoever does not trust us hangs up in the handshake.
                if stream.read(&mut request).is_ok_and(|n| n > 0) {
                    count.fetch_add(1, Ordering::SeqCst);
                    let answer = told.lock().clone();
                    let _ = stream.write_all(answer.as_bytes());
                    stream.conn.send_close_notify();
                    let _ = stream.flush();
                }
            }
        });
        Self { addr, answer, asked, dir }
    }

    fn url(&self) -> String {
        format!("https://localhost:{}/jwks.json", self.addr.port())
    }

    fn fetcher(&self) -> Fetcher {
        Fetcher::new(&self.url(), Some(&self.dir.path().join("ca.pem"))).unwrap()
    }

    fn says(&self, answer: String) {
        *self.answer.lock() = answer;
    }
}

fn issuer() -> Issuer {
    let terms = IssuerTerms {
        name: "platform".to_owned(),
        iss: "platform".to_owned(),
        aud: "onair".to_owned(),
        api_aud: None,
        lifetime_max: Duration::from_secs(60),
    };
    Issuer::new(terms, KeySet::default())
}

#[test]
fn a_key_set_is_fetched_from_whoever_the_configured_authority_vouches_for() {
    let platform = Platform::start();
    assert_eq!(platform.fetcher().fetch().unwrap().len(), 1);
    let error = Fetcher::new(&platform.url(), None).unwrap().fetch().unwrap_err();
    assert!(matches!(error, JwksError::Http(_)), "the machine does not know that authority: {error}");
    let plain = Fetcher::new(&format!("http://{}/", platform.addr), None).unwrap();
    assert!(matches!(plain.fetch(), Err(JwksError::Http(_))), "https only");
    let no_file = platform.dir.path().join("nothing.pem");
    assert!(matches!(Fetcher::new(&platform.url(), Some(&no_file)), Err(JwksError::Certificates { .. })));
    let no_certificate = platform.dir.path().join("server.key");
    assert!(matches!(
        Fetcher::new(&platform.url(), Some(&no_certificate)),
        Err(JwksError::Certificates { .. })
    ));
}

#[test]
fn what_is_no_key_set_of_a_bearable_size_is_refused() {
    let platform = Platform::start();
    let fetcher = platform.fetcher();
    // Redirected to itself, it would be asked again.
    platform.says(format!("HTTP/1.1 302 Found\r\nLocation: {}\r\nContent-Length: 0\r\n\r\n", platform.url()));
    assert!(fetcher.fetch().is_err());
    assert_eq!(platform.asked.load(Ordering::SeqCst), 1, "no redirect is followed");
    let padding = " ".repeat(64 << 10);
    for answer in [
        ok("<html>"),
        ok(r#"{"keys":[]}"#),
        ok(&format!("{SET}{padding}")),
        "HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n".to_owned(),
        format!("HTTP/1.1 404 Not Found\r\nContent-Length: {}\r\n\r\n{SET}", SET.len()),
        "nonsense\r\n\r\n".to_owned(),
    ] {
        platform.says(answer);
        assert!(fetcher.fetch().is_err());
    }
    platform.says(ok(SET));
    assert!(fetcher.fetch().is_ok());
}

#[tokio::test]
async fn the_last_good_set_stays_while_a_fetch_fails() {
    let platform = Platform::start();
    let (issuer, fetcher, fetches) = (issuer(), Arc::new(platform.fetcher()), Fetches::default());
    assert!(update(&issuer, &fetcher, &fetches).await);
    platform.says(ok("<html>"));
    assert!(!update(&issuer, &fetcher, &fetches).await);
    assert!(format!("{issuer:?}").contains("\"a\""), "{issuer:?}");
    platform.says(ok(&SET.replace("\"a\"", "\"b\"")));
    assert!(update(&issuer, &fetcher, &fetches).await);
    assert!(format!("{issuer:?}").contains("\"b\""), "{issuer:?}");
    let count = |outcome| fetches.0.get_or_create(&Labels { issuer: "platform".to_owned(), outcome }).get();
    assert_eq!((count(Outcome::Fresh), count(Outcome::Failed)), (2, 1));
}

#[tokio::test]
async fn a_start_has_the_keys_before_it_goes_on() {
    let platform = Platform::start();
    let issuer = issuer();
    let subscription = Subscription {
        issuer: issuer.clone(),
        fetcher: platform.fetcher(),
        refresh: Duration::from_secs(300),
    };
    subscribe(vec![subscription], &Fetches::default()).await;
    assert!(format!("{issuer:?}").contains("\"a\""), "{issuer:?}");
}
