//! Goal: what only PostgreSQL can do to us: it restarts, freezes, refuses, belongs to somebody else. Method: real servers.

use std::sync::Arc;
use std::time::{Duration, Instant};

use onair_manager::live_db::{
    Addresses, Ledger, LiveDb, LiveDbError, Outcome, Owners, PostgresLiveDb, PostgresOptions,
};
use onair_testkit::postgres::{Options, Postgres};
use onair_testkit::proxy::Proxy;

use super::stores::{options, postgres, server};
use super::{apply, at, card, ended, granted, live, outbox, producer, room, terms};

async fn refusal(options: &PostgresOptions) -> LiveDbError {
    match PostgresLiveDb::open(options).await {
        Ok(_) => panic!("it opened"),
        Err(e) => e,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn however_many_open_a_fresh_database_at_once_it_is_migrated_once() {
    let server = server();
    let database = server.create_database();
    let opening: Vec<_> = (0..6)
        .map(|_| {
            let options = options(&server, &database);
            tokio::spawn(async move { PostgresLiveDb::open(&options).await })
        })
        .collect();
    for opened in opening {
        opened.await.unwrap().unwrap().check().await.unwrap();
    }
    let twice =
        "SELECT count(*) FROM (SELECT 1 FROM _sqlx_migrations GROUP BY version HAVING count(*) > 1) AS t";
    assert_eq!(server.query(&database, twice), "0");
    assert_eq!(server.query(&database, "SELECT count(*) FROM shard_owner"), "64");
}

#[tokio::test]
async fn a_schema_of_a_newer_version_is_refused() {
    let server = server();
    let options = options(&server, &server.create_database());
    PostgresLiveDb::open(&options).await.unwrap().close().await;
    let database = options.url.rsplit('/').next().unwrap();
    server.query(
        database,
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
         VALUES (9999, 'from the future', TRUE, '', 0)",
    );
    let error = refusal(&options).await;
    assert!(matches!(error, LiveDbError::Unreadable(_)), "{error:?}");
    assert!(error.to_string().contains("9999") && error.to_string().contains("newer"), "{error}");
}

#[tokio::test]
async fn a_database_of_another_cluster_is_refused() {
    let server = server();
    let ours = options(&server, &server.create_database());
    PostgresLiveDb::open(&ours).await.unwrap();
    let theirs = PostgresOptions { cluster: "other".to_owned(), ..ours };
    let error = refusal(&theirs).await.to_string();
    assert!(error.contains("\"onair\"") && error.contains("\"other\""), "{error}");
}

#[tokio::test]
async fn a_wrong_password_is_told_at_once_and_never_shown() {
    let server = Postgres::with(&Options::new().password("sesame"));
    let database = server.create_database();
    let good = PostgresOptions::new(server.url(&database), "onair".to_owned());
    PostgresLiveDb::open(&good).await.unwrap();
    let bad = PostgresOptions { url: good.url.replace("sesame", "mellon"), ..good.clone() };
    let began = Instant::now();
    let error = refusal(&bad).await;
    assert!(began.elapsed() < bad.open_timeout, "no retry makes it right");
    assert!(matches!(error, LiveDbError::Refused(_)), "{error:?}");
    let shown = format!("{error} {error:?} {bad:?} {good:?}");
    assert!(shown.contains("password authentication failed"), "{shown}");
    assert!(!shown.contains("sesame") && !shown.contains("mellon"), "{shown}");
}

#[tokio::test]
async fn a_server_that_is_down_is_named_and_awaited_for_a_while() {
    let server = Arc::new(Postgres::start());
    let mut options = options(&server, &server.create_database());
    server.stop();
    options.open_timeout = Duration::from_millis(300);
    let error = refusal(&options).await;
    assert!(matches!(error, LiveDbError::Away(_)), "{error:?}");
    assert!(error.to_string().contains(&server.port().to_string()), "{error}");
    options.open_timeout = Duration::from_secs(60);
    let opening = tokio::spawn(async move { PostgresLiveDb::open(&options).await });
    let starting = Arc::clone(&server);
    tokio::task::spawn_blocking(move || starting.restart()).await.unwrap();
    opening.await.unwrap().unwrap();
}

#[tokio::test]
async fn tls_is_spoken_and_the_authority_checked() {
    let server = Postgres::with(&Options::new().tls());
    let database = server.create_database();
    let verified = PostgresOptions::new(server.url(&database), "onair".to_owned());
    PostgresLiveDb::open(&verified).await.unwrap().check().await.unwrap();
    let plain = verified.url.split('?').next().unwrap().to_owned();
    let by_file =
        PostgresOptions { url: plain.clone(), tls_ca_file: Some(server.ca_file()), ..verified.clone() };
    PostgresLiveDb::open(&by_file).await.unwrap().check().await.unwrap();
    let unknown = PostgresOptions {
        url: format!("{plain}?sslmode=verify-full"),
        open_timeout: Duration::from_millis(100),
        ..verified.clone()
    };
    assert!(matches!(refusal(&unknown).await, LiveDbError::Away(_)), "its authority is not one of ours");
    let never = PostgresOptions { url: format!("{plain}?sslmode=disable"), ..verified };
    assert!(matches!(refusal(&never).await, LiveDbError::Refused(_)), "the server speaks only TLS");
}

#[tokio::test(flavor = "multi_thread")]
async fn events_survive_restarts_of_the_server_and_each_counts_once() {
    let server = Arc::new(Postgres::start());
    let options = options(&server, &server.create_database());
    let db = Arc::new(PostgresLiveDb::open(&options).await.unwrap());
    let owned = terms(&*db as &dyn LiveDb).await;
    let writing = {
        let db = Arc::clone(&db);
        tokio::spawn(async move {
            let mut failures = 0;
            for n in 0..300 {
                let session = card("r", n + 1);
                let whole = [
                    granted(&session),
                    live(&session, at(n)),
                    ended(&session, Some(at(n)), at(n + 1), super::EndReason::Unpublished),
                ];
                // Again until it is answered, as a lane does: nobody knows what became of a call that was not.
                while let Err(e) = db.apply(&owned, &whole, at(n)).await {
                    assert!(matches!(e, LiveDbError::Away(_)), "{e:?}");
                    failures += 1;
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }
            failures
        })
    };
    let restarting = Arc::clone(&server);
    tokio::task::spawn_blocking(move || {
        for _ in 0..2 {
            restarting.stop();
            restarting.restart();
            // Killed, not stopped.
            restarting.restart();
        }
    })
    .await
    .unwrap();
    let failures = writing.await.unwrap();
    println!("calls that were not answered: {failures}");
    let rows = outbox(&*db as &dyn LiveDb).await;
    assert_eq!(rows.iter().map(|row| row.seq).collect::<Vec<_>>(), (1..=600).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_server_is_away_within_the_bounds_and_back_when_it_thaws() {
    let server = Arc::new(Postgres::start());
    let mut options = options(&server, &server.create_database());
    options.connections_max = 2;
    options.acquire_timeout = Duration::from_millis(300);
    options.call_timeout = Duration::from_millis(300);
    let db = PostgresLiveDb::open(&options).await.unwrap();
    let owned = terms(&db).await;
    server.freeze();
    for _ in 0..4 {
        let began = Instant::now();
        let answer = db.apply(&owned, &[granted(&card("r", 1))], at(1)).await;
        println!("away after {:?}", began.elapsed());
        assert!(matches!(answer, Err(LiveDbError::Away(_))), "{answer:?}");
        assert!(matches!(db.room(&room("r")).await, Err(LiveDbError::Away(_))));
    }
    server.thaw();
    while let Err(e) = db.apply(&owned, &[granted(&card("r", 2))], at(1)).await {
        assert!(matches!(e, LiveDbError::Away(_)), "{e:?}");
    }
    db.check().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_a_network_resets_are_made_anew() {
    let server = server();
    let proxy = Proxy::to(server.addr());
    let database = server.create_database();
    let mut options = options(&server, &database);
    options.url = server.url_at(proxy.addr(), &database);
    let db = PostgresLiveDb::open(&options).await.unwrap();
    db.ensure_room(&producer("anna"), &room("r"), at(0)).await.unwrap();
    proxy.reset();
    while let Err(e) = db.room(&room("r")).await {
        assert!(matches!(e, LiveDbError::Away(_)), "{e:?}");
    }
    assert!(db.room(&room("r")).await.unwrap().is_some());
}

#[tokio::test]
async fn what_a_rule_of_the_database_refuses_is_quarantined_and_the_rest_goes_on() {
    let (db, place) = postgres().await;
    place.server.query(&place.database, "ALTER TABLE session ADD CHECK (client_agent <> 'poison')");
    let poison = super::SessionCard { client_agent: "poison".to_owned(), ..card("r", 1) };
    let nul = super::SessionCard { client_agent: "a\0b".to_owned(), ..card("r", 2) };
    let good = card("r", 3);
    let events = [
        granted(&poison),
        ended(&nul, Some(at(1)), at(2), super::EndReason::Unpublished),
        granted(&good),
        live(&good, at(4)),
    ];
    let outcomes = apply(&db, &events, at(5)).await.unwrap().outcomes;
    assert!(matches!(outcomes[..2], [Outcome::Quarantined(_), Outcome::Quarantined(_)]), "{outcomes:?}");
    assert_eq!(outcomes[2..], [Outcome::Applied, Outcome::Applied]);
    assert_eq!(db.quarantine(0, 9).await.unwrap().len(), 2);
    let rows = outbox(&db).await;
    assert_eq!(rows.len(), 1);
    assert_eq!((rows[0].seq, rows[0].event_id.clone()), (1, format!("{}/live", good.session_id)));
}

#[test]
fn calls_come_from_any_runtime_and_outlive_it() {
    let home = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (db, _server) = home.block_on(postgres());
    let db = Arc::new(db);
    for n in 0..8 {
        let db = Arc::clone(&db);
        let visitor = std::thread::spawn(move || {
            let away = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            away.block_on(async {
                db.ensure_room(&producer(&format!("p{n}")), &room(&format!("r{n}")), at(0)).await.unwrap();
                // Cut off in the middle: the runtime ends with a call under way.
                let check = db.check();
                let _ = tokio::time::timeout(Duration::ZERO, check).await;
            });
        });
        visitor.join().unwrap();
    }
    home.block_on(async {
        assert!(db.room(&room("r7")).await.unwrap().is_some());
        db.beat(
            &onair_manager::live_db::ManagerId {
                node_id: "m".parse().unwrap(),
                incarnation: onair_cluster::nodes::Incarnation::random(),
            },
            Duration::from_secs(5),
        )
        .await
        .unwrap();
        db.close().await;
        assert!(matches!(db.check().await, Err(LiveDbError::Away(_))), "it is closed");
    });
}
