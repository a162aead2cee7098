//! One broker process, its own controller too: ports, directory, faults.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::metadata::MetadataPartition;
use tempfile::TempDir;

use super::options::{Options, Sasl};
use super::records::Records;
use crate::daemon::Daemon;
use crate::port::Port;
use crate::process;
use crate::tls;
use crate::wait::eventually;

/// Where `scripts/setup.sh` puts Kafka's jars.
const JARS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../.tools/kafka/*");

/// How long a broker may take to answer after its start (it may have to recover), and to go after it was told to.
const START_MAX: Duration = Duration::from_secs(120);

/// How long an answer may take when the kit itself asks.
const ANSWER_MAX: Duration = Duration::from_secs(2);

/// A Kafka of its own, killed when dropped. Everything works on a shared reference, from any thread.
///
/// There is a listener for clients, as the options want it, and a plain one through which the kit itself asks.
#[derive(Debug)]
pub struct Kafka {
    daemon: Daemon,
    clients: Port,
    kit: Port,
    controller: Port,
    options: Options,
    directory: TempDir,
}

impl Kafka {
    /// With the default options; returns when it answers.
    pub fn start() -> Self {
        Self::with(&Options::new())
    }

    /// With these options.
    pub fn with(options: &Options) -> Self {
        let directory =
            tempfile::Builder::new().prefix("onair-kafka").tempdir().expect("a temporary directory");
        let (clients, kit, controller) = (Port::reserve(), Port::reserve(), Port::reserve());
        let name = format!("Kafka on port {}", clients.number());
        let daemon = Daemon::new(name, directory.path().join("log"), START_MAX);
        let broker = Self { daemon, clients, kit, controller, options: options.clone(), directory };
        broker.write_config();
        broker.format();
        broker.restart();
        broker
    }

    fn write_config(&self) {
        let (clients, kit, controller) = (self.clients.addr(), self.kit.addr(), self.controller.addr());
        let mut lines = vec![
            "process.roles=broker,controller\nnode.id=1".to_owned(),
            format!("controller.quorum.voters=1@{controller}"),
            format!("listeners=CLIENTS://{clients},KIT://{kit},CONTROLLER://{controller}"),
            format!("advertised.listeners=CLIENTS://{clients},KIT://{kit}"),
            "controller.listener.names=CONTROLLER\ninter.broker.listener.name=KIT".to_owned(),
            format!(
                "listener.security.protocol.map=CLIENTS:{},KIT:PLAINTEXT,CONTROLLER:PLAINTEXT",
                self.options.protocol()
            ),
            format!("log.dirs={}", self.directory().join("data").display()),
            // There is one broker.
            "offsets.topic.replication.factor=1\noffsets.topic.num.partitions=1".to_owned(),
            "transaction.state.log.replication.factor=1\ntransaction.state.log.min.isr=1".to_owned(),
            "share.coordinator.state.topic.replication.factor=1\nshare.coordinator.state.topic.min.isr=1"
                .to_owned(),
            "group.initial.rebalance.delay.ms=0\nauto.create.topics.enable=false".to_owned(),
            // A broker that was killed is let in again when its old session is over.
            "broker.heartbeat.interval.ms=500\nbroker.session.timeout.ms=3000".to_owned(),
            "num.network.threads=2\nnum.io.threads=2\nlog.cleaner.dedupe.buffer.size=4194304".to_owned(),
        ];
        if self.options.is_tls {
            lines.extend(self.write_keystore());
        }
        if let Some((sasl, name, password)) = &self.options.user {
            let (module, users) = match sasl {
                Sasl::Plain => ("plain.PlainLoginModule", format!(" user_{name}=\"{password}\"")),
                Sasl::ScramSha256 | Sasl::ScramSha512 => ("scram.ScramLoginModule", String::new()),
            };
            let listener = format!("listener.name.clients.{}", sasl.name().to_lowercase());
            lines.push(format!("sasl.enabled.mechanisms={}", sasl.name()));
            lines.push(format!(
                "{listener}.sasl.jaas.config=org.apache.kafka.common.security.{module} required{users};"
            ));
        }
        lines.extend_from_slice(&self.options.lines);
        fs::write(self.config_file(), lines.join("\n") + "\n").expect("a configuration");
    }

    /// Kafka reads key and certificates from one PEM file.
    fn write_keystore(&self) -> Vec<String> {
        tls::write_certificates(self.directory());
        let read = |name: &str| fs::read_to_string(self.directory().join(name)).expect("openssl's file");
        let keystore = self.directory().join("keystore.pem");
        fs::write(&keystore, read("server.key") + &read("server.pem")).expect("a key store");
        vec!["ssl.keystore.type=PEM".to_owned(), format!("ssl.keystore.location={}", keystore.display())]
    }

    fn format(&self) {
        let mut format = Command::new("java");
        format.args(["-Xmx64m", "-XX:TieredStopAtLevel=1", "-cp", JARS, "kafka.tools.StorageTool", "format"]);
        format.args(["--cluster-id", "b25haXItdGVzdGtpdC0wMQ", "--config"]).arg(self.config_file());
        if let Some((sasl @ (Sasl::ScramSha256 | Sasl::ScramSha512), name, password)) = &self.options.user {
            format.args(["--add-scram", &format!("{}=[name={name},password={password}]", sasl.name())]);
        }
        let output = format.output().unwrap_or_else(|e| panic!("java: {e}; run `make setup`"));
        assert!(
            output.status.success(),
            "Kafka's StorageTool; if there are no jars, run `make setup`\n{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }

    /// Starts it again, on the same ports with the same files; kills it first if it runs. Returns when it answers.
    pub fn restart(&self) {
        self.kill();
        let mut command = process::dying_with_us("java");
        // Small and quickly up rather than fast in the long run.
        command.args(["-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Djava.awt.headless=true"]);
        command.args(["-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"]);
        command.args(["-Dorg.slf4j.simpleLogger.showDateTime=true"]);
        command.args(["-cp", JARS, "kafka.Kafka"]).arg(self.config_file()).current_dir(self.directory());
        self.daemon.start(command, || self.is_answering());
    }

    /// Whether it tells who is in the cluster, itself at least.
    pub fn is_answering(&self) -> bool {
        // Nobody listens yet: asking through librdkafka would only log that.
        std::net::TcpStream::connect(self.kit.addr()).is_ok()
            && self.consumer().fetch_metadata(None, ANSWER_MAX).is_ok_and(|m| !m.brokers().is_empty())
    }

    /// Creates a topic; returns when the broker leads all its partitions. Panics if that fails, also when there is one of that name.
    pub fn create_topic(&self, name: &str, partitions: i32) {
        let admin: AdminClient<DefaultClientContext> = self.client_config().create().expect("a client");
        let topic = NewTopic::new(name, partitions, TopicReplication::Fixed(1));
        let options = AdminOptions::new().operation_timeout(Some(START_MAX));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let outcome = runtime.block_on(admin.create_topics([&topic], &options)).expect("an answer");
        assert!(outcome.iter().all(Result::is_ok), "topic {name}: {outcome:?}");
        // The controller has answered; the broker hears of the topic from it a moment later.
        let consumer = self.consumer();
        eventually(&format!("a leader of topic {name}"), START_MAX, || {
            let metadata = consumer.fetch_metadata(Some(name), ANSWER_MAX).ok()?;
            let leads =
                |partition: &MetadataPartition| partition.error().is_none() && partition.leader() >= 0;
            let topic = metadata.topics().first()?;
            (!topic.partitions().is_empty() && topic.partitions().iter().all(leads)).then_some(())
        });
    }

    /// Topics and the number of their partitions, Kafka's own left out.
    pub fn topics(&self) -> Vec<(String, usize)> {
        let metadata = self.consumer().fetch_metadata(None, START_MAX).expect("metadata");
        let topics = metadata.topics().iter().filter(|topic| !topic.name().starts_with("__"));
        topics.map(|topic| (topic.name().to_owned(), topic.partitions().len())).collect()
    }

    /// Reads `topic` from its beginning, all partitions of it. The topic has to exist.
    pub fn read(&self, topic: &str) -> Records {
        Records::new(self.consumer(), topic)
    }

    fn consumer(&self) -> BaseConsumer {
        let mut config = self.client_config();
        // No group: who looks leaves no trace.
        config.set("group.id", "onair-testkit").set("enable.auto.commit", "false");
        config.set("auto.offset.reset", "earliest").set("enable.partition.eof", "false");
        config.set("fetch.wait.max.ms", "10");
        config.create().expect("a client")
    }

    fn client_config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", self.kit.addr().to_string());
        // Across a restart of the broker the kit's reader should be back quickly, and say nothing of it.
        config.set("reconnect.backoff.max.ms", "250").set("log_level", "2");
        config
    }

    /// `127.0.0.1:port`, as clients' `bootstrap.servers` has it.
    pub fn brokers(&self) -> String {
        self.clients.addr().to_string()
    }

    /// The certificate under which a broker with [`Options::tls`] is to be trusted.
    pub fn ca_file(&self) -> PathBuf {
        self.directory().join("ca.pem")
    }

    /// Where its files are.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    fn config_file(&self) -> PathBuf {
        self.directory().join("server.properties")
    }

    /// What it has logged so far.
    pub fn log(&self) -> String {
        self.daemon.log()
    }

    /// The process id. Panics while it is down.
    pub fn pid(&self) -> u32 {
        self.daemon.pid()
    }

    /// Whether the process is there, frozen ones included.
    pub fn is_up(&self) -> bool {
        self.daemon.is_up()
    }

    /// SIGKILL, also when frozen; returns when it is gone.
    pub fn kill(&self) {
        self.daemon.kill();
    }

    /// SIGTERM: the broker ends in order. Returns when it is gone.
    pub fn stop(&self) {
        self.daemon.stop(process::terminate);
    }

    /// SIGSTOP: connections stay open, the kernel accepts new ones, nothing is answered.
    pub fn freeze(&self) {
        process::freeze(self.pid());
    }

    /// SIGCONT.
    pub fn thaw(&self) {
        process::thaw(self.pid());
    }

    /// Waits until `holds` says so; panics with `what` after `within`.
    pub fn wait_until(&self, what: &str, within: Duration, holds: impl Fn(&Self) -> bool) {
        eventually(&format!("{what} ({})", self.daemon.name()), within, || holds(self).then_some(()));
    }
}

impl Drop for Kafka {
    fn drop(&mut self) {
        self.daemon.show_log_if_panicking();
        self.kill();
    }
}
