//! How many requests are being answered: what a stop waits for.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;

/// The count. A request holds an [`Answering`] for as long as it takes.
#[derive(Debug)]
pub(crate) struct UnderWay(watch::Sender<usize>);

impl Default for UnderWay {
    fn default() -> Self {
        Self(watch::Sender::new(0))
    }
}

/// A request that is being answered.
pub(crate) struct Answering(watch::Sender<usize>);

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.send_modify(|requests| *requests -= 1);
    }
}

impl UnderWay {
    pub(crate) fn begin(&self) -> Answering {
        self.0.send_modify(|requests| *requests += 1);
        Answering(self.0.clone())
    }

    /// Resolves when there has been none for `calm`: time for the last answer to leave.
    pub(crate) async fn over(&self, calm: Duration) {
        let mut requests = self.0.subscribe();
        loop {
            // Cannot fail: the sender is ours.
            let _ = requests.wait_for(|requests| *requests == 0).await;
            if timeout(calm, requests.changed()).await.is_err() {
                return;
            }
        }
    }
}
