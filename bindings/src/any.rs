//! Waiting for one of several things.

use crate::buffer::{Buffer, NewerThan};
use crate::client::{Asking, Client};
use crate::consumer::{Consumer, Receiving};
use crate::exclusive::Guard;
use crate::pool::Pool;
use crate::producer::Producer;
use crate::publisher::Publisher;
use crate::queue::Queue;
use crate::receiver::Receiver;
use crate::semaphore::Semaphore;
use crate::sender::Sender;
use crate::sending::Sending;
use crate::server::{Answering, Server};
use crate::subscriber::{Listening, Subscriber};
use crate::transport::State;
use crate::wait::{deadline, slices, Ended};
use ipcx::{Deadline, Error, Waitable};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyList;
use std::sync::Arc;

/// One of the things, held for as long as a slice of the wait; free while signal handlers run.
enum Held<'a> {
    Consumer(Guard<'a, Receiving>),
    Producer(Guard<'a, Sending<ipcx::Producer>>),
    Pool(Arc<ipcx::Pool>),
    Semaphore(Arc<ipcx::Semaphore>),
    NewerThan(Arc<ipcx::Buffer>, u64),
    Sender(Guard<'a, State<ipcx::Sender>>),
    Receiver(Guard<'a, State<ipcx::Receiver>>),
    Publisher(Guard<'a, Sending<ipcx::Publisher>>),
    Subscriber(Guard<'a, Listening>),
    Queue(Arc<ipcx::Queue>),
    Client(Guard<'a, Asking>),
    Server(Guard<'a, Answering>),
}

/// The same for the core, which may go without the interpreter.
enum Item<'a> {
    Consumer(&'a mut ipcx::Consumer),
    Producer(&'a mut ipcx::Producer),
    Pool(&'a ipcx::Pool),
    Semaphore(&'a ipcx::Semaphore),
    NewerThan(ipcx::NewerThan<'a>),
    Sender(&'a mut ipcx::Sender),
    Receiver(&'a mut ipcx::Receiver),
    Publisher(&'a mut ipcx::Publisher),
    Subscriber(&'a mut ipcx::Subscriber),
    Queue(&'a ipcx::Queue),
    Client(&'a mut ipcx::Client),
    Server(&'a mut ipcx::Server),
}

impl Held<'_> {
    fn of<'a>(object: &'a Bound<'_, PyAny>) -> PyResult<Held<'a>> {
        let py = object.py();
        Ok(if let Ok(consumer) = object.cast::<Consumer>() {
            Held::Consumer(consumer.get().lock(py)?)
        } else if let Ok(producer) = object.cast::<Producer>() {
            Held::Producer(producer.get().end.sending(py)?)
        } else if let Ok(pool) = object.cast::<Pool>() {
            Held::Pool(pool.get().open_pool()?)
        } else if let Ok(semaphore) = object.cast::<Semaphore>() {
            Held::Semaphore(semaphore.get().open_semaphore()?)
        } else if let Ok(newer) = object.cast::<NewerThan>() {
            Held::NewerThan(newer.get().buffer.get().open_buffer()?, newer.get().seen)
        } else if let Ok(sender) = object.cast::<Sender>() {
            Held::Sender(sender.get().lock(py)?)
        } else if let Ok(receiver) = object.cast::<Receiver>() {
            Held::Receiver(receiver.get().lock(py)?)
        } else if let Ok(publisher) = object.cast::<Publisher>() {
            Held::Publisher(publisher.get().end.sending(py)?)
        } else if let Ok(subscriber) = object.cast::<Subscriber>() {
            Held::Subscriber(subscriber.get().lock(py)?)
        } else if let Ok(queue) = object.cast::<Queue>() {
            Held::Queue(queue.get().open_queue()?)
        } else if let Ok(client) = object.cast::<Client>() {
            Held::Client(client.get().lock(py)?)
        } else if let Ok(server) = object.cast::<Server>() {
            Held::Server(server.get().lock(py)?)
        } else {
            return Err(not_waitable(object));
        })
    }

    fn item(&mut self) -> Item<'_> {
        match self {
            Held::Consumer(state) => Item::Consumer(&mut state.core),
            Held::Producer(state) => Item::Producer(&mut state.core),
            Held::Pool(pool) => Item::Pool(pool),
            Held::Semaphore(semaphore) => Item::Semaphore(semaphore),
            Held::NewerThan(buffer, seen) => Item::NewerThan(buffer.newer_than(*seen)),
            Held::Sender(state) => Item::Sender(&mut state.core),
            Held::Receiver(state) => Item::Receiver(&mut state.core),
            Held::Publisher(state) => Item::Publisher(&mut state.core),
            Held::Subscriber(state) => Item::Subscriber(&mut state.core),
            Held::Queue(queue) => Item::Queue(queue),
            Held::Client(state) => Item::Client(&mut state.core),
            Held::Server(state) => Item::Server(&mut state.core),
        }
    }
}

impl Item<'_> {
    fn waitable(&mut self) -> &mut (dyn Waitable + '_) {
        match self {
            Item::Consumer(consumer) => &mut **consumer,
            Item::Producer(producer) => &mut **producer,
            Item::Pool(pool) => pool,
            Item::Semaphore(semaphore) => semaphore,
            Item::NewerThan(newer) => newer,
            Item::Sender(sender) => &mut **sender,
            Item::Receiver(receiver) => &mut **receiver,
            Item::Publisher(publisher) => &mut **publisher,
            Item::Subscriber(subscriber) => &mut **subscriber,
            Item::Queue(queue) => queue,
            Item::Client(client) => &mut **client,
            Item::Server(server) => &mut **server,
        }
    }
}

#[cold]
fn not_waitable(object: &Bound<'_, PyAny>) -> PyErr {
    let hint = if object.is_instance_of::<Buffer>() { "; give buffer.newer_than(version)" } else { "" };
    let class = object.get_type().name().map_or_else(|_| "?".to_owned(), |name| name.to_string());
    PyTypeError::new_err(format!(
        "wait_any waits for a Consumer, Producer, Pool, Semaphore, Queue, NewerThan, Sender, Receiver, Publisher, Subscriber, \
         Client or Server, not for a '{class}'{hint}"
    ))
}

/// An endpoint cannot be held twice.
fn check_endpoints(objects: &[Bound<'_, PyAny>]) -> PyResult<()> {
    let is_endpoint = |object: &&Bound<'_, PyAny>| {
        object.is_instance_of::<Consumer>()
            || object.is_instance_of::<Producer>()
            || object.is_instance_of::<Sender>()
            || object.is_instance_of::<Receiver>()
            || object.is_instance_of::<Publisher>()
            || object.is_instance_of::<Subscriber>()
            || object.is_instance_of::<Client>()
            || object.is_instance_of::<Server>()
    };
    let mut endpoints: Vec<_> = objects.iter().filter(is_endpoint).map(|object| object.as_ptr()).collect();
    endpoints.sort_unstable();
    if endpoints.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err(PyValueError::new_err("the same endpoint is there twice"));
    }
    Ok(())
}

/// Which of the objects are ready; waits until one is, or until `deadline`.
fn attempt(py: Python<'_>, objects: &[Bound<'_, PyAny>], deadline: Deadline) -> Result<Vec<usize>, Ended> {
    let mut held = objects.iter().map(Held::of).collect::<PyResult<Vec<_>>>().map_err(Ended::Python)?;
    let mut items: Vec<_> = held.iter_mut().map(Held::item).collect();
    let mut wait = || {
        let mut waitables: Vec<_> = items.iter_mut().map(Item::waitable).collect();
        ipcx::wait_any(&mut waitables, deadline)
    };
    let ready = if deadline.is_now() { wait() } else { py.detach(wait) };
    ready.map_err(Ended::Core)
}

/// Wait until at least one of the objects is ready, and return those
/// that are: a Consumer or Subscriber with a record, a Producer or
/// Publisher with room for the record that last did not fit, a Pool or
/// Semaphore with something to acquire, a Queue with a message, a
/// buffer.newer_than(version); a Receiver with something to say, or a
/// Sender with room, as their fileno() says; a Client with something
/// to receive, a Server with a request.
///
/// Ready is what a call with a timeout of 0 would not answer with
/// WouldBlock, so also an endpoint whose peer closed or died: the call
/// then says so. Nothing is received or acquired by waiting; where
/// others may be faster, try again.
#[pyfunction]
#[pyo3(signature = (objects, timeout=None))]
pub(crate) fn wait_any<'py>(
    py: Python<'py>,
    objects: &Bound<'py, PyAny>,
    timeout: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyList>> {
    let deadline = deadline(timeout)?;
    let objects = objects.try_iter()?.collect::<PyResult<Vec<_>>>()?;
    check_endpoints(&objects)?;
    let ready = match attempt(py, &objects, Deadline::NOW) {
        Err(Ended::Core(Error::WouldBlock(_))) if !deadline.is_now() => {
            slices(py, deadline, |slice| attempt(py, &objects, slice))
        }
        done => done,
    };
    let ready = ready.map_err(|ended| ended.raise(py, ""))?;
    PyList::new(py, ready.into_iter().map(|at| &objects[at]))
}
