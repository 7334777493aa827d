//! The handle on a service: opening, clients and servers, statistics.

use super::asking::Asking;
use super::client::Client;
use super::layout::{
    body_size, Channel, Control, Parts, State, Word, DEPTH, LAYOUT, LONGEST, MAX_CLIENTS, MAX_REPLY,
    MAX_REQUEST, MOST,
};
use super::memory::{Mapped, Side};
use super::protocol::{bury, claim, give_up, owner, owner_word, servers, taken_by, Memory, Place};
use super::server::Server;
use crate::error::{Error, Result};
use crate::lease::Participant;
use crate::monitor::Holder;
use crate::owner::{ask, Heir};
use crate::segment::{Backing, Format, Kind, Parameters, Segment, SegmentOptions, View};
use crate::sync::{AtomicU64, Ordering};
use crate::wait::WaitStrategy;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::Arc;

pub(crate) const FORMAT: Format = Format {
    kind: Kind::Service,
    layout: LAYOUT,
    body_size,
    round: |parameters, _| parameters,
    names: &["max_request", "max_reply", "max_clients", "depth"],
};
/// Who of the participants in these slots is a server, and who has how many clients.
pub(crate) fn roles(view: &View, slots: &[u32]) -> Result<Vec<Holder>> {
    // The header was checked: it has parts.
    let parts = Parts::of(view.options(), view.participants(), view.page());
    let Some(parts) = parts else { return Ok(Vec::new()) };
    let mut found = Vec::new();
    for slot in slots {
        if view.body(size_of::<Control>() + *slot as usize * size_of::<u32>())? != [0; 4] {
            found.push(("server", *slot));
        }
    }
    for channel in 0..view.options()[MAX_CLIENTS] as usize {
        let owner = view.body(parts.channels + channel * size_of::<Channel>())?;
        if let Some(slot) = slots.iter().find(|slot| u64::from_ne_bytes(owner) == owner_word(**slot)) {
            found.push(("client", *slot));
        }
    }
    Ok(found)
}

const DEFAULT_SIZE: u64 = 1024;
const DEFAULT_CLIENTS: u64 = 32;
const DEFAULT_DEPTH: u64 = 16;

/// Options of a service. Start from the defaults: `ServiceOptions { max_reply: 4096, ..Default::default() }`. A service that
/// exists must have the same, but for those that are 0.
///
/// ```
/// let options = ipcx::ServiceOptions { max_request: 64, ..Default::default() };
/// assert_eq!(ipcx::Service::anonymous(&options)?.max_request(), options.max_request as _);
/// # Ok::<(), ipcx::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServiceOptions {
    /// Largest request in bytes, at most 1 GiB; 0 means 1024.
    pub max_request: u64,
    /// Largest reply in bytes, at most 1 GiB; 0 means 1024. The text of a refusal is cut to it.
    pub max_reply: u64,
    /// Most clients at once, at most 1024; 0 means 32.
    pub max_clients: u64,
    /// Most requests that a client can have open, at most 1024, rounded up to a power of two; 0 means 16.
    pub depth: u64,
    /// What every kind of segment has.
    pub segment: SegmentOptions,
}

impl ServiceOptions {
    fn parameters(&self) -> Result<Parameters> {
        if self.segment.backing != Backing::Directory {
            return Err(Error::invalid("System V shared memory is for the blocks of pools"));
        }
        let mut parameters = Parameters::default();
        let all = [
            (MAX_REQUEST, self.max_request, DEFAULT_SIZE, LONGEST),
            (MAX_REPLY, self.max_reply, DEFAULT_SIZE, LONGEST),
            (MAX_CLIENTS, self.max_clients, DEFAULT_CLIENTS, MOST),
            (DEPTH, self.depth, DEFAULT_DEPTH, MOST),
        ];
        for (index, asked, default, most) in all {
            if asked > most {
                let name = FORMAT.names[index];
                return Err(Error::invalid(format!(
                    "the {name} of a service is at most {most}; {asked} was asked for"
                )));
            }
            parameters[index] = if asked == 0 { default } else { asked };
        }
        parameters[DEPTH] = parameters[DEPTH].next_power_of_two();
        Ok(parameters)
    }

    /// What a service that exists must have; 0 stands for anything.
    fn wanted(&self) -> Result<Parameters> {
        let mut parameters = self.parameters()?;
        for (index, asked) in
            [self.max_request, self.max_reply, self.max_clients, self.depth].into_iter().enumerate()
        {
            if asked == 0 {
                parameters[index] = 0;
            }
        }
        Ok(parameters)
    }
}

/// Clients call, servers answer: requests and replies in shared memory.
///
/// Any number of clients and servers, over all processes. A server takes whatever request comes next: of each client one in turn,
/// and of one client in its order. *A request is executed at most once.* If the server that has taken it dies, its client is told
/// so ([`Error::PeerDead`]), and decides itself whether to ask again; one that was not taken waits for the other servers. A server
/// never waits for a client: the room for the reply is there before the request is.
///
/// The handle may be shared between threads. It takes a participant's slot of the segment, and each server another. Dropping it
/// does not remove the name ([`unlink`](crate::unlink) does), and clients and servers taken from it go on working.
///
/// ```
/// # fn main() -> ipcx::Result<()> {
/// # let name = format!("doc-service-{}", std::process::id());
/// let service = ipcx::Service::create(&name, &ipcx::ServiceOptions::default())?;
/// let mut server = service.server()?;
/// let answering = std::thread::spawn(move || {
///     let request = server.recv()?;
///     let text = request.to_vec();
///     request.reply(&[&text[..], b", world"].concat())
/// });
/// assert_eq!(service.client()?.call(b"hello")?, b"hello, world");
/// answering.join().expect("no panic")?;
/// # ipcx::unlink(&name)
/// # }
/// ```
#[derive(Debug)]
pub struct Service {
    core: Arc<Core>,
}

/// What a participant has that asks.
#[derive(Debug)]
pub(super) struct Core {
    pub(super) memory: Mapped,
    pub(super) segment: Arc<Segment>,
    /// When it was last asked whether servers live; 0 before.
    asked: AtomicU64,
}

impl Core {
    /// Buries servers that died, unless it asked within the last slice.
    pub(super) fn ask_for_servers(&self, now: u64) -> Result<()> {
        ask(self, now, servers(&self.memory)).map(drop)
    }
}

impl Heir for Core {
    fn segment(&self) -> &Segment {
        &self.segment
    }

    fn asked(&self) -> &AtomicU64 {
        &self.asked
    }

    fn bury(&self, slot: u32) {
        bury(&self.memory, slot);
    }
}

impl Service {
    fn of(segment: Segment) -> Result<Service> {
        let memory = Mapped::new(&segment, Side::Client)?;
        segment.leases().succeed(|slot| bury(&memory, slot));
        Ok(Service { core: Arc::new(Core { memory, segment: Arc::new(segment), asked: AtomicU64::new(0) }) })
    }

    /// Creates a service that must be new.
    ///
    /// ```
    /// # let name = format!("doc-service-create-{}", std::process::id());
    /// let options = ipcx::ServiceOptions { max_request: 64, ..Default::default() };
    /// let service = ipcx::Service::create(&name, &options)?;
    /// assert!(matches!(ipcx::Service::create(&name, &options), Err(ipcx::Error::Exists(_))));
    /// ipcx::unlink(&name)?;
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// `Exists`, `NoSpace`, `Permission`, `Invalid`, `NotFound` if the directory is missing, `Os`.
    pub fn create(name: &str, options: &ServiceOptions) -> Result<Service> {
        let parameters = options.parameters()?;
        Segment::create(name, &options.segment, FORMAT, parameters, &mut |_| Ok(())).and_then(Service::of)
    }

    /// Attaches to a service, or creates it if there is none.
    ///
    /// ```
    /// # let name = format!("doc-service-open-{}", std::process::id());
    /// let options = ipcx::ServiceOptions { max_request: 64, ..Default::default() };
    /// let first = ipcx::Service::open(&name, &options)?; // makes it
    /// let second = ipcx::Service::open(&name, &options)?; // attaches, as another process would
    /// assert_eq!(first.max_request(), second.max_request());
    /// ipcx::unlink(&name)?;
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`Service::create`] (less `Exists`) and of [`Service::attach_with`].
    pub fn open(name: &str, options: &ServiceOptions) -> Result<Service> {
        let (parameters, wanted) = (options.parameters()?, options.wanted()?);
        Segment::open(name, &options.segment, FORMAT, parameters, &wanted, &mut |_| Ok(()))
            .and_then(Service::of)
    }

    /// Attaches to a service that must exist.
    ///
    /// ```
    /// # let name = format!("doc-service-attach-{}", std::process::id());
    /// assert!(matches!(ipcx::Service::attach(&name), Err(ipcx::Error::NotFound(_))));
    /// let made = ipcx::Service::create(&name, &Default::default())?;
    /// assert_eq!(ipcx::Service::attach(&name)?.max_request(), made.max_request());
    /// ipcx::unlink(&name)?;
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// `NotFound`, `Mismatch` if it is of another kind, `Version`, `Corrupt`, `Permission`, `NoSpace` if all participant
    /// slots are taken, `Invalid`, `Os`.
    pub fn attach(name: &str) -> Result<Service> {
        Service::attach_with(name, &ServiceOptions::default())
    }

    /// As [`Service::attach`], in the directory that the options name, and only if the service agrees with what else they give.
    ///
    /// ```
    /// # let name = format!("doc-service-attach-with-{}", std::process::id());
    /// let made = ipcx::Service::create(&name, &ipcx::ServiceOptions { max_request: 64, ..Default::default() })?;
    /// let other = ipcx::ServiceOptions { max_request: 128, ..Default::default() };
    /// assert!(matches!(ipcx::Service::attach_with(&name, &other), Err(ipcx::Error::Mismatch(_))));
    /// ipcx::unlink(&name)?;
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`Service::attach`], and `Mismatch`.
    pub fn attach_with(name: &str, options: &ServiceOptions) -> Result<Service> {
        Segment::attach(name, &options.segment, FORMAT, &options.wanted()?).and_then(Service::of)
    }

    /// Creates a service without a name, in a memfd sealed against resizing. Hand [`Service::share_fd`] to another process,
    /// by inheritance or `SCM_RIGHTS`, which attaches with [`Service::from_fd`].
    ///
    /// ```
    /// let service = ipcx::Service::anonymous(&Default::default())?;
    /// assert_eq!(service.name(), "anonymous");
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// `NoSpace`, `Invalid`, `Os`.
    pub fn anonymous(options: &ServiceOptions) -> Result<Service> {
        Segment::anonymous(&options.segment, FORMAT, options.parameters()?).and_then(Service::of)
    }

    /// Attaches to the service behind a descriptor, which stays the caller's. The file is sealed against resizing, as that of an
    /// anonymous service, or belongs to somebody from whom [`Service::attach`] would take it.
    ///
    /// ```
    /// use std::os::fd::AsFd;
    /// let ours = ipcx::Service::anonymous(&Default::default())?;
    /// let fd = ours.share_fd()?; // for another process, which has it by inheritance or SCM_RIGHTS
    /// let theirs = ipcx::Service::from_fd(fd.as_fd())?;
    /// assert_eq!(theirs.max_request(), ours.max_request());
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`Service::attach`].
    pub fn from_fd(fd: BorrowedFd<'_>) -> Result<Service> {
        Segment::from_fd(fd, &SegmentOptions::default(), FORMAT).and_then(Service::of)
    }

    /// A new descriptor of the service to hand to another process; closed on exec until you say otherwise. It keeps the
    /// memory, but no participant's slot.
    ///
    /// ```
    /// use std::os::fd::AsFd;
    /// let ours = ipcx::Service::anonymous(&Default::default())?;
    /// let theirs = {
    ///     let fd = ours.share_fd()?;
    ///     ipcx::Service::from_fd(fd.as_fd())? // the descriptor may be closed afterwards
    /// };
    /// assert_eq!(theirs.max_request(), ours.max_request());
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// `Forked`, `Os`.
    pub fn share_fd(&self) -> Result<OwnedFd> {
        self.core.segment.share_fd()
    }

    /// A server. There may be any number, over all processes; each is a participant of its own, beside this handle.
    ///
    /// ```
    /// let service = ipcx::Service::anonymous(&Default::default())?;
    /// let (_one, _two) = (service.server()?, service.server()?); // any number
    /// assert_eq!(service.stats()?.servers.len(), 2);
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// `NoSpace` if all participant slots are taken, `Forked`, `Os`.
    pub fn server(&self) -> Result<Server> {
        let segment = self.core.segment.again()?;
        let memory = Mapped::new(&segment, Side::Server)?;
        segment.leases().succeed(|slot| bury(&memory, slot));
        Ok(Server::begin(memory, segment))
    }

    /// A client. There may be as many as the service has room for, over all processes, also several of one handle. What a client
    /// before asked that died, and no server has taken, is not executed any more.
    ///
    /// ```
    /// let service = ipcx::Service::anonymous(&ipcx::ServiceOptions { max_clients: 1, ..Default::default() })?;
    /// let client = service.client()?;
    /// assert!(matches!(service.client(), Err(ipcx::Error::NoSpace(_))));
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// `NoSpace` if there are as many as there can be, `Forked`, `Corrupt`, `Os`.
    pub fn client(&self) -> Result<Client> {
        let Core { memory, segment, .. } = &*self.core;
        segment.check_not_inherited()?;
        let slot = segment.leases().slot();
        let channel = match claim(memory, slot) {
            Some(channel) => channel,
            None => self.claim_of_the_dead()?,
        };
        match Asking::take_over(memory.clone(), channel) {
            Ok(asking) => Ok(Client::of(asking, &self.core)),
            Err(corruption) => {
                give_up(memory, channel);
                Err(super::corrupt(segment, corruption))
            }
        }
    }

    /// A place that a dead client had, or of one that another buries at this moment.
    #[cold]
    fn claim_of_the_dead(&self) -> Result<u32> {
        let Core { memory, segment, .. } = &*self.core;
        let found = segment.leases().with_patience(|| {
            self.bury_the_dead()?;
            Ok(claim(memory, segment.leases().slot()))
        });
        found?.ok_or_else(|| self.no_room())
    }

    fn bury_the_dead(&self) -> Result<()> {
        let Core { memory, segment, .. } = &*self.core;
        let leases = segment.leases();
        leases.each_dead(&leases.turn(), |dead| {
            (0..memory.participants()).filter(|slot| dead.has(*slot)).for_each(|slot| bury(memory, slot));
        })
    }

    fn no_room(&self) -> Error {
        let most = self.core.memory.channels();
        Error::NoSpace(self.core.segment.context(format!(
            "all {most} clients' places are held by living processes; close one, or create the service with larger max_clients"
        )))
    }

    /// Name, or `anonymous`.
    pub fn name(&self) -> &str {
        self.core.segment.name()
    }

    /// Largest request in bytes.
    pub fn max_request(&self) -> u64 {
        self.core.segment.parameters()[MAX_REQUEST]
    }

    /// Largest reply in bytes.
    pub fn max_reply(&self) -> u64 {
        self.core.segment.parameters()[MAX_REPLY]
    }

    /// Most clients at once.
    pub fn max_clients(&self) -> u64 {
        self.core.segment.parameters()[MAX_CLIENTS]
    }

    /// Most requests that a client can have open.
    pub fn depth(&self) -> u64 {
        self.core.segment.parameters()[DEPTH]
    }

    /// The schema label it was created with.
    pub fn schema(&self) -> Option<&str> {
        self.core.segment.schema()
    }

    /// How calls on it wait.
    pub fn wait_strategy(&self) -> WaitStrategy {
        self.core.segment.wait_strategy()
    }

    /// What can be seen from outside, without stopping anybody.
    ///
    /// ```
    /// let service = ipcx::Service::anonymous(&Default::default())?;
    /// let mut client = service.client()?;
    /// client.send(b"hello")?;
    /// assert_eq!(service.stats()?.clients[0].waiting, 1);
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// `Forked`, `Os`.
    pub fn stats(&self) -> Result<ServiceStats> {
        let Core { memory, segment, .. } = &*self.core;
        segment.check_not_inherited()?;
        let leases = segment.leases();
        let server = |slot| {
            let taken = taken_by(memory, slot).count() as u64;
            Ok(ServiceServer { process: leases.participant(slot), alive: leases.is_alive(slot)?, taken })
        };
        let clients = (0..memory.channels()).filter_map(|channel| {
            let slot = owner(memory, channel).filter(|slot| *slot < memory.participants())?;
            Some(self.client_of(channel, slot))
        });
        Ok(ServiceStats {
            max_request: self.max_request(),
            max_reply: self.max_reply(),
            servers: servers(memory).map(server).collect::<Result<_>>()?,
            clients: clients.collect::<Result<_>>()?,
        })
    }

    fn client_of(&self, channel: u32, slot: u32) -> Result<ServiceClient> {
        let Core { memory, segment, .. } = &*self.core;
        let state = |cell| {
            let word = &memory.request(Place { channel, cell }).word;
            Word(word.load(Ordering::Relaxed)).state() // Relaxed: for display.
        };
        let count =
            |is: fn(State) -> bool| (0..memory.depth()).filter(|cell| is(state(*cell))).count() as u64;
        Ok(ServiceClient {
            process: segment.leases().participant(slot),
            alive: segment.leases().is_alive(slot)?,
            waiting: count(|state| state == State::Requested),
            taken: count(|state| matches!(state, State::Taken(_))),
        })
    }
}

/// Figures of a service.
///
/// ```
/// let service = ipcx::Service::anonymous(&Default::default())?;
/// let (server, client) = (service.server()?, service.client()?);
/// let stats = service.stats()?;
/// assert_eq!((stats.max_request, stats.servers.len(), stats.clients.len()), (1024, 1, 1));
/// # Ok::<(), ipcx::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServiceStats {
    /// Bytes of the largest request.
    pub max_request: u64,
    /// Bytes of the largest reply.
    pub max_reply: u64,
    /// Its servers.
    pub servers: Vec<ServiceServer>,
    /// Its clients.
    pub clients: Vec<ServiceClient>,
}

/// A server, as seen from outside.
///
/// ```
/// let service = ipcx::Service::anonymous(&Default::default())?;
/// let (mut server, mut client) = (service.server()?, service.client()?);
/// client.send(b"hello")?;
/// let request = server.recv()?;
/// let seen = &service.stats()?.servers[0];
/// assert!(seen.alive && seen.taken == 1);
/// request.reply(b"hello to you")?;
/// # Ok::<(), ipcx::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServiceServer {
    /// The process, if it says which it is.
    pub process: Option<Participant>,
    /// False if it died; then a client that waits tells so.
    pub alive: bool,
    /// Requests that it has taken and not answered.
    pub taken: u64,
}

/// A client, as seen from outside.
///
/// ```
/// let service = ipcx::Service::anonymous(&Default::default())?;
/// let mut client = service.client()?;
/// client.send(b"hello")?;
/// let seen = &service.stats()?.clients[0];
/// assert!(seen.alive && seen.waiting == 1 && seen.taken == 0);
/// # Ok::<(), ipcx::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServiceClient {
    /// The process, if it says which it is.
    pub process: Option<Participant>,
    /// False if it died; then its place is had by the next client that finds no other.
    pub alive: bool,
    /// Requests that no server has taken.
    pub waiting: u64,
    /// Requests that a server has taken, and those whose reply the client has not received.
    pub taken: u64,
}
