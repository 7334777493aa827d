//! Peer: iceoryx2, request-response between two processes, polled; requests and responses are copied into what is loaned and
//! copied out of what is received. One request at a time, as a call has it.

use iceoryx2::active_request::ActiveRequest;
use iceoryx2::pending_response::PendingResponse;
use iceoryx2::port::{client::Client, server::Server};
use iceoryx2::prelude::*;

use super::iceoryx2::{cleanup, node, Message};
use crate::endpoint::{Endpoint, Link, Side};
use crate::{signals, while_doing, Error, Result};

/// One end: the near side asks and the far side answers.
pub struct Call {
    // Dropped in this order: what belongs to a port before it, and ports before the node.
    end: End,
    _node: Node<ipc::Service>,
}

enum End {
    Client(Option<PendingResponse<ipc::Service, Message, (), Message, ()>>, Asks),
    Server(Option<ActiveRequest<ipc::Service, Message, (), Message, ()>>, Answers),
}

type Asks = Client<ipc::Service, Message, (), Message, ()>;
type Answers = Server<ipc::Service, Message, (), Message, ()>;

impl Endpoint for Call {
    fn connect(link: &Link, side: Side) -> Result<Self> {
        let node = node(&link.label)?;
        let service = node
            .service_builder(&"call".try_into().map_err(|error| Error(format!("{error:?}")))?)
            .request_response::<Message, Message>()
            .max_clients(1)
            .max_servers(1)
            .open_or_create()
            .map_err(while_doing("service"))?;
        let end = match side {
            Side::Near => {
                End::Client(None, service.client_builder().create().map_err(while_doing("client"))?)
            }
            Side::Far => End::Server(None, service.server_builder().create().map_err(while_doing("server"))?),
        };
        Ok(Call { end, _node: node })
    }

    #[inline(always)]
    fn send(&mut self, payload: &[u8]) -> Result<()> {
        let message: Message = payload.try_into().map_err(|_| "64 bytes only")?;
        match &mut self.end {
            End::Client(pending, client) => {
                let request = client.loan_uninit().map_err(while_doing("loan"))?;
                *pending = Some(request.write_payload(message).send().map_err(while_doing("send"))?);
            }
            End::Server(active, _) => {
                let request = active.take().ok_or("there is nothing to answer")?;
                let response = request.loan_uninit().map_err(while_doing("loan"))?;
                response.write_payload(message).send().map_err(while_doing("send"))?;
            }
        }
        Ok(())
    }

    #[inline(always)]
    fn recv(&mut self, payload: &mut [u8]) -> Result<()> {
        signals::spin(|| match &mut self.end {
            End::Client(pending, _) => {
                let response = pending.as_ref()?.receive().map_err(while_doing("receive")).transpose()?;
                Some(response.map(|response| payload.copy_from_slice(response.payload())))
            }
            End::Server(active, server) => {
                let request = server.receive().map_err(while_doing("receive")).transpose()?;
                Some(request.map(|request| {
                    payload.copy_from_slice(request.payload());
                    *active = Some(request);
                }))
            }
        })??;
        if let End::Client(pending, _) = &mut self.end {
            *pending = None;
        }
        Ok(())
    }

    fn cleanup(link: &Link) {
        cleanup(&link.label);
    }
}
