//! The worker's wish to stop, as one connection hears it.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::sync::watch;

/// The worker's wish to stop. Waits in line once for the whole connection.
pub struct Stop {
    watch: watch::Receiver<bool>,
    told: Option<Pin<Box<dyn Future<Output = ()>>>>,
    waits: bool,
}

impl Stop {
    pub fn new(watch: watch::Receiver<bool>) -> Self {
        let mut wish = watch.clone();
        Self {
            watch,
            told: Some(Box::pin(async move {
                let _ = wish.wait_for(|stop| *stop).await;
            })),
            waits: false,
        }
    }

    pub fn is_wanted(&mut self) -> bool {
        match self.watch.has_changed() {
            Ok(false) if self.told.is_some() => false,
            // Nobody is left who could wish, or somebody did.
            Err(_) => true,
            Ok(_) => {
                let wanted = *self.watch.borrow_and_update();
                if wanted {
                    self.told = None;
                }
                wanted
            }
        }
    }

    /// Whether to stop; wakes the task once. Must be polled by one and the same task always.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.waits {
            self.waits = true;
            if let Some(told) = &mut self.told
                && told.as_mut().poll(cx).is_ready()
            {
                self.told = None;
                return Poll::Ready(());
            }
        }
        if self.is_wanted() {
            return Poll::Ready(());
        }
        Poll::Pending
    }
}
