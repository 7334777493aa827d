//! Clients and servers among the things that `wait_any` waits for.

use super::client::Client;
use super::server::Server;
use crate::any::{Sleeping, Waitable};
use crate::error::Result;
use std::os::fd::BorrowedFd;

impl Waitable for Client {}

impl Sleeping for Client {
    fn is_ready(&mut self, now: Option<u64>) -> bool {
        Client::is_ready(self, now)
    }

    fn announce(&mut self) -> Option<(*const u32, u32)> {
        Client::announce(self)
    }

    fn withdraw(&mut self) {}

    fn descriptor(&mut self) -> Result<BorrowedFd<'_>> {
        self.poll_fd()?;
        self.after(); // so that it is raised for what is there now, and armed otherwise
        self.poll_fd()
    }

    fn is_inherited(&mut self) -> bool {
        Client::is_inherited(self)
    }
}

impl Waitable for Server {}

impl Sleeping for Server {
    fn is_ready(&mut self, _now: Option<u64>) -> bool {
        self.has_request()
    }

    fn announce(&mut self) -> Option<(*const u32, u32)> {
        Server::announce(self)
    }

    fn withdraw(&mut self) {
        Server::withdraw(self);
    }

    fn descriptor(&mut self) -> Result<BorrowedFd<'_>> {
        self.poll_fd()?;
        self.after(true); // so that it is raised for what is there now, and armed otherwise
        self.poll_fd()
    }

    fn is_inherited(&mut self) -> bool {
        Server::is_inherited(self)
    }
}
