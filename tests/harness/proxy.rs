//! A proxy of plain HTTP before any store, whose faults a test scripts: by [`Rule`]s, each a request and what goes wrong with it.
//!
//! What no rule strikes is passed on as it came, Host and all, since clients sign that; each request is noted as it arrives. A rule that
//! has not struck as often as it says fails its test, as a fake's script does that is not used up.

mod fault;
mod http;

use std::io::{self, BufReader};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

pub(crate) use fault::{Fault, Rule};
use http::{Head, Passing};

use super::wait_for;

/// A request as it arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) method: String,
    /// With the bucket, as it was sent: encoded.
    pub(crate) path: String,
    /// What is behind the `?`, or nothing.
    pub(crate) query: String,
    /// What the client was answered. None if it was not, or has not been yet.
    pub(crate) status: Option<u16>,
}

/// A proxy that runs until it is dropped.
pub(crate) struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    listener: Mutex<Option<JoinHandle<()>>>,
}

struct Shared {
    /// `address:port` of the store.
    store: String,
    rules: Mutex<Vec<Rule>>,
    seen: Mutex<Vec<Seen>>,
    /// The clients that are connected. None while the proxy is down.
    clients: Mutex<Option<Vec<(SocketAddr, TcpStream)>>>,
    /// Counts what [`Proxy::release`] was called; a request that is held goes on when this grows.
    releases: AtomicU64,
}

impl Proxy {
    /// Starts one before a store. It answers when this returns.
    pub(crate) fn before(endpoint: &str) -> Self {
        let store = endpoint.strip_prefix("http://").expect("a store without TLS").to_owned();
        let shared = Shared {
            store,
            rules: Mutex::default(),
            seen: Mutex::default(),
            clients: Mutex::default(),
            releases: AtomicU64::default(),
        };
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let proxy = Self { address, shared: Arc::new(shared), listener: Mutex::default() };
        proxy.listen(listener);
        proxy
    }

    /// `http://address:port`.
    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Adds a rule behind those that are there; the first that fits a request and has strikes left strikes.
    pub(crate) fn add(&self, rule: Rule) {
        lock(&self.shared.rules).push(rule);
    }

    /// Takes all rules away, used up or not.
    pub(crate) fn clear(&self) {
        lock(&self.shared.rules).clear();
    }

    /// Every request so far, in the order of arrival.
    pub(crate) fn requests(&self) -> Vec<Seen> {
        lock(&self.shared.seen).clone()
    }

    /// Waits until a request of this method has arrived with these pieces in its path and query, and gives the first such.
    pub(crate) fn arrived(&self, method: &str, path: &str, query: &str) -> Seen {
        let fits = |seen: &Seen| seen.method == method && seen.path.contains(path) && seen.query.contains(query);
        let what = format!("{method} …{path}… with …{query}…");
        wait_for(&what, || lock(&self.shared.seen).iter().find(|seen| fits(seen)).cloned())
    }

    /// How many clients are connected.
    pub(crate) fn connections(&self) -> usize {
        lock(&self.shared.clients).as_ref().map_or(0, Vec::len)
    }

    /// Lets every request go on that has arrived by now.
    pub(crate) fn release(&self) {
        self.shared.releases.fetch_add(1, Ordering::SeqCst);
    }

    /// Closes every connection, and refuses new ones.
    pub(crate) fn down(&self) {
        let Some(clients) = lock(&self.shared.clients).take() else { return };
        for (_, client) in clients {
            // It may have gone already.
            let _ = client.shutdown(Shutdown::Both);
        }
        // The listener looks whether it is to go on when somebody comes.
        drop(TcpStream::connect(self.address));
        let listener = lock(&self.listener).take();
        listener.map(JoinHandle::join).transpose().expect("the proxy's listener");
    }

    /// Is there again, at the same address.
    pub(crate) fn up(&self) {
        self.listen(TcpListener::bind(self.address).unwrap());
    }

    fn listen(&self, listener: TcpListener) {
        *lock(&self.shared.clients) = Some(Vec::new());
        let shared = Arc::clone(&self.shared);
        let accept = move || {
            loop {
                let (client, address) = listener.accept().unwrap();
                match lock(&shared.clients).as_mut() {
                    Some(clients) => clients.push((address, client.try_clone().unwrap())),
                    None => return,
                }
                let shared = Arc::clone(&shared);
                std::thread::spawn(move || {
                    // Its errors are clients that leave, and faults that were asked for.
                    let _ = shared.serve(&client);
                    let _ = client.shutdown(Shutdown::Both);
                    lock(&shared.clients).iter_mut().for_each(|clients| clients.retain(|(other, _)| *other != address));
                });
            }
        };
        *lock(&self.listener) = Some(std::thread::Builder::new().name("proxy".to_owned()).spawn(accept).unwrap());
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.down();
        if !std::thread::panicking() {
            let left: Vec<_> =
                lock(&self.shared.rules).iter().filter(|rule| rule.is_left()).map(Rule::to_string).collect();
            assert!(left.is_empty(), "no such request came, or not as often: {}", left.join("; "));
        }
    }
}

impl Shared {
    /// Answers one client's requests, until it leaves or a fault is to close its connection.
    fn serve(&self, client: &TcpStream) -> io::Result<()> {
        client.set_nodelay(true)?;
        let mut from = BufReader::new(client);
        while let Some(mut head) = Head::read(&mut from)? {
            // What is released from here on goes on, though it may not have come to where it is held.
            let releases = self.releases.load(Ordering::SeqCst);
            let (number, fault) = self.note(&head);
            if head.get("expect").is_some_and(|wish| wish.eq_ignore_ascii_case("100-continue")) {
                http::write(client, b"HTTP/1.1 100 Continue\r\n\r\n")?;
                head.remove("expect");
            }
            if let Some(Fault::CutRequest(bytes)) = fault {
                return http::skip(&mut from, bytes);
            }
            let framing = head.framing();
            let body = http::read_body(&mut from, framing)?;
            if let Some((status, headers, body)) = fault.as_ref().and_then(|fault| fault.answer(&head)) {
                self.answered(number, status);
                http::answer(client, head.method() == "HEAD", status, &headers, body.as_bytes())?;
                continue;
            }
            if let Some(Fault::HoldRequest) = fault {
                self.hold(client, releases)?;
            }
            let store = TcpStream::connect(&self.store)?;
            store.set_nodelay(true)?;
            let goes_on = !head.get("connection").is_some_and(|wish| wish.eq_ignore_ascii_case("close"));
            head.set("connection", "close");
            http::send(&store, &head, &body, framing)?;
            let mut from_store = BufReader::new(&store);
            let mut answer = Head::read_final(&mut from_store)?;
            match &fault {
                Some(Fault::LoseAnswer) => {
                    // All of it, so that the store has done what was asked for.
                    return io::copy(&mut from_store, &mut io::sink()).map(drop);
                }
                Some(Fault::HoldAnswer) => self.hold(client, releases)?,
                Some(Fault::ETag(other)) => answer.set("etag", &format!("\"{other}\"")),
                _ => (),
            }
            answer.remove("connection");
            self.answered(number, answer.status());
            let mut passing = Passing::new(client, fault.as_ref());
            let is_whole = passing.all(&answer, &mut from_store, head.method() == "HEAD")?;
            if !is_whole || !goes_on {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Notes a request; gives its number, and what strikes it.
    fn note(&self, head: &Head) -> (usize, Option<Fault>) {
        let (path, query) = head.target();
        let seen = Seen { method: head.method().to_owned(), path, query, status: None };
        let fault = lock(&self.rules).iter_mut().find_map(|rule| rule.strikes(&seen));
        let mut all = lock(&self.seen);
        all.push(seen);
        (all.len() - 1, fault)
    }

    fn answered(&self, number: usize, status: u16) {
        if let Some(seen) = lock(&self.seen).get_mut(number) {
            seen.status = Some(status);
        }
    }

    /// Waits for a release after so many, or for the client to leave.
    fn hold(&self, client: &TcpStream, releases: u64) -> io::Result<()> {
        client.set_read_timeout(Some(Duration::from_millis(5)))?;
        while self.releases.load(Ordering::SeqCst) == releases {
            match client.peek(&mut [0]) {
                Ok(0) => return Err(io::ErrorKind::ConnectionAborted.into()),
                Ok(_) => std::thread::yield_now(),
                Err(why) if matches!(why.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => (),
                Err(why) => return Err(why),
            }
        }
        client.set_read_timeout(None)
    }
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}
