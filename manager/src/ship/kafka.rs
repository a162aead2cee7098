//! Kafka: the one producer of this Manager, rebuilt when it is beyond repair, and what becomes of a record handed to it.
//!
//! The producer is idempotent and never gives a record up by itself (`message.timeout.ms` = 0): what it has taken is delivered,
//! or its failure told. How much it may have taken at once is bounded here, for all shards together.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::RwLock;
use rdkafka::client::ClientContext;
use rdkafka::config::{ClientConfig, FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{FutureProducer, Producer};
use tokio::sync::{Mutex, Notify, OwnedSemaphorePermit, Semaphore};

use super::record::Record;
use super::settings::KafkaSettings;
use crate::ManagerMetrics;
use crate::reports::ship::{KafkaSays, ProducerRebuilt};

/// Records that may be with the producer at once, of all shards: some 8 MiB, and far more than Kafka takes in a second.
const HANDED_MAX: usize = 4_096;
/// How long a batch waits for company. Under load batches fill while the last one is under way; idle, nobody should wait.
const LINGER_MS: &str = "2";
/// How long the trial of one record may take. Then it is tried again later.
const TRIAL_MS: &str = "10000";

type Line = FutureProducer<Ear>;

/// A producer, and how many there were before it.
struct Numbered {
    generation: u64,
    line: Line,
}

/// The producer of this Manager.
pub(super) struct Kafka {
    config: ClientConfig,
    metrics: ManagerMetrics,
    line: RwLock<Numbered>,
    places: Arc<Semaphore>,
    /// One trial at a time.
    trial: Mutex<()>,
    heard: Arc<Heard>,
}

/// What became of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// All in-sync replicas have it.
    Delivered,
    /// It was not delivered, or nobody knows; the same record goes again.
    Again(KafkaError),
    /// The brokers refuse it, or the batch that it was in.
    Suspect(KafkaError),
    /// It is refused by itself, and will be again.
    Refused(KafkaError),
}

impl Kafka {
    /// A producer for `settings`. Brokers that are away are no failure: it looks for them for as long as it takes.
    ///
    /// # Errors
    /// When the settings make no client: certificates that cannot be read, for instance.
    pub(super) fn new(
        settings: &KafkaSettings,
        client_id: &str,
        metrics: ManagerMetrics,
    ) -> Result<Self, KafkaError> {
        let mut config = settings.connection(client_id);
        config
            // Acknowledged by all in-sync replicas, in order, and kept once however often the client repeats itself.
            .set("enable.idempotence", "true")
            .set("message.timeout.ms", "0")
            // As the Java clients spread keys, so that joins over several topics find the same partitions.
            .set("partitioner", "murmur2_random")
            .set("linger.ms", LINGER_MS)
            .set("compression.type", "lz4")
            .set("queue.buffering.max.messages", (2 * HANDED_MAX).to_string());
        let heard = Arc::new(Heard::default());
        let line = Line::from_config_and_context(&config, Ear(Arc::clone(&heard)))?;
        Ok(Self {
            config,
            metrics,
            line: RwLock::new(Numbered { generation: 0, line }),
            places: Arc::new(Semaphore::new(HANDED_MAX)),
            trial: Mutex::new(()),
            heard,
        })
    }

    /// A place for one more record with the producer, if there is one. It is free again when the future that
    /// [`Self::hand_over`] returns has been polled to its end: so who has records under way must not wait here.
    pub(super) fn place(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.places).try_acquire_owned().ok()
    }

    /// Resolves when there is a place, for whoever is first.
    pub(super) async fn place_free(&self) {
        // Never closed.
        drop(self.places.acquire().await);
    }

    /// Hands a record over at once. Returns which producer has it, and its fate.
    pub(super) fn hand_over(
        &self,
        record: &Record<'_>,
        place: OwnedSemaphorePermit,
    ) -> (u64, impl Future<Output = Fate> + Send + use<>) {
        let (generation, handed) = {
            let Numbered { generation, line } = &*self.line.read();
            (*generation, line.send_result(record.to_kafka()).map_err(|(error, _)| error))
        };
        // The future must not hold the producer: one that is given up has to fall, for its records to be told of.
        let fate = async move {
            let _place = place;
            match handed {
                Ok(delivery) => match delivery.await {
                    Ok(Ok(_)) => Fate::Delivered,
                    Ok(Err((error, _))) => failure(error),
                    Err(_) => Fate::Again(KafkaError::Canceled),
                },
                Err(error) => failure(error),
            }
        };
        (generation, fate)
    }

    /// Sends one record in a batch of its own, since a broker that refuses a record refuses all of its batch.
    pub(super) async fn try_alone(&self, record: &Record<'_>) -> Fate {
        let _one_at_a_time = self.trial.lock().await;
        let mut config = self.config.clone();
        config.set("batch.num.messages", "1").set("linger.ms", "0").set("message.timeout.ms", TRIAL_MS);
        let line = match Line::from_config_and_context(&config, Ear(Arc::clone(&self.heard))) {
            Ok(line) => line,
            Err(error) => return Fate::Again(error),
        };
        let fate = match line.send(record.to_kafka(), Duration::ZERO).await {
            Ok(_) => Fate::Delivered,
            Err((error, _)) => match failure(error) {
                Fate::Suspect(error) => Fate::Refused(error),
                other => other,
            },
        };
        fell(line);
        fate
    }

    /// Builds the producer anew if it says of itself that it is beyond repair. Its records are told of as failed.
    pub(super) fn mend(&self) {
        let broken = |numbered: &Numbered| numbered.line.client().fatal_error();
        if broken(&self.line.read()).is_none() {
            return;
        }
        let mut line = self.line.write();
        // Somebody else may have been here first.
        if let Some((_, why)) = broken(&line) {
            self.rebuild(&mut line, &why);
        }
    }

    /// Builds the producer of this generation anew, so that what is with it goes nowhere any more, as far as that can be had: for
    /// shards that another Manager owns by now. The records of the others are told of as failed, and go again.
    pub(super) fn forsake(&self, generation: u64) {
        let mut line = self.line.write();
        if line.generation == generation {
            self.rebuild(&mut line, "a shard is another Manager's, and its messages were not delivered yet");
        }
    }

    fn rebuild(&self, numbered: &mut Numbered, why: &str) {
        match Line::from_config_and_context(&self.config, Ear(Arc::clone(&self.heard))) {
            Ok(line) => {
                let generation = numbered.generation + 1;
                fell(std::mem::replace(numbered, Numbered { generation, line }).line);
                ProducerRebuilt { why }.emit(&self.metrics);
            }
            // It could be built at the start; whoever meets the broken one again tries again.
            Err(error) => tracing::error!(%error, "the Kafka producer cannot be built anew"),
        }
    }

    /// Resolves when there are doubts whether the brokers take anything.
    pub(super) async fn doubted(&self) {
        self.heard.doubt.notified().await;
    }

    /// Asks for a look at the brokers.
    pub(super) fn doubt(&self) {
        self.heard.doubt.notify_one();
    }

    /// What the client said last of its troubles. Names brokers and mechanisms, no secrets.
    pub(super) fn last_words(&self) -> Option<String> {
        self.heard.last_words.lock().clone()
    }

    /// Forgets them: they are over.
    pub(super) fn all_is_well(&self) {
        *self.heard.last_words.lock() = None;
    }
}

/// Drops a producer where that may take a while: it tells of what was with it, and ends its threads.
fn fell(line: Line) {
    let fall = move || drop(line);
    match tokio::runtime::Handle::try_current() {
        Ok(runtime) => drop(runtime.spawn_blocking(fall)),
        Err(_) => fall(),
    }
}

/// What the failure of a record means. Only what is said of the very message makes it suspect; everything else is the way
/// there, and the way there may be mended.
fn failure(error: KafkaError) -> Fate {
    use RDKafkaErrorCode as Code;
    match error.rdkafka_error_code() {
        Some(
            Code::MessageSizeTooLarge
            | Code::MessageBatchTooLarge
            | Code::InvalidMessage
            | Code::InvalidMessageSize
            | Code::InvalidRecord
            | Code::InvalidTimestamp
            | Code::PolicyViolation,
        ) => Fate::Suspect(error),
        _ => Fate::Again(error),
    }
}

/// What a client has told of its troubles.
#[derive(Default)]
struct Heard {
    doubt: Notify,
    last_words: parking_lot::Mutex<Option<String>>,
}

/// What librdkafka has to say goes into our log; when it is in trouble, somebody looks.
struct Ear(Arc<Heard>);

impl ClientContext for Ear {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, text: &str) {
        KafkaSays { level, facility, text }.emit();
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "Kafka's client is in trouble");
        // That all brokers are down says less than why the last one is.
        if error.rdkafka_error_code() != Some(RDKafkaErrorCode::AllBrokersDown) {
            *self.0.last_words.lock() = Some(reason.to_owned());
        }
        self.0.doubt.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_said_of_the_message_itself_makes_it_suspect() {
        use RDKafkaErrorCode as Code;
        let fate = |code| failure(KafkaError::MessageProduction(code));
        for code in [Code::MessageSizeTooLarge, Code::InvalidRecord] {
            assert!(matches!(fate(code), Fate::Suspect(_)), "{code}");
        }
        for code in [
            Code::UnknownTopicOrPartition,
            Code::TopicAuthorizationFailed,
            Code::NotEnoughReplicas,
            Code::BrokerTransportFailure,
            Code::PurgeQueue,
            Code::PurgeInflight,
            Code::Fatal,
            Code::OutOfOrderSequenceNumber,
            Code::QueueFull,
            Code::Unknown,
        ] {
            assert!(matches!(fate(code), Fate::Again(_)), "{code}");
        }
        assert!(matches!(failure(KafkaError::Canceled), Fate::Again(_)));
    }
}
