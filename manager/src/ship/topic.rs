//! Topic: made if it is not there, and looked at before anything goes into it. A topic that made itself at the first record would
//! have one partition, and one that is compacted forgets all but the last event of a room.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::{FromClientConfig, RDKafkaLogLevel};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use thiserror::Error;
use tokio::task::spawn_blocking;

use super::settings::{IfMissing, KafkaSettings};

/// How long brokers may take to answer one question.
const ANSWER_MAX: Duration = Duration::from_secs(5);

/// Why nothing can go into the topic.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(super) enum TopicError {
    /// No broker answers.
    #[error("no broker answers: {0}")]
    Away(KafkaError),
    /// We may not see it.
    #[error("this user may not see or write the topic \"{0}\"; it needs Describe and Write")]
    Forbidden(String),
    /// It is not there, and somebody else is to make it.
    #[error(
        "there is no topic \"{0}\", and kafka.create_topic is false: make it, with cleanup.policy=delete"
    )]
    Missing(String),
    /// It is not there, and cannot be made.
    #[error("the topic \"{topic}\" cannot be made: {why}")]
    NotMade { topic: String, why: RDKafkaErrorCode },
    /// It would forget events.
    #[error(
        "the topic \"{topic}\" has cleanup.policy={policy}, which keeps the last event of a room alone; it must be \"delete\""
    )]
    Forgets { topic: String, policy: String },
}

impl TopicError {
    /// Whether the topic may still be what it was.
    pub(super) fn is_away(&self) -> bool {
        matches!(self, Self::Away(_))
    }
}

/// Asks brokers about the topic, through a client of its own: a producer's would be asked by its own records, too.
pub(super) struct Inspector {
    settings: KafkaSettings,
    admin: Arc<AdminClient<DefaultClientContext>>,
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) partitions: usize,
    pub(super) is_new: bool,
    /// Whether its policy could be seen.
    pub(super) is_policy_known: bool,
}

impl Inspector {
    /// # Errors
    /// When the settings make no client.
    pub(super) fn new(settings: &KafkaSettings, client_id: &str) -> Result<Self, KafkaError> {
        let mut config = settings.connection(client_id);
        config
            .set("allow.auto.create.topics", "false")
            // Nobody reads this client's log; the producer's says the same.
            .set_log_level(RDKafkaLogLevel::Emerg);
        let admin = Arc::new(AdminClient::from_config(&config)?);
        Ok(Self { settings: settings.clone(), admin })
    }

    /// Looks at the topic, and makes it if it is not there and we are to.
    pub(super) async fn look(&self) -> Result<Found, TopicError> {
        let (partitions, is_new) = match self.partitions().await? {
            Some(partitions) => (partitions, false),
            None => (self.make().await?, true),
        };
        let is_policy_known = self.check_policy().await?;
        Ok(Found { partitions, is_new, is_policy_known })
    }

    fn topic(&self) -> String {
        self.settings.topic.clone()
    }

    /// How many there are; `None` without a topic.
    async fn partitions(&self) -> Result<Option<usize>, TopicError> {
        let (admin, topic) = (Arc::clone(&self.admin), self.topic());
        let ask = move || {
            let metadata = admin.inner().fetch_metadata(Some(&topic), ANSWER_MAX)?;
            let found = metadata.topics().iter().find(|found| found.name() == topic);
            Ok(found.map(|found| (found.error().map(RDKafkaErrorCode::from), found.partitions().len())))
        };
        let answer =
            spawn_blocking(ask).await.unwrap_or(Err(KafkaError::Canceled)).map_err(TopicError::Away)?;
        match answer {
            None
            | Some((Some(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic), _)) => {
                Ok(None)
            }
            Some((Some(RDKafkaErrorCode::TopicAuthorizationFailed), _)) => {
                Err(TopicError::Forbidden(self.topic()))
            }
            Some((Some(code), _)) => Err(TopicError::Away(KafkaError::MetadataFetch(code))),
            Some((None, 0)) => Ok(None),
            Some((None, partitions)) => Ok(Some(partitions)),
        }
    }

    async fn make(&self) -> Result<usize, TopicError> {
        let IfMissing::Create { partitions, replication } = self.settings.if_missing else {
            return Err(TopicError::Missing(self.topic()));
        };
        let copies = TopicReplication::Fixed(replication.map_or(-1, i32::from));
        let new = NewTopic::new(&self.settings.topic, i32::from(partitions), copies)
            .set("cleanup.policy", "delete");
        let made = self.admin.create_topics([&new], &options()).await.map_err(TopicError::Away)?;
        match made.into_iter().next() {
            // Another Manager was faster.
            Some(Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists))) => Ok(usize::from(partitions)),
            Some(Err((topic, why))) => Err(TopicError::NotMade { topic, why }),
            None => Err(TopicError::Away(KafkaError::Canceled)),
        }
    }

    /// Whether the policy could be seen: a user may well write without being allowed to look at configurations. What is seen must
    /// be right; what is not is told.
    async fn check_policy(&self) -> Result<bool, TopicError> {
        let what = ResourceSpecifier::Topic(&self.settings.topic);
        // Brokers have just answered. One that does not answer this speaks Kafka's protocol, but not all of it.
        let Ok(answer) = self.admin.describe_configs([&what], &options()).await else { return Ok(false) };
        let Some(Ok(config)) = answer.into_iter().next() else { return Ok(false) };
        let Some(policy) = config.get("cleanup.policy").and_then(|entry| entry.value.clone()) else {
            return Ok(false);
        };
        if policy.split(',').any(|part| part.trim() == "compact") {
            return Err(TopicError::Forgets { topic: self.topic(), policy });
        }
        Ok(true)
    }
}

impl Drop for Inspector {
    fn drop(&mut self) {
        // A client ends its threads as it falls, which takes a moment.
        let admin = Arc::clone(&self.admin);
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            drop(runtime.spawn_blocking(move || drop(admin)));
        }
    }
}

fn options() -> AdminOptions {
    AdminOptions::new().request_timeout(Some(ANSWER_MAX)).operation_timeout(Some(ANSWER_MAX))
}
