//! The handle on a service, and its figures.

use crate::client::Client;
use crate::payload::unsigned;
use crate::producer::descriptor;
use crate::segment::{strategy, Handle, Participant};
use crate::server::Server;
use ipcx::{SegmentOptions, ServiceOptions};
use pyo3::prelude::*;
use std::os::fd::BorrowedFd;
use std::path::PathBuf;

/// Clients call, any number of servers answer, and a request is carried out
/// at most once.
///
///     @ipcx.serve("shout")
///     def answer(request):
///         return request.upper()
///
///     answer.run()
///
///     # In another process:
///     with ipcx.Service.open("shout") as service:
///         client = service.client()
///         client.call(b"hello", timeout=0.5)
///
/// Requests and replies are bytes, of at most max_request and max_reply (by
/// default 1024). A request that a server has taken is nobody else's: if
/// that server dies, its client is told so by PeerDead. One that was not
/// taken waits for the other servers. There are at most max_clients clients
/// at once (32), each with up to depth requests open (16).
///
/// Service.open(name) makes a service or attaches to the one that exists;
/// the other ways are Service.create, Service.attach, Service.anonymous and
/// Service.from_fd. The handle may be used by several threads; clients and
/// servers belong to one thread at a time. Closing the handle does not
/// remove the name (ipcx.unlink does), and clients and servers taken from
/// it go on working.
#[pyclass(frozen, weakref, module = "ipcx")]
pub(crate) struct Service {
    handle: Handle<ipcx::Service>,
    sizes: Sizes,
}

/// What a service is made with.
#[derive(Clone, Copy)]
struct Sizes {
    max_request: u64,
    max_reply: u64,
    max_clients: u64,
    depth: u64,
}

impl Sizes {
    fn options(self, segment: SegmentOptions) -> ServiceOptions {
        let Sizes { max_request, max_reply, max_clients, depth } = self;
        ServiceOptions { max_request, max_reply, max_clients, depth, segment }
    }
}

impl Service {
    fn make(
        py: Python<'_>,
        name: &str,
        options: &ServiceOptions,
        make: impl FnOnce() -> ipcx::Result<ipcx::Service> + Send,
    ) -> PyResult<Service> {
        let handle = Handle::open(py, name, options.segment.directory.as_deref(), make)?;
        let core = handle.get()?;
        let sizes = Sizes {
            max_request: core.max_request(),
            max_reply: core.max_reply(),
            max_clients: core.max_clients(),
            depth: core.depth(),
        };
        Ok(Service { handle, sizes })
    }
}

#[pymethods]
impl Service {
    /// Create a service that must be new.
    #[staticmethod]
    #[pyo3(signature = (name, *, max_request=0, max_reply=0, max_clients=0, depth=0, mode=0, max_participants=0, directory=None, schema=None, wait="balanced", group=None))]
    #[allow(clippy::too_many_arguments, reason = "keywords in Python")]
    fn create(
        py: Python<'_>,
        name: &str,
        #[pyo3(from_py_with = unsigned)] max_request: u64,
        #[pyo3(from_py_with = unsigned)] max_reply: u64,
        #[pyo3(from_py_with = unsigned)] max_clients: u64,
        #[pyo3(from_py_with = unsigned)] depth: u64,
        mode: u32,
        max_participants: u32,
        directory: Option<PathBuf>,
        schema: Option<String>,
        wait: &str,
        group: Option<u32>,
    ) -> PyResult<Service> {
        let wait = strategy(wait)?;
        let segment =
            SegmentOptions { mode, group, max_participants, directory, schema, wait, ..Default::default() };
        let options = Sizes { max_request, max_reply, max_clients, depth }.options(segment);
        Service::make(py, name, &options, || ipcx::Service::create(name, &options))
    }

    /// Attach to a service, or create it if there is none.
    #[staticmethod]
    #[pyo3(signature = (name, *, max_request=0, max_reply=0, max_clients=0, depth=0, mode=0, max_participants=0, directory=None, schema=None, wait="balanced", group=None))]
    #[allow(clippy::too_many_arguments, reason = "keywords in Python")]
    fn open(
        py: Python<'_>,
        name: &str,
        #[pyo3(from_py_with = unsigned)] max_request: u64,
        #[pyo3(from_py_with = unsigned)] max_reply: u64,
        #[pyo3(from_py_with = unsigned)] max_clients: u64,
        #[pyo3(from_py_with = unsigned)] depth: u64,
        mode: u32,
        max_participants: u32,
        directory: Option<PathBuf>,
        schema: Option<String>,
        wait: &str,
        group: Option<u32>,
    ) -> PyResult<Service> {
        let wait = strategy(wait)?;
        let segment =
            SegmentOptions { mode, group, max_participants, directory, schema, wait, ..Default::default() };
        let options = Sizes { max_request, max_reply, max_clients, depth }.options(segment);
        Service::make(py, name, &options, || ipcx::Service::open(name, &options))
    }

    /// Attach to a service that must exist, and agree with what is given.
    #[staticmethod]
    #[pyo3(signature = (name, *, directory=None, schema=None, max_request=0, max_reply=0, max_clients=0, depth=0))]
    #[allow(clippy::too_many_arguments, reason = "keywords in Python")]
    fn attach(
        py: Python<'_>,
        name: &str,
        directory: Option<PathBuf>,
        schema: Option<String>,
        #[pyo3(from_py_with = unsigned)] max_request: u64,
        #[pyo3(from_py_with = unsigned)] max_reply: u64,
        #[pyo3(from_py_with = unsigned)] max_clients: u64,
        #[pyo3(from_py_with = unsigned)] depth: u64,
    ) -> PyResult<Service> {
        let segment = SegmentOptions { directory, schema, ..Default::default() };
        let options = Sizes { max_request, max_reply, max_clients, depth }.options(segment);
        Service::make(py, name, &options, || ipcx::Service::attach_with(name, &options))
    }

    /// Create a service without a name, in memory sealed against resizing.
    /// Hand share_fd() to another process.
    #[staticmethod]
    #[pyo3(signature = (*, max_request=0, max_reply=0, max_clients=0, depth=0, max_participants=0, schema=None, wait="balanced"))]
    #[allow(clippy::too_many_arguments, reason = "keywords in Python")]
    fn anonymous(
        py: Python<'_>,
        #[pyo3(from_py_with = unsigned)] max_request: u64,
        #[pyo3(from_py_with = unsigned)] max_reply: u64,
        #[pyo3(from_py_with = unsigned)] max_clients: u64,
        #[pyo3(from_py_with = unsigned)] depth: u64,
        max_participants: u32,
        schema: Option<String>,
        wait: &str,
    ) -> PyResult<Service> {
        let wait = strategy(wait)?;
        let segment = SegmentOptions { max_participants, schema, wait, ..Default::default() };
        let options = Sizes { max_request, max_reply, max_clients, depth }.options(segment);
        Service::make(py, "", &options, || ipcx::Service::anonymous(&options))
    }

    /// Attach to the service behind a descriptor (or an object with
    /// fileno()), which stays yours to close.
    #[staticmethod]
    fn from_fd(py: Python<'_>, fd: &Bound<'_, PyAny>) -> PyResult<Service> {
        let fd = descriptor(fd)?;
        // SAFETY: borrowed for this call; a number that is not open is an error of the system, not undefined.
        let fd = unsafe { BorrowedFd::borrow_raw(fd) };
        Service::make(py, "", &ServiceOptions::default(), || ipcx::Service::from_fd(fd))
    }

    /// A new descriptor of the service, to hand to another process; yours
    /// to close. It is closed on exec unless you say otherwise
    /// (subprocess: pass_fds).
    fn share_fd(&self, py: Python<'_>) -> PyResult<i32> {
        self.handle.share_fd(py)
    }

    /// A server: it takes requests as they come and answers them. There
    /// may be any number at once, over all processes.
    fn server(&self, py: Python<'_>) -> PyResult<Server> {
        let server = self.handle.get()?.server().map_err(|error| self.handle.raise(py, &error))?;
        Ok(Server::new(server, &self.handle))
    }

    /// A client. There may be max_clients at once, over all processes,
    /// also several of one handle.
    fn client(&self, py: Python<'_>) -> PyResult<Client> {
        let service = self.handle.get()?;
        let client = py.detach(|| service.client()).map_err(|error| self.handle.raise(py, &error))?;
        Ok(Client::new(client, &self.handle))
    }

    /// A decorator that makes a server of a function from bytes to bytes,
    /// as ipcx.serve does: `answer.run()` serves.
    fn handler<'py>(slf: &Bound<'py, Self>, function: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let serving = slf.py().import(pyo3::intern!(slf.py(), "ipcx._serving"))?;
        serving.call_method1(pyo3::intern!(slf.py(), "of_service"), (slf, function))
    }

    /// Figures as they are now, taken without stopping anybody.
    fn stats(&self, py: Python<'_>) -> PyResult<ServiceStats> {
        let service = self.handle.get()?;
        let stats = py.detach(|| service.stats());
        stats.map(ServiceStats::from).map_err(|error| self.handle.raise(py, &error))
    }

    /// Bytes of the largest request.
    #[getter]
    fn max_request(&self) -> u64 {
        self.sizes.max_request
    }

    /// Bytes of the largest reply. The text of a refusal is cut to it.
    #[getter]
    fn max_reply(&self) -> u64 {
        self.sizes.max_reply
    }

    /// Most clients at once.
    #[getter]
    fn max_clients(&self) -> u64 {
        self.sizes.max_clients
    }

    /// Most requests that a client can have open.
    #[getter]
    fn depth(&self) -> u64 {
        self.sizes.depth
    }

    /// Name, or 'anonymous'.
    #[getter]
    fn name(&self) -> &str {
        &self.handle.name
    }

    /// The schema label it was created with.
    #[getter]
    fn schema(&self) -> Option<&str> {
        self.handle.schema.as_deref()
    }

    /// How calls on it wait: 'balanced', 'spin', 'yield' or 'block'.
    #[getter]
    fn wait(&self) -> &'static str {
        self.handle.wait()
    }

    /// Directory of its file; None if it has no name.
    #[getter]
    fn directory(&self) -> Option<&std::ffi::OsStr> {
        self.handle.directory()
    }

    /// True after close().
    #[getter]
    fn closed(&self) -> bool {
        self.handle.is_closed()
    }

    /// Let go of the handle. The name stays, and so do clients and servers
    /// taken from it. Closing again does nothing.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        self.handle.close(py)
    }

    /// For multiprocessing: the other process attaches anew, by name, or
    /// by a descriptor that travels along.
    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        slf.get().handle.reduce(slf)
    }

    fn __enter__(slf: &Bound<'_, Self>) -> PyResult<Py<Self>> {
        slf.get().handle.get()?;
        Ok(slf.clone().unbind())
    }

    #[pyo3(signature = (exc_type=None, exc_value=None, traceback=None))]
    fn __exit__(
        &self,
        py: Python<'_>,
        exc_type: Option<&Bound<'_, PyAny>>,
        exc_value: Option<&Bound<'_, PyAny>>,
        traceback: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let _ = (exc_type, exc_value, traceback);
        self.handle.close(py)
    }

    fn __repr__(&self) -> String {
        let Sizes { max_request, max_reply, .. } = self.sizes;
        self.handle.describe(&format!("requests of up to {max_request} bytes, replies of up to {max_reply}"))
    }
}

/// A server of a service, as seen from outside.
#[pyclass(frozen, get_all, eq, module = "ipcx")]
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct ServiceServer {
    /// Which process it is, if it says so.
    process: Option<Participant>,
    /// False if it died and no client has noticed yet.
    alive: bool,
    /// Requests that it has taken and not answered.
    taken: u64,
}

/// A client of a service, as seen from outside.
#[pyclass(frozen, get_all, eq, module = "ipcx")]
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct ServiceClient {
    /// Which process it is, if it says so.
    process: Option<Participant>,
    /// False if it died; then the next client that finds no other place
    /// has its.
    alive: bool,
    /// Requests that no server has taken.
    waiting: u64,
    /// Requests that a server has taken, and those whose reply it has not
    /// received.
    taken: u64,
}

/// Figures of a service. Taken without stopping anybody, so they may be
/// apart by what was in work.
#[pyclass(frozen, get_all, eq, module = "ipcx")]
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct ServiceStats {
    /// Its servers.
    servers: Vec<ServiceServer>,
    /// Its clients.
    clients: Vec<ServiceClient>,
}

fn about(process: Option<&Participant>, alive: bool) -> String {
    let process = process.map_or("None".to_owned(), Participant::describe);
    format!("process={process}, alive={}", if alive { "True" } else { "False" })
}

#[pymethods]
impl ServiceServer {
    fn __repr__(&self) -> String {
        format!("ServiceServer({}, taken={})", about(self.process.as_ref(), self.alive), self.taken)
    }
}

#[pymethods]
impl ServiceClient {
    fn __repr__(&self) -> String {
        let about = about(self.process.as_ref(), self.alive);
        format!("ServiceClient({about}, waiting={}, taken={})", self.waiting, self.taken)
    }
}

#[pymethods]
impl ServiceStats {
    fn __repr__(&self) -> String {
        let servers: Vec<_> = self.servers.iter().map(ServiceServer::__repr__).collect();
        let clients: Vec<_> = self.clients.iter().map(ServiceClient::__repr__).collect();
        format!("ServiceStats(servers=[{}], clients=[{}])", servers.join(", "), clients.join(", "))
    }
}

impl From<ipcx::ServiceStats> for ServiceStats {
    fn from(from: ipcx::ServiceStats) -> ServiceStats {
        let server = |server: ipcx::ServiceServer| ServiceServer {
            process: server.process.map(Participant::from),
            alive: server.alive,
            taken: server.taken,
        };
        let client = |client: ipcx::ServiceClient| ServiceClient {
            process: client.process.map(Participant::from),
            alive: client.alive,
            waiting: client.waiting,
            taken: client.taken,
        };
        ServiceStats {
            servers: from.servers.into_iter().map(server).collect(),
            clients: from.clients.into_iter().map(client).collect(),
        }
    }
}
