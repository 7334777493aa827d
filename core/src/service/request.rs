//! A request that a server has.

use super::answering::Taken;
use super::server::Server;
use crate::error::Result;
use std::mem::ManuallyDrop;
use std::time::Duration;

/// What a client is told whose request was dropped.
const DROPPED: &[u8] = b"the server dropped the request without an answer";

/// A request that its server has taken, to be answered. Dropped without an answer, it is refused with a text that says so.
///
/// ```
/// let service = ipcx::Service::anonymous(&Default::default())?;
/// let (mut server, mut client) = (service.server()?, service.client()?);
/// client.send(b"hello")?;
/// drop(server.recv()?); // without an answer: refused
/// assert!(matches!(client.recv(), Err(ipcx::Error::Remote(_))));
/// # Ok::<(), ipcx::Error>(())
/// ```
#[derive(Debug)]
pub struct Request<'a> {
    server: &'a mut Server,
    taken: Taken,
}

impl<'a> Request<'a> {
    pub(super) fn of(server: &'a mut Server, taken: Taken) -> Request<'a> {
        Request { server, taken }
    }

    /// Names it, for [`Server::reply`]; never 0.
    ///
    /// ```
    /// let service = ipcx::Service::anonymous(&Default::default())?;
    /// let (mut server, mut client) = (service.server()?, service.client()?);
    /// client.send(b"hello")?;
    /// let request = server.recv()?;
    /// let id = request.id();
    /// assert_eq!(request.into_id(), id);
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    pub fn id(&self) -> u64 {
        self.taken.id
    }

    /// Length in bytes.
    pub fn len(&self) -> usize {
        self.taken.len
    }

    /// True if it has no bytes, which is a request all the same.
    pub fn is_empty(&self) -> bool {
        self.taken.len == 0
    }

    /// A copy of its bytes.
    ///
    /// ```
    /// let service = ipcx::Service::anonymous(&Default::default())?;
    /// let (mut server, mut client) = (service.server()?, service.client()?);
    /// client.send(b"hello")?;
    /// assert_eq!(server.recv()?.to_vec(), b"hello");
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    pub fn to_vec(&self) -> Vec<u8> {
        let mut data = vec![0; self.taken.len];
        self.server.read(&self.taken, &mut data);
        data
    }

    /// Copies its bytes to `buffer`, as many as fit; says how many.
    ///
    /// ```
    /// let service = ipcx::Service::anonymous(&Default::default())?;
    /// let (mut server, mut client) = (service.server()?, service.client()?);
    /// client.send(b"hello")?;
    /// let (request, mut start) = (server.recv()?, [0; 4]);
    /// assert_eq!((request.copy_to(&mut start), &start), (4, b"hell"));
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    pub fn copy_to(&self, buffer: &mut [u8]) -> usize {
        let len = self.taken.len.min(buffer.len());
        self.server.read(&self.taken, &mut buffer[..len]);
        len
    }

    /// How long its client will wait; `None` for ever.
    ///
    /// ```
    /// let service = ipcx::Service::anonymous(&Default::default())?;
    /// let (mut server, mut client) = (service.server()?, service.client()?);
    /// client.send(b"hello")?; // of no deadline; `call_timeout` gives one
    /// assert_eq!(server.recv()?.remaining(), None);
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    pub fn remaining(&self) -> Option<Duration> {
        self.server.remaining(self.taken.id).unwrap_or(None)
    }

    /// Answers it.
    ///
    /// ```
    /// let service = ipcx::Service::anonymous(&Default::default())?;
    /// let (mut server, mut client) = (service.server()?, service.client()?);
    /// client.send(b"hello")?;
    /// server.recv()?.reply(b"hello to you")?;
    /// assert_eq!(client.recv()?.data, b"hello to you");
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// `TooBig` if the reply is longer than replies can be: the request is refused then. `Forked`; `Invalid` if the client has broken
    /// the rules and changed what is the server's.
    #[inline]
    pub fn reply(self, data: &[u8]) -> Result<()> {
        let request = self;
        let replied = request.server.reply(request.taken.id, data);
        if replied.is_ok() {
            request.keep();
        }
        replied
    }

    /// Refuses it: the client's call ends with [`Error::Remote`](crate::Error::Remote) and this text, cut to the longest reply.
    ///
    /// ```
    /// let service = ipcx::Service::anonymous(&Default::default())?;
    /// let (mut server, mut client) = (service.server()?, service.client()?);
    /// client.send(b"hello")?;
    /// server.recv()?.refuse(b"not on Sundays")?;
    /// assert!(matches!(client.recv(), Err(ipcx::Error::Remote(_))));
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// `Forked`; `Invalid` as for [`Request::reply`].
    pub fn refuse(self, message: &[u8]) -> Result<()> {
        let request = self;
        let refused = request.server.refuse(request.taken.id, message);
        request.keep();
        refused
    }

    /// Its id, by which the server answers it later: [`Server::reply`]. It can then receive others meanwhile.
    ///
    /// ```
    /// let service = ipcx::Service::anonymous(&Default::default())?;
    /// let (mut server, mut client) = (service.server()?, service.client()?);
    /// client.send(b"hello")?;
    /// let id = server.recv()?.into_id(); // the server may receive others meanwhile
    /// server.reply(id, b"hello to you")?;
    /// assert_eq!(client.recv()?.data, b"hello to you");
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    pub fn into_id(self) -> u64 {
        let id = self.taken.id;
        self.keep();
        id
    }

    /// Leaves it as it is.
    fn keep(self) {
        let _ = ManuallyDrop::new(self);
    }
}

impl Drop for Request<'_> {
    fn drop(&mut self) {
        let _ = self.server.refuse(self.taken.id, DROPPED); // Fails in a forked child, where it is the parent's.
    }
}
