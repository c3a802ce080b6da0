//! One of five regions hangs: what the other four keep of their throughput and of their p99.
//!
//! Each round has a part with and a part without, in turn the first. In both, requests for India
//! come at the same rate, whether they are answered or not; for the other four regions callers ask
//! as fast as they are answered, and then at a fixed rate, for latencies mean something then.

use std::{
    cell::{Cell, RefCell},
    net::SocketAddr,
    rc::Rc,
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::{JoinSet, spawn_local},
    time::{Instant, sleep, sleep_until},
};

use crate::{
    Options,
    common::{free_port, median},
    report::percentile,
    work::{COUNTRIES, PEOPLE, REGIONS},
    world::{self, Place, Plan, Router},
};

/// India, in `REGIONS`.
const HANGS: usize = 1;

/// Connections for the four others.
const CALLERS: usize = 48;

/// Requests a second for the region that may hang.
const ASKED: u32 = 200;

/// After which hung requests fill all the room that their region has.
const LIMITS: &str = "response = \"10s\"";

#[derive(Default)]
struct Part {
    answers: usize,
    wrong: usize,
    seconds: f64,
    micros: Vec<u32>,
}

impl Part {
    fn rate(&self) -> f64 {
        self.answers as f64 / self.seconds
    }
}

pub async fn measure(options: &Options) -> bool {
    let folder = tempfile::tempdir().unwrap();
    let (hang, hangs) = watch::channel(false);
    let mut places = Vec::new();
    for region in 0..REGIONS.len() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        places.push(Place {
            address: listener.local_addr().unwrap(),
            secure: false,
            http2: false,
        });
        spawn_local(store(listener, region, hangs.clone()));
    }
    let ports = (free_port(), free_port());
    let plan = Plan {
        places: &places,
        secure: false,
        limits: LIMITS,
        checks: false,
        version: 0,
    };
    world::write(folder.path(), ports, &plan);
    let Some(router) = Router::start(&options.router, folder.path(), ports).await else {
        return false;
    };
    let to = router.address;
    let asks: Asks = Rc::default();
    let india = spawn_local(ask_india(to, Rc::clone(&asks)));
    // Homes are pinned, pools are warm.
    let warm = load(to, Duration::from_secs(3), None).await;
    let time = Duration::from_secs_f64(options.seconds);
    let paced = match options.rate {
        Some(rate) if rate > 0 => rate,
        _ => (warm.rate() / 2.0) as u32,
    };
    println!(
        "four regions: {CALLERS} callers, {:.0} requests a second at most, {paced} paced; the fifth: {ASKED}",
        warm.rate()
    );
    println!(
        "{:>6} {:>20} {:>20} {:>20}",
        "round", "requests/s", "p99 us, at most", "p99 us, paced"
    );
    let (mut rates, mut fulls, mut paces) = (Vec::new(), Vec::new(), Vec::new());
    let mut wrong = warm.wrong;
    for round in 0..options.rounds {
        let mut told: [Option<(f64, f64, f64)>; 2] = [None, None];
        for turn in 0..2 {
            let is_hanging = (round + turn) % 2 == 0;
            hang.send_replace(is_hanging);
            // Until it holds all it may; or until what it held is over.
            sleep(Duration::from_secs(if is_hanging { 4 } else { 1 })).await;
            let mut full = load(to, time, None).await;
            let mut even = load(to, time, Some(paced)).await;
            wrong += full.wrong + even.wrong;
            told[usize::from(is_hanging)] = Some((
                full.rate(),
                percentile(&mut full.micros, 0.99),
                percentile(&mut even.micros, 0.99),
            ));
        }
        let [Some(without), Some(with)] = told else {
            continue;
        };
        let pair = |a: f64, b: f64| format!("{a:.0} -> {b:.0}");
        println!(
            "{round:>6} {:>20} {:>20} {:>20}",
            pair(without.0, with.0),
            pair(without.1, with.1),
            pair(without.2, with.2)
        );
        rates.push(with.0 / without.0);
        fulls.push(with.1 / without.1);
        paces.push(with.2 / without.2);
    }
    hang.send_replace(false);
    india.abort();
    let (rate, full, pace) = (median(rates), median(fulls), median(paces));
    println!(
        "with one region hanging, medians of the ratios: throughput {rate:.3}, p99 at most {full:.3}, p99 paced {pace:.3}"
    );
    for (status, count) in asks.borrow().iter() {
        println!("the fifth region's requests: {count} answered {status}");
    }
    println!("wrong answers of the other four: {wrong}");
    wrong == 0 && rate >= 0.95
}

type Asks = Rc<RefCell<std::collections::BTreeMap<u16, u64>>>;

/// At a fixed rate, each on a connection that is free.
async fn ask_india(to: SocketAddr, asks: Asks) {
    let free: Rc<RefCell<Vec<TcpStream>>> = Rc::default();
    let (mut number, began) = (0, Instant::now());
    let mut tasks: JoinSet<()> = JoinSet::new();
    loop {
        number += 1;
        sleep_until(began + Duration::from_secs(1) * number / ASKED).await;
        while tasks.try_join_next().is_some() {}
        let (free, asks) = (Rc::clone(&free), Rc::clone(&asks));
        tasks.spawn_local(async move {
            let kept = free.borrow_mut().pop();
            let mut stream = match kept {
                Some(stream) => stream,
                None => match TcpStream::connect(to).await {
                    Ok(stream) => stream,
                    Err(_) => return,
                },
            };
            let mut buffer = Vec::new();
            let answer = ask(&mut stream, &request(HANGS, number as usize), &mut buffer).await;
            let status = answer.map_or(0, |(status, _)| status);
            *asks.borrow_mut().entry(status).or_default() += 1;
            if status != 0 {
                free.borrow_mut().push(stream);
            }
        });
    }
}

/// The four others, as fast as they answer or at this rate.
async fn load(to: SocketAddr, time: Duration, rate: Option<u32>) -> Part {
    let part = Rc::new(RefCell::new(Part::default()));
    let next = Rc::new(Cell::new(0u32));
    let began = Instant::now();
    let mut callers = JoinSet::new();
    for _ in 0..CALLERS {
        let (part, next) = (Rc::clone(&part), Rc::clone(&next));
        callers.spawn_local(async move {
            let mut stream = TcpStream::connect(to).await.unwrap();
            stream.set_nodelay(true).unwrap();
            let mut buffer = Vec::with_capacity(8 << 10);
            loop {
                let number = next.get();
                next.set(number + 1);
                let due = match rate {
                    Some(rate) => began + Duration::from_secs(1) * number / rate,
                    None => Instant::now(),
                };
                if due.duration_since(began) >= time {
                    return;
                }
                sleep_until(due).await;
                let region = [0, 2, 3, 4][number as usize % 4];
                let asked = request(region, number as usize);
                let answer = ask(&mut stream, &asked, &mut buffer).await;
                let mut part = part.borrow_mut();
                let micros = due.elapsed().as_micros();
                part.micros.push(u32::try_from(micros).unwrap_or(u32::MAX));
                part.answers += 1;
                if answer != Some((200, region)) {
                    part.wrong += 1;
                    return;
                }
            }
        });
    }
    while callers.join_next().await.is_some() {}
    let mut part = part.take();
    part.seconds = began.elapsed().as_secs_f64();
    part
}

fn request(region: usize, number: usize) -> Vec<u8> {
    let (country, person) = (COUNTRIES[region], number % PEOPLE);
    let body = format!(
        r#"{{"id":"r{region}-{person}","user":{{"country":"{country}","name":"Ada Example"}},"active":true,"note":"{}"}}"#,
        "lorem ipsum ".repeat(70)
    );
    let length = body.len();
    format!(
        "POST /records HTTP/1.1\r\nHost: api.test\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

/// Status and region of the answer.
async fn ask(stream: &mut TcpStream, asked: &[u8], buffer: &mut Vec<u8>) -> Option<(u16, usize)> {
    stream.write_all(asked).await.ok()?;
    buffer.clear();
    let end = loop {
        if let Some(end) = buffer.windows(4).position(|w| w == b"\r\n\r\n") {
            break end + 4;
        }
        if stream.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    };
    let head = std::str::from_utf8(&buffer[..end]).ok()?;
    let status = head.get(9..12)?.parse().ok()?;
    let field = |name: &str| head.lines().find_map(|l| l.strip_prefix(name));
    let region = field("domicile-region: ");
    let region = region.and_then(|r| REGIONS.iter().position(|known| *known == r));
    let length: usize = field("content-length: ").map_or(Some(0), |l| l.parse().ok())?;
    while buffer.len() < end + length {
        if stream.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    }
    Some((status, region.unwrap_or(usize::MAX)))
}

/// Answers each request, or none while it hangs.
async fn store(listener: TcpListener, region: usize, hangs: watch::Receiver<bool>) {
    while let Ok((stream, _)) = listener.accept().await {
        drop(spawn_local(serve(stream, region, hangs.clone())));
    }
}

async fn serve(mut stream: TcpStream, region: usize, mut hangs: watch::Receiver<bool>) {
    const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\
        Content-Length: 11\r\n\r\n{\"ok\":true}";
    let _ = stream.set_nodelay(true);
    let mut buffer = Vec::with_capacity(8 << 10);
    loop {
        buffer.clear();
        // Records here end with the one line of their text.
        while !buffer.ends_with(b"\"}") {
            match stream.read_buf(&mut buffer).await {
                Ok(count) if count > 0 => {}
                _ => return,
            }
        }
        if region == HANGS && hangs.wait_for(|hangs| !*hangs).await.is_err() {
            return;
        }
        if stream.write_all(ANSWER).await.is_err() {
            return;
        }
    }
}
