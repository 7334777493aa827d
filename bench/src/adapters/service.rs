//! ipcx: a service with one client, which calls, and one server, as a Rust program uses it.

use ipcx::{Client, Deadline, SegmentOptions, Server, Service, ServiceOptions, WaitStrategy};

use crate::endpoint::{Endpoint, Link, Side};
use crate::{while_doing, Result};

/// One end: the near side calls and the far side answers.
pub enum ServiceEnd {
    /// The client, the request under way, and the bytes of a message; opaque to the compiler.
    Client(Client, u64, usize),
    /// The server, the request to be answered, and the bytes of a message.
    Server(Server, u64, usize),
}

fn name(link: &Link) -> String {
    format!("{}-service", link.label)
}

fn options(link: &Link) -> ServiceOptions {
    let wait = if link.workload.blocks() { WaitStrategy::Block } else { WaitStrategy::Spin };
    ServiceOptions {
        max_request: link.workload.size as u64,
        max_reply: link.workload.size as u64,
        segment: SegmentOptions { wait, ..SegmentOptions::default() },
        ..ServiceOptions::default()
    }
}

impl Endpoint for ServiceEnd {
    fn connect(link: &Link, side: Side) -> Result<Self> {
        let (name, size) = (name(link), std::hint::black_box(link.workload.size));
        if side == Side::Near {
            let service = Service::create(&name, &options(link)).map_err(while_doing("create"))?;
            return Ok(ServiceEnd::Client(service.client().map_err(while_doing("client"))?, 0, size));
        }
        let service = Service::attach(&name).map_err(while_doing("attach"))?;
        ipcx::unlink(&name).map_err(while_doing("unlink"))?;
        Ok(ServiceEnd::Server(service.server().map_err(while_doing("server"))?, 0, size))
    }

    #[inline(always)]
    fn send(&mut self, payload: &[u8]) -> Result<()> {
        match self {
            ServiceEnd::Client(client, id, size) => {
                *id = client
                    .begin_call(&payload[..*size], Deadline::NEVER, Deadline::NEVER)
                    .map_err(while_doing("begin_call"))?;
                Ok(())
            }
            ServiceEnd::Server(server, id, size) => {
                server.reply(*id, &payload[..*size]).map_err(while_doing("reply"))
            }
        }
    }

    #[inline(always)]
    fn recv(&mut self, payload: &mut [u8]) -> Result<()> {
        let (len, size) = match self {
            ServiceEnd::Client(client, id, size) => {
                (client.end_call(*id, &mut payload[..*size], Deadline::NEVER), *size)
            }
            ServiceEnd::Server(server, id, size) => {
                (server.recv_into(id, &mut payload[..*size], Deadline::NEVER), *size)
            }
        };
        if len.map_err(while_doing("recv"))? != size {
            return Err("a message had another length".into());
        }
        Ok(())
    }

    fn cleanup(link: &Link) {
        let _gone_already = ipcx::unlink(&name(link));
    }
}
