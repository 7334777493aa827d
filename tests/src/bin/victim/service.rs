//! A victim that asks and answers.

use crate::{fail, must, options, Common, Kind, Operation};
use ipcx::{Client, Deadline, Error, Result, Server, Service, ServiceOptions};

pub(crate) struct Victim {
    common: Common,
    client: Option<Client>,
    server: Option<Server>,
    service: Option<Service>,
    /// Of the request that it sent or took.
    id: u64,
}

impl Kind for Victim {
    const OPERATIONS: &'static [Operation<Victim>] = &[
        ("attach", Victim::nothing, Victim::attach),
        ("client", Victim::prepare_attached, Victim::become_client),
        ("leave", Victim::prepare_asked, Victim::leave_service),
        ("send", Victim::prepare_asking, Victim::ask),
        ("recv", Victim::prepare_asked, Victim::receive_reply),
        ("look", Victim::prepare_asked, Victim::look_for_reply),
        ("forget", Victim::prepare_asked, Victim::forget),
        ("serve", Victim::prepare_attached, Victim::become_server),
        ("take", Victim::prepare_serving, Victim::take_request),
        ("reply", Victim::prepare_took, Victim::reply),
        ("close", Victim::prepare_took, Victim::stop_serving),
        ("recover", Victim::nothing, Victim::recover),
    ];

    fn new(common: Common) -> Victim {
        Victim { common, client: None, server: None, service: None, id: 0 }
    }

    fn common(&mut self) -> &mut Common {
        &mut self.common
    }
}

/// Before the first mark.
impl Victim {
    fn open(&self) -> Result<Service> {
        let segment = options(6);
        Service::attach_with(&self.common.name, &ServiceOptions { segment, ..Default::default() })
    }

    fn service(&self) -> &Service {
        self.service.as_ref().unwrap_or_else(|| fail("not attached"))
    }

    fn client(&mut self) -> &mut Client {
        self.client.as_mut().unwrap_or_else(|| fail("no client"))
    }

    fn server(&mut self) -> &mut Server {
        self.server.as_mut().unwrap_or_else(|| fail("no server"))
    }

    fn prepare_attached(&mut self) {
        self.service = Some(must(self.open()));
    }

    fn prepare_asking(&mut self) {
        self.prepare_attached();
        self.client = Some(must(self.service().client()));
    }

    fn prepare_asked(&mut self) {
        self.prepare_asking();
        must(self.ask());
    }

    fn prepare_serving(&mut self) {
        self.prepare_attached();
        self.server = Some(must(self.service().server()));
    }

    fn prepare_took(&mut self) {
        self.prepare_serving();
        must(self.take_request());
    }
}

/// Between the marks.
impl Victim {
    fn attach(&mut self) -> Result<u64> {
        self.service = Some(self.open()?);
        Ok(0)
    }

    fn become_client(&mut self) -> Result<u64> {
        self.client = Some(self.service().client()?);
        Ok(0)
    }

    fn leave_service(&mut self) -> Result<u64> {
        self.client = None;
        Ok(0)
    }

    fn ask(&mut self) -> Result<u64> {
        let value = std::mem::take(&mut self.common.value);
        let sent = self.client().try_send(&value);
        self.common.value = value;
        self.id = sent?;
        Ok(0)
    }

    fn receive_reply(&mut self) -> Result<u64> {
        let (mut id, mut room) = (0, std::mem::take(&mut self.common.room));
        let received = self.client().recv_into(&mut id, &mut room, Deadline::NOW);
        self.common.room = room;
        received.map(|_| 0)
    }

    /// Looks for a reply, which has not come unless others have gone on meanwhile.
    fn look_for_reply(&mut self) -> Result<u64> {
        match self.receive_reply() {
            Err(Error::WouldBlock(_)) => Ok(0),
            other => other,
        }
    }

    fn forget(&mut self) -> Result<u64> {
        let id = self.id;
        self.client().forget(id).map(|_| 0)
    }

    fn become_server(&mut self) -> Result<u64> {
        self.server = Some(self.service().server()?);
        Ok(0)
    }

    fn take_request(&mut self) -> Result<u64> {
        let (mut id, mut room) = (0, std::mem::take(&mut self.common.room));
        let taken = self.server().recv_into(&mut id, &mut room, Deadline::NOW);
        room.truncate(*taken.as_ref().unwrap_or(&0));
        (self.id, self.common.room) = (id, room);
        taken.map(|_| 0)
    }

    fn reply(&mut self) -> Result<u64> {
        let (id, data) = (self.id, self.common.room.iter().map(|byte| byte ^ 2).collect::<Vec<_>>());
        self.server().reply(id, &data).map(|()| 0)
    }

    fn stop_serving(&mut self) -> Result<u64> {
        self.server = None;
        Ok(0)
    }

    /// As whoever finds the dead does it: attaches, serves and asks, in whatever place is to be had.
    fn recover(&mut self) -> Result<u64> {
        let service = self.open()?;
        drop(service.server()?);
        drop(service.client()?);
        self.service = Some(service);
        Ok(0)
    }
}
