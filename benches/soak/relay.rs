//! The wire between the router and a store: bytes that wait as lost packets do, connections that
//! are cut, and a port that nobody answers on.

use std::{
    cell::{Cell, RefCell},
    net::SocketAddr,
    rc::Rc,
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::{JoinHandle, spawn_local},
    time::sleep,
};

use crate::chance::Chance;

pub struct Relay {
    pub address: SocketAddr,
    to: SocketAddr,
    chance: Rc<Chance>,
    /// Whether anything goes wrong on it.
    pub is_rough: Rc<Cell<bool>>,
    open: Rc<RefCell<Vec<JoinHandle<()>>>>,
    accepts: RefCell<Option<JoinHandle<()>>>,
    pub cuts: Rc<Cell<u64>>,
}

impl Relay {
    pub async fn start(to: SocketAddr, chance: Rc<Chance>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let relay = Self {
            address: listener.local_addr().unwrap(),
            to,
            chance,
            is_rough: Rc::default(),
            open: Rc::default(),
            accepts: RefCell::default(),
            cuts: Rc::default(),
        };
        relay.serve(listener);
        relay
    }

    /// Cuts everything; the port refuses until [`Relay::revive`].
    pub fn kill(&self) {
        if let Some(accepts) = self.accepts.take() {
            accepts.abort();
        }
        for open in self.open.take() {
            if !open.is_finished() {
                self.cuts.set(self.cuts.get() + 1);
                open.abort();
            }
        }
    }

    pub async fn revive(&self) {
        // The last listener may not be quite gone; or somebody else was faster.
        while self.accepts.borrow().is_none() {
            match TcpListener::bind(self.address).await {
                Ok(listener) => self.serve(listener),
                Err(_) => sleep(Duration::from_millis(10)).await,
            }
        }
    }

    fn serve(&self, listener: TcpListener) {
        let (to, chance, open) = (self.to, Rc::clone(&self.chance), Rc::clone(&self.open));
        let (is_rough, cuts) = (Rc::clone(&self.is_rough), Rc::clone(&self.cuts));
        let accepts = spawn_local(async move {
            while let Ok((near, _)) = listener.accept().await {
                let (chance, is_rough) = (Rc::clone(&chance), Rc::clone(&is_rough));
                let cuts = Rc::clone(&cuts);
                let mut open = open.borrow_mut();
                open.retain(|task| !task.is_finished());
                open.push(spawn_local(async move {
                    let Ok(far) = TcpStream::connect(to).await else {
                        return;
                    };
                    let _ = (near.set_nodelay(true), far.set_nodelay(true));
                    let (near_read, near_write) = near.into_split();
                    let (far_read, far_write) = far.into_split();
                    let rough = || is_rough.get().then_some(&*chance);
                    tokio::select! {
                        cut = pass(near_read, far_write, &rough) => cuts.set(cuts.get() + u64::from(cut)),
                        cut = pass(far_read, near_write, &rough) => cuts.set(cuts.get() + u64::from(cut)),
                    }
                }));
            }
        });
        *self.accepts.borrow_mut() = Some(accepts);
    }
}

/// Until one side ends; whether that was by chance.
async fn pass<'c>(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    rough: &impl Fn() -> Option<&'c Chance>,
) -> bool {
    let mut buffer = vec![0; 16 << 10];
    loop {
        let count = match from.read(&mut buffer).await {
            Ok(count) if count > 0 => count,
            _ => return false,
        };
        let mut rest = &buffer[..count];
        if let Some(chance) = rough() {
            if chance.happens(40) {
                // A packet that is sent again, now and then for the third time.
                let pause = match chance.below(8) {
                    0 => chance.between(1000, 1800),
                    _ => chance.between(200, 500),
                };
                sleep(pause).await;
            }
            if chance.happens(15) {
                let _ = to.write_all(&rest[..chance.below(count)]).await;
                return true;
            }
            if chance.happens(300) {
                // In two pieces.
                let at = chance.below(count);
                if to.write_all(&rest[..at]).await.is_err() {
                    return false;
                }
                rest = &rest[at..];
                sleep(Duration::from_millis(1)).await;
            }
        }
        if to.write_all(rest).await.is_err() {
            return false;
        }
    }
}
