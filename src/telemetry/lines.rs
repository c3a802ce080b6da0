//! Lines on their way to a reader who may be slow, or read no more.
//!
//! A write to a pipe that nobody reads waits for ever, and so does one to a disk that hangs. So
//! lines wait in a queue that has an end, and a thread of their own writes them in their order.
//! Whoever has a line to tell never waits: what the queue cannot take is counted as lost, and
//! that is told once lines can be written again.

use std::{
    io::{self, Write},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed},
        mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    },
    thread::{JoinHandle, sleep},
    time::{Duration, Instant},
};

/// Lines that wait for the writer, beside what their bytes allow.
const QUEUE: usize = 8192;
/// Written in one go.
const BATCH: usize = 64 << 10;
/// How soon a reopening is noticed.
const LOOK: Duration = Duration::from_millis(250);
/// How long the end of the process waits for the last lines.
const LAST: Duration = Duration::from_secs(2);
/// Between two tries on a pipe that says that it is full and does not wait.
const PATIENCE: Duration = Duration::from_millis(20);

/// One line as it waits.
pub trait Line: Send + 'static {
    /// About how many bytes it takes while it waits.
    fn size(&self) -> usize;

    /// Appends the text with the end of its last line.
    fn put(&self, to: &mut Vec<u8>);
}

/// Where lines go.
pub trait Target: Send + 'static {
    /// Asked at the start, and again when the file was moved away.
    ///
    /// # Errors
    /// When there is nowhere to write.
    fn open(&self) -> io::Result<Box<dyn Write + Send>>;

    /// From the thread that writes.
    fn tell(&self, trouble: &Trouble);
}

/// What a target has to tell its operator.
#[derive(Debug)]
pub enum Trouble {
    /// Lines cannot be written; told once, until they can be.
    Unwritable(io::Error),
    /// So many were lost. Lines can be written again.
    Lost(u64),
    /// The old file stays in use.
    NotReopened(io::Error),
}

/// The door of those who tell. Cloning shares it.
pub struct Lines<L> {
    queue: SyncSender<Message<L>>,
    state: Arc<State>,
}

enum Message<L> {
    Line(L),
    End,
}

struct State {
    /// Bytes that may wait.
    limit: usize,
    waiting: AtomicUsize,
    lost: AtomicU64,
    reopen: AtomicBool,
    writer: Mutex<Option<JoinHandle<()>>>,
}

impl<L> Clone for Lines<L> {
    fn clone(&self) -> Self {
        Self {
            queue: self.queue.clone(),
            state: Arc::clone(&self.state),
        }
    }
}

impl<L: Line> Lines<L> {
    /// Opens the target and starts the thread, which has this name. `limit`: bytes that may wait.
    ///
    /// # Errors
    /// When the target cannot be opened, or the thread cannot be started.
    pub fn open(name: &str, limit: usize, target: impl Target) -> io::Result<Self> {
        let to = target.open()?;
        let (queue, lines) = sync_channel(QUEUE);
        let state = Arc::new(State {
            limit,
            waiting: AtomicUsize::new(0),
            lost: AtomicU64::new(0),
            reopen: AtomicBool::new(false),
            writer: Mutex::new(None),
        });
        let writer = Writer {
            to,
            target,
            state: Arc::clone(&state),
            text: Vec::new(),
            ends: Vec::new(),
            broken: false,
            torn: false,
            told: 0,
        };
        let writer = std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || writer.run(&lines))?;
        if let Ok(mut place) = state.writer.lock() {
            *place = Some(writer);
        }
        Ok(Self { queue, state })
    }

    /// Never waits.
    pub fn push(&self, line: L) {
        let (state, size) = (&self.state, line.size());
        // A line that is longer than the limit goes in where there is room for any.
        let fits = state.waiting.fetch_add(size, Relaxed) < state.limit;
        if !fits || self.queue.try_send(Message::Line(line)).is_err() {
            state.waiting.fetch_sub(size, Relaxed);
            state.lost.fetch_add(1, Relaxed);
        }
    }

    /// Lines that were never written.
    pub fn lost(&self) -> u64 {
        self.state.lost.load(Relaxed)
    }

    /// The file was moved away: the next line goes to a new one.
    pub fn reopen(&self) {
        self.state.reopen.store(true, Relaxed);
    }

    /// Writes what waits, as far as it can be written within two seconds. Lines that come later
    /// are lost.
    pub fn close(&self) {
        let end = Instant::now() + LAST;
        let writer = self.state.writer.lock().ok().and_then(|mut w| w.take());
        let Some(writer) = writer else { return };
        let mut told = false;
        while !writer.is_finished() && Instant::now() < end {
            told = told || self.queue.try_send(Message::End).is_ok();
            sleep(Duration::from_millis(1));
        }
        if writer.is_finished() {
            let _ = writer.join();
        }
    }
}

/// The thread's own.
struct Writer<T> {
    to: Box<dyn Write + Send>,
    target: T,
    state: Arc<State>,
    /// Lines that are written next.
    text: Vec<u8>,
    /// Where in the text each of them ends.
    ends: Vec<usize>,
    /// The last try to write failed.
    broken: bool,
    /// Of the line that was written last the end is missing.
    torn: bool,
    /// Lost lines that were told.
    told: u64,
}

impl<T: Target> Writer<T> {
    fn run<L: Line>(mut self, lines: &Receiver<Message<L>>) {
        loop {
            let next = match lines.try_recv() {
                Ok(message) => Ok(message),
                // Nothing waits: now is the time for what was gathered.
                Err(_) => {
                    self.write();
                    self.tell_lost();
                    lines.recv_timeout(LOOK)
                }
            };
            if self.state.reopen.swap(false, Relaxed) {
                self.write();
                match self.target.open() {
                    Ok(new) => (self.to, self.torn) = (new, false),
                    Err(error) => self.target.tell(&Trouble::NotReopened(error)),
                }
            }
            match next {
                Ok(Message::Line(line)) => self.gather(&line),
                Err(RecvTimeoutError::Timeout) => {}
                Ok(Message::End) | Err(RecvTimeoutError::Disconnected) => {
                    self.write();
                    self.tell_lost();
                    // Which may be a line of this very log.
                    while let Ok(Message::Line(line)) = lines.try_recv() {
                        self.gather(&line);
                    }
                    self.write();
                    return;
                }
            }
        }
    }

    fn gather(&mut self, line: &impl Line) {
        line.put(&mut self.text);
        self.ends.push(self.text.len());
        self.state.waiting.fetch_sub(line.size(), Relaxed);
        if self.text.len() >= BATCH {
            self.write();
        }
    }

    /// Waits for as long as the reader or the disk does.
    fn write(&mut self) {
        if self.ends.is_empty() {
            return;
        }
        if self.torn {
            self.text.insert(0, b'\n');
            self.ends.iter_mut().for_each(|end| *end += 1);
        }
        let (written, failed) = put_all(&mut *self.to, &self.text);
        let lost = self.ends.iter().filter(|end| **end > written).count();
        self.torn = match written {
            0 => self.torn,
            _ => self.text.get(written - 1) != Some(&b'\n'),
        };
        self.text.clear();
        self.ends.clear();
        self.state.lost.fetch_add(lost as u64, Relaxed);
        let was_broken = std::mem::replace(&mut self.broken, failed.is_some());
        if let Some(error) = failed
            && !was_broken
        {
            self.target.tell(&Trouble::Unwritable(error));
        }
    }

    fn tell_lost(&mut self) {
        let lost = self.state.lost.load(Relaxed);
        if !self.broken && lost > self.told {
            self.target.tell(&Trouble::Lost(lost - self.told));
            self.told = lost;
        }
    }
}

/// How much was written, and why not all.
fn put_all(to: &mut dyn Write, text: &[u8]) -> (usize, Option<io::Error>) {
    let mut written = 0;
    while let Some(rest) = text.get(written..).filter(|rest| !rest.is_empty()) {
        match to.write(rest) {
            Ok(0) => return (written, Some(io::ErrorKind::WriteZero.into())),
            Ok(count) => written += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => sleep(PATIENCE),
            Err(error) => return (written, Some(error)),
        }
    }
    (written, to.flush().err())
}

#[cfg(test)]
mod tests {
    use std::{
        io::{PipeReader, Read, pipe},
        sync::mpsc,
    };

    use super::*;

    struct Text(String);

    impl Line for Text {
        fn size(&self) -> usize {
            self.0.len()
        }

        fn put(&self, to: &mut Vec<u8>) {
            to.extend(self.0.bytes());
        }
    }

    /// Hands out what it was made of, and what it was told.
    struct Handed<W> {
        to: Mutex<Option<W>>,
        told: mpsc::Sender<String>,
    }

    impl<W: Write + Send + 'static> Target for Handed<W> {
        fn open(&self) -> io::Result<Box<dyn Write + Send>> {
            let to = self.to.lock().unwrap().take();
            to.map(|w| Box::new(w) as Box<dyn Write + Send>)
                .ok_or_else(|| io::Error::other("once"))
        }

        fn tell(&self, trouble: &Trouble) {
            let _ = self.told.send(format!("{trouble:?}"));
        }
    }

    fn lines(
        to: impl Write + Send + 'static,
        limit: usize,
    ) -> (Lines<Text>, mpsc::Receiver<String>) {
        let (told, hears) = mpsc::channel();
        let to = Mutex::new(Some(to));
        (Lines::open("t", limit, Handed { to, told }).unwrap(), hears)
    }

    fn number(n: usize) -> Text {
        Text(format!("{n:099}\n"))
    }

    fn read_all(mut from: PipeReader) -> Vec<usize> {
        let mut text = String::new();
        from.read_to_string(&mut text).unwrap();
        text.lines().map(|line| line.parse().unwrap()).collect()
    }

    #[test]
    fn a_reader_that_stands_still_costs_lines_and_never_time() {
        let (from, to) = pipe().unwrap();
        let (lines, hears) = lines(to, 100 << 10);
        // Were one of these waited for, it would be for ever.
        (0..5000).for_each(|n| lines.push(number(n)));
        let lost = lines.lost();
        // In the pipe, in the thread's hands and in the queue there is room for about 230 KiB.
        assert!(lost >= 1000, "{lost}");
        let reader = std::thread::spawn(move || read_all(from));
        assert_eq!(
            hears.recv().unwrap(),
            format!("{:?}", Trouble::Lost(lost)),
            "told once it reads again"
        );
        lines.push(number(9999));
        lines.close();
        drop(lines);
        let read = reader.join().unwrap();
        assert!(read.is_sorted(), "in their order");
        assert_eq!(read.len() as u64, 5001 - lost);
        assert_eq!(read.last(), Some(&9999));
    }

    #[test]
    fn the_end_does_not_wait_for_a_reader_for_ever() {
        let (from, to) = pipe().unwrap();
        let (lines, _hears) = lines(to, 1 << 20);
        (0..3000).for_each(|n| lines.push(number(n)));
        lines.close();
        lines.push(number(0));
        drop(from);
    }

    #[test]
    fn what_waits_at_the_end_is_written() {
        let (from, to) = pipe().unwrap();
        let (lines, _hears) = lines(to, 1 << 20);
        let reader = std::thread::spawn(move || read_all(from));
        (0..3000).for_each(|n| lines.push(number(n)));
        lines.close();
        assert_eq!(lines.lost(), 0);
        assert_eq!(reader.join().unwrap(), Vec::from_iter(0..3000));
    }

    #[test]
    fn a_line_beyond_the_limit_goes_in_where_nothing_waits() {
        let (from, to) = pipe().unwrap();
        let (lines, _hears) = lines(to, 10);
        lines.push(number(1));
        lines.close();
        assert_eq!((read_all(from), lines.lost()), (vec![1], 0));
    }

    /// A disk that is full in the midst of a line, and has room later.
    #[test]
    fn the_end_of_a_torn_line_is_made_up_for() {
        struct Full(PipeWriter, usize);
        use std::io::PipeWriter;
        impl Write for Full {
            fn write(&mut self, text: &[u8]) -> io::Result<usize> {
                let room = std::mem::replace(&mut self.1, usize::MAX);
                match room {
                    0 => Err(io::ErrorKind::StorageFull.into()),
                    room => {
                        self.1 = if room == usize::MAX { room } else { 0 };
                        self.0.write(&text[..text.len().min(room)])
                    }
                }
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let (mut from, to) = pipe().unwrap();
        let (lines, hears) = lines(Full(to, 2), 1 << 20);
        lines.push(Text("one\n".to_owned()));
        assert!(hears.recv().unwrap().starts_with("Unwritable"));
        lines.push(Text("two\n".to_owned()));
        assert_eq!(hears.recv().unwrap(), "Lost(1)");
        lines.close();
        drop(lines);
        let mut text = String::new();
        from.read_to_string(&mut text).unwrap();
        assert_eq!(text, "on\ntwo\n");
    }
}
