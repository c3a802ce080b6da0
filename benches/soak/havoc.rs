//! The soak: callers at work while everything around them fails in turn.

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    net::SocketAddr,
    path::Path,
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use rustls::ClientConfig;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
    time::{Instant, sleep},
};

use crate::{
    Options,
    caller::{Caller, Trouble, secure},
    chance::Chance,
    common::{free_port, median},
    pki::Authority,
    relay::Relay,
    report::{Report, resident},
    store::Store,
    work::{Asked, KINDS, Kind, PEOPLE, REGIONS, Verdict},
    world::{self, Place, Plan, Router},
};

const LIMITS: &str =
    "response = \"3s\"\nconnect = \"1s\"\nbody_stall = \"2s\"\nheader_read = \"2s\"";

/// Callers of HTTP/1.1, each with a connection, and of HTTP/2, eight to a connection.
const ONES: usize = 24;
const TWOS: usize = 16;

/// The status of each kind of answer for each region where nothing fails.
type Usual = HashMap<(Kind, usize), u16>;

struct Soak {
    report: Report,
    chance: Rc<Chance>,
    usual: Rc<RefCell<Usual>>,
    marks: Cell<u64>,
    /// Whether failures may be on the way.
    is_rough: Cell<bool>,
}

pub async fn soak(options: &Options, time: Duration) -> bool {
    let folder = tempfile::tempdir().unwrap();
    let ca = Rc::new(Authority::new("acme"));
    let chance = Rc::new(Chance::new(options.seed));
    let report = Report::default();
    std::fs::write(folder.path().join("ca.pem"), &ca.pem).unwrap();
    ca.sign(&["dns:api.test"]).write(folder.path(), "api");

    let (mut stores, mut relays, mut places) = (Vec::new(), Vec::new(), Vec::new());
    for (region, name) in REGIONS.iter().enumerate() {
        let (is_secure, http2) = (matches!(*name, "in" | "eu" | "sg"), *name == "sg");
        let tls = is_secure.then(|| certificate(&ca, name, http2));
        let store = Store::start(region, tls, http2, Rc::clone(&chance), report.clone()).await;
        let relay = Rc::new(Relay::start(store.address, Rc::clone(&chance)).await);
        places.push(Place {
            address: relay.address,
            secure: is_secure,
            http2,
        });
        stores.push(store);
        relays.push(relay);
    }
    let ports = (free_port(), free_port());
    let write = |folder: &Path, version| {
        let plan = Plan {
            places: &places,
            secure: true,
            limits: LIMITS,
            checks: true,
            version,
        };
        world::write(folder, ports, &plan);
    };
    write(folder.path(), 0);
    let Some(mut router) = Router::start(&options.router, folder.path(), ports).await else {
        return false;
    };
    let soak = Rc::new(Soak {
        report: report.clone(),
        chance: Rc::clone(&chance),
        usual: Rc::default(),
        marks: Cell::new(0),
        is_rough: Cell::new(false),
    });
    let tls = |alpn: &[&str]| Arc::new(ca.client(None, alpn));
    let (one, two) = (tls(&["http/1.1"]), tls(&["h2"]));
    soak.learn(&mut Caller::one(router.address, Arc::clone(&one)))
        .await;
    println!("usual: {:?}", sorted(&soak.usual.borrow()));

    let mut callers: Vec<_> = (0..ONES)
        .map(|_| Caller::one(router.address, Arc::clone(&one)))
        .collect();
    for _ in 0..TWOS / 8 {
        callers.extend(Caller::two(router.address, &two, 8));
    }
    let pause = Duration::from_secs(callers.len() as u64) / options.rate.unwrap_or(300);
    let mut tasks = JoinSet::new();
    for caller in callers {
        tasks.spawn_local(Rc::clone(&soak).call(caller, pause));
    }
    set_rough(&soak, &stores, &relays, true);
    tasks.spawn_local(kill(Rc::clone(&soak), relays.clone()));
    tasks.spawn_local(confuse(
        Rc::clone(&soak),
        Rc::clone(&ca),
        stores.clone(),
        relays.clone(),
    ));
    for _ in 0..3 {
        tasks.spawn_local(rude(Rc::clone(&soak), router.address, Arc::clone(&one)));
    }

    let (mut samples, began) = (Vec::new(), Instant::now());
    let mut version = 0;
    while began.elapsed() < time && router.runs() {
        sleep(Duration::from_secs(2)).await;
        samples.push(resident(router.pid()));
        version += 1;
        if version % 2 == 0 {
            write(folder.path(), version / 2);
            router.reload();
            report.count("reloads asked for");
        }
        if version % 5 == 0 {
            ca.sign(&["dns:api.test"]).write(folder.path(), "api");
            report.count("certificates of the listener exchanged");
        }
        if version % 30 == 0 {
            let (all, anonymous) = resident(router.pid());
            println!(
                "{:>5} s: {} KiB resident, {anonymous} of them anonymous, {} requests, {} wrong",
                began.elapsed().as_secs(),
                all,
                report.of("requests"),
                report.wrongs()
            );
        }
    }
    if !router.runs() {
        report.wrong("the router ended", String::new);
    }
    // Everything is repaired: all is as it was, for everybody.
    tasks.shutdown().await;
    for relay in &relays {
        relay.kill();
        relay.revive().await;
    }
    for store in &stores {
        if store.tls.borrow().0.is_some() {
            let tls = certificate(&ca, REGIONS[store.region], store.http2);
            store.become_(tls, false);
        }
    }
    set_rough(&soak, &stores, &relays, false);
    sleep(Duration::from_secs(5)).await;
    soak.learn(&mut Caller::one(router.address, one)).await;
    told(&report, &relays, &router).await;
    let flat = flat(&samples);
    report.print();
    flat && report.wrongs() == 0
}

fn certificate(ca: &Authority, region: &str, http2: bool) -> rustls::ServerConfig {
    let pair = ca.sign(&[&format!("spiffe://acme/{region}/store")]);
    let alpn: &[&str] = if http2 { &["h2"] } else { &["http/1.1"] };
    pair.server(None, alpn)
}

fn sorted(usual: &Usual) -> Vec<((Kind, usize), u16)> {
    let mut all: Vec<_> = usual.iter().map(|(k, v)| (*k, *v)).collect();
    all.sort_unstable();
    all
}

fn set_rough(soak: &Soak, stores: &[Rc<Store>], relays: &[Rc<Relay>], is_rough: bool) {
    soak.is_rough.set(is_rough);
    for store in stores {
        store.is_rough.set(is_rough);
    }
    for relay in relays {
        relay.is_rough.set(is_rough);
    }
}

impl Soak {
    fn ask_for(&self, kind: Kind, region: usize, person: usize) -> Asked {
        let mark = self.marks.get() + 1;
        self.marks.set(mark);
        Asked::new(kind, region, person, format!("m{mark}"), &self.chance)
    }

    /// Each person's home is pinned, and each kind of answer for each region is known, or is as
    /// it was.
    async fn learn(&self, caller: &mut Caller) {
        for person in 0..PEOPLE {
            for region in 0..REGIONS.len() {
                let kinds = if person == 0 { &KINDS[..] } else { &KINDS[..1] };
                for kind in kinds {
                    let asked = self.ask_for(*kind, region, person);
                    let known = self.usual.borrow().get(&(*kind, region)).copied();
                    match caller.ask(&asked).await {
                        Ok((status, fields, body)) => {
                            match asked.judge(status, &fields, &body, known) {
                                Verdict::Right => {
                                    let mut usual = self.usual.borrow_mut();
                                    usual.insert((*kind, region), status.as_u16());
                                }
                                other => self.report.wrong("an answer where nothing fails", || {
                                    format!("{kind:?} {region}: {other:?}")
                                }),
                            }
                        }
                        Err(trouble) => self.report.wrong("no answer where nothing fails", || {
                            format!("{kind:?} {region}: {trouble}")
                        }),
                    }
                }
            }
        }
    }

    async fn call(self: Rc<Self>, mut caller: Caller, pause: Duration) {
        sleep(self.chance.between(0, 1 + pause.as_millis() as u64)).await;
        loop {
            let next = Instant::now() + pause;
            let kind = match self.chance.below(100) {
                0..45 => Kind::Record,
                45..65 => Kind::Read,
                65..85 => Kind::File,
                85..93 => Kind::Batch,
                _ => Kind::Bulk,
            };
            let (region, person) = (self.chance.below(5), self.chance.below(PEOPLE));
            let asked = self.ask_for(kind, region, person);
            self.report.count("requests");
            let usual = self.usual.borrow().get(&(kind, region)).copied();
            match caller.ask(&asked).await {
                Ok((status, fields, body)) => match asked.judge(status, &fields, &body, usual) {
                    Verdict::Right => self.report.count(format!("right: {kind:?} {status}")),
                    Verdict::Failed(how) => self.report.count(format!("told failures: {how}")),
                    Verdict::Wrong(how) => self
                        .report
                        .wrong("answer", || format!("{kind:?} {}: {how}", REGIONS[region])),
                },
                // As the store's own answer does.
                Err(Trouble::BrokenOff) => self.report.count("answers that broke off"),
                Err(trouble) => self.report.wrong("no answer", || {
                    format!("{kind:?} {}: {trouble}", REGIONS[region])
                }),
            }
            tokio::time::sleep_until(next).await;
        }
    }
}

/// Stores go and come back.
async fn kill(soak: Rc<Soak>, relays: Vec<Rc<Relay>>) {
    loop {
        sleep(soak.chance.between(1000, 4000)).await;
        let relay = Rc::clone(&relays[soak.chance.below(5)]);
        soak.report.count("stores killed and started again");
        relay.kill();
        sleep(soak.chance.between(100, 2500)).await;
        relay.revive().await;
    }
}

/// A store's certificate is renewed; now and then a server of another region stands in its place.
async fn confuse(
    soak: Rc<Soak>,
    ca: Rc<Authority>,
    stores: Vec<Rc<Store>>,
    relays: Vec<Rc<Relay>>,
) {
    loop {
        sleep(soak.chance.between(3000, 6000)).await;
        let at = [1, 3, 4][soak.chance.below(3)];
        let (store, relay) = (&stores[at], &relays[at]);
        if soak.chance.happens(4000) {
            soak.report.count("stores in another's place");
            let other = REGIONS[(at + 1 + soak.chance.below(4)) % 5];
            store.become_(certificate(&ca, other, store.http2), true);
            // So that the router has to look at whom it meets.
            relay.kill();
            relay.revive().await;
            sleep(soak.chance.between(500, 2500)).await;
            store.become_(certificate(&ca, REGIONS[at], store.http2), false);
            relay.kill();
            relay.revive().await;
        } else {
            soak.report.count("certificates of stores renewed");
            store.become_(certificate(&ca, REGIONS[at], store.http2), false);
        }
    }
}

/// Callers that go away, wait too long, or talk nonsense.
async fn rude(soak: Rc<Soak>, to: SocketAddr, tls: Arc<ClientConfig>) {
    const FILE: &str = "POST /files/r3-1/photo HTTP/1.1\r\nHost: api.test\r\nX-Country: DE\r\n\
        X-Mark: rude\r\nContent-Length: 100000\r\n\r\nthe beginning";
    const RECORD: &str = "POST /records HTTP/1.1\r\nHost: api.test\r\n\
        Content-Type: application/json\r\nContent-Length: 900\r\n\r\n{\"id\":\"r1-1\",";
    loop {
        sleep(soak.chance.between(50, 800)).await;
        soak.report.count("rude callers");
        if soak.chance.happens(1000) {
            // Not even a handshake.
            if let Ok(mut stream) = TcpStream::connect(to).await {
                let _ = stream.write_all(b"\x16\x03\x01").await;
                sleep(soak.chance.between(0, 3000)).await;
            }
            continue;
        }
        let Ok(mut stream) = secure(to, &tls).await else {
            continue;
        };
        let said = match soak.chance.below(5) {
            0 => "GET / HTTP/1.1\r\nHost: api.test\r\nTransfer-Enc",
            1 => "GET / HTTP/1.1\nHost: api.test\r\n\r\n",
            2 => RECORD,
            3 => FILE,
            _ => "GET /records/r3-7 HTTP/1.1\r\nHost: api.test\r\n\r\n",
        };
        let _ = stream.write_all(said.as_bytes()).await;
        match soak.chance.below(3) {
            0 => {}
            1 => sleep(soak.chance.between(0, 50)).await,
            _ => {
                let mut sink = Vec::new();
                let wait = soak.chance.between(500, 5000);
                let _ = tokio::time::timeout(wait, stream.read_to_end(&mut sink)).await;
            }
        }
    }
}

/// Adds what the router says of itself.
async fn told(report: &Report, relays: &[Rc<Relay>], router: &Router) {
    let cuts: u64 = relays.iter().map(|r| r.cuts.get()).sum();
    println!("connections to stores cut: {cuts}");
    let Ok(mut stream) = TcpStream::connect(router.admin).await else {
        return report.wrong("no metrics", String::new);
    };
    let request = "GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n";
    let mut text = Vec::new();
    let _ = stream.write_all(request.as_bytes()).await;
    let _ = stream.read_to_end(&mut text).await;
    let text = String::from_utf8_lossy(&text);
    for name in [
        "domicile_reloads_total",
        "domicile_tls_reloads_total",
        "domicile_upstream_retries_total",
        "domicile_refused_heads_total",
        "domicile_connections ",
        "domicile_body_bytes ",
        "http_server_active_requests ",
        "process_open_fds ",
    ] {
        for line in text.lines().filter(|l| l.starts_with(name)) {
            println!("{line}");
        }
    }
    if text.contains("domicile_reloads_total{result=\"refused\"}") {
        report.wrong("a reload was refused", String::new);
    }
}

/// Whether memory stayed within a tenth of what it was once everything had happened a few times.
fn flat(samples: &[(u64, u64)]) -> bool {
    let count = samples.len();
    let part = |from: usize, to: usize| {
        let part = samples.get(count * from / 10..count * to / 10);
        let values = part.unwrap_or_default().iter().map(|(all, _)| *all as f64);
        median(values)
    };
    let (base, last) = (part(2, 3), part(9, 10));
    println!(
        "resident memory: {base:.0} KiB after a fifth of the time, {last:.0} KiB at the end ({:+.1} %)",
        (last / base - 1.0) * 100.0
    );
    let by_tenths: Vec<_> = (0..10).map(|n| part(n, n + 1).round()).collect();
    println!("by tenths: {by_tenths:?}");
    last <= base * 1.1
}
