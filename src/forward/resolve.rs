//! Names of servers, looked up by threads of their own.
//!
//! A lookup of the system's cannot be ended: whoever asked may have gone for long while it still
//! waits for a resolver that does not answer. So there is one under way for each name, over the whole
//! process, which whoever comes meanwhile waits for as well: a name holds one thread at most, however
//! many requests want it, and the settings bound the names. The pool of the runtime is not used for
//! it: there the lookups of one name would stand before those of all others, and before all else that
//! waits for a disk.

use std::{
    collections::HashMap,
    io,
    net::{SocketAddr, ToSocketAddrs as _},
    sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError},
    thread,
};

use smallvec::SmallVec;
use tokio::sync::watch;

use super::Unreachable;

/// What a name leads to, in the order of RFC 6724.
pub(super) type Addresses = SmallVec<[SocketAddr; 4]>;

/// `None` until it is known.
type Found = Option<Result<Addresses, Unreachable>>;

type Name = (Box<str>, u16);

type Resolve = dyn Fn(&str, u16) -> io::Result<Addresses> + Send + Sync;

/// The lookups of this process.
static SYSTEM: LazyLock<Lookups> =
    LazyLock::new(|| Lookups::by(|host, port| Ok((host, port).to_socket_addrs()?.collect())));

/// The addresses of a name, as the system's resolver has them now, or a moment ago. Cancel safe: the
/// lookup goes on for whoever comes next.
///
/// # Errors
/// [`Unreachable::Unresolved`].
pub(super) async fn addresses(host: &str, port: u16) -> Result<Addresses, Unreachable> {
    SYSTEM.find(host, port).await
}

struct Lookups {
    resolve: Arc<Resolve>,
    under_way: Arc<UnderWay>,
}

/// Never locked for longer than a look.
#[derive(Default)]
struct UnderWay(Mutex<HashMap<Name, watch::Receiver<Found>>>);

impl Lookups {
    fn by(resolve: impl Fn(&str, u16) -> io::Result<Addresses> + Send + Sync + 'static) -> Self {
        Self {
            resolve: Arc::new(resolve),
            under_way: Arc::default(),
        }
    }

    async fn find(&self, host: &str, port: u16) -> Result<Addresses, Unreachable> {
        let mut lookup = self.join(host, port)?;
        let found = lookup.wait_for(Option::is_some).await;
        // Else its thread has died.
        let found = found.map_err(|_| Unreachable::Unresolved)?;
        found.clone().unwrap_or(Err(Unreachable::Unresolved))
    }

    /// The lookup under way, or a new one.
    fn join(&self, host: &str, port: u16) -> Result<watch::Receiver<Found>, Unreachable> {
        let name = (Box::from(host), port);
        let mut under_way = self.under_way.lock();
        if let Some(lookup) = under_way.get(&name) {
            return Ok(lookup.clone());
        }
        let (tell, lookup) = watch::channel(None);
        under_way.insert(name.clone(), lookup.clone());
        drop(under_way);
        let ends = Ends {
            name,
            under_way: Arc::clone(&self.under_way),
        };
        let resolve = Arc::clone(&self.resolve);
        let work = move || {
            // The name is let go first, though this should panic.
            let tell = tell;
            let ends = ends;
            let (host, port) = &ends.name;
            let found = resolve(host, *port).map_err(|_| Unreachable::Unresolved);
            // Before it is told: who asks after that asks for what is true then.
            drop(ends);
            tell.send_replace(Some(found));
        };
        let started = thread::Builder::new().name("lookup".into()).spawn(work);
        started.map(|_| lookup).map_err(Unreachable::from)
    }
}

impl UnderWay {
    fn lock(&self) -> MutexGuard<'_, HashMap<Name, watch::Receiver<Found>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Dropped where a lookup ends, though it panics or never began.
struct Ends {
    name: Name,
    under_way: Arc<UnderWay>,
}

impl Drop for Ends {
    fn drop(&mut self) {
        self.under_way.lock().remove(&self.name);
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{
            atomic::{AtomicUsize, Ordering},
            mpsc,
        },
        time::Duration,
    };

    use tokio::time::timeout;

    use super::*;

    fn one() -> SocketAddr {
        SocketAddr::from(([192, 0, 2, 1], 80))
    }

    /// Of `hangs` nothing is heard until the sender goes.
    fn hanging() -> (Arc<Lookups>, mpsc::Sender<()>, Arc<AtomicUsize>) {
        let (opens, gate) = mpsc::channel::<()>();
        let (gate, asked) = (Mutex::new(gate), Arc::new(AtomicUsize::new(0)));
        let counts = Arc::clone(&asked);
        let lookups = Lookups::by(move |host, _| {
            counts.fetch_add(1, Ordering::SeqCst);
            match host {
                "hangs" => drop(gate.lock().unwrap().recv()),
                "dies" => panic!("a lookup dies"),
                "unknown" => return Err(io::ErrorKind::NotFound.into()),
                _ => {}
            }
            Ok([one()].into_iter().collect())
        });
        (Arc::new(lookups), opens, asked)
    }

    #[tokio::test]
    async fn a_name_whose_lookup_hangs_holds_one_thread_and_nobody_elses_lookup() {
        let (lookups, opens, asked) = hanging();
        let brief = Duration::from_millis(1);
        // More than a pool of a runtime has threads, and each gives up.
        for _ in 0..600 {
            assert!(timeout(brief, lookups.find("hangs", 80)).await.is_err());
        }
        assert_eq!(asked.load(Ordering::SeqCst), 1);
        let other = lookups.find("other", 80).await.unwrap();
        assert_eq!(other.as_slice(), [one()]);
        // Who waits when it ends after all is answered; from then on it is asked anew.
        let late = tokio::spawn({
            let lookups = Arc::clone(&lookups);
            async move { lookups.find("hangs", 80).await }
        });
        tokio::task::yield_now().await;
        drop(opens);
        assert_eq!(late.await.unwrap().unwrap().as_slice(), [one()]);
        let before = asked.load(Ordering::SeqCst);
        lookups.find("hangs", 80).await.unwrap();
        assert_eq!(asked.load(Ordering::SeqCst), before + 1);
        assert!(lookups.under_way.lock().is_empty());
    }

    #[tokio::test]
    async fn a_lookup_that_fails_or_dies_is_not_the_last_of_its_name() {
        let (lookups, _opens, asked) = hanging();
        for name in ["unknown", "dies"] {
            for _ in 0..2 {
                let found = lookups.find(name, 80).await;
                assert_eq!(found, Err(Unreachable::Unresolved), "{name}");
            }
        }
        assert_eq!(asked.load(Ordering::SeqCst), 4);
    }
}
