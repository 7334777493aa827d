//! Start states of a service, and how those who survive a victim show that no request is executed twice, that each ends once and
//! with its own reply, and that no cell and no place is lost.
//!
//! The survivor has a client and a server. Its requests are records of a stream; a reply is the request with a bit of each byte
//! turned, one by the survivor's server and another by a victim's, so that each says who gave it.

use crate::stage::{Scenario, Stage, Toll, Workshop};
use crate::tracee::At;
use ipcx::{Client, Deadline, Error, SegmentOptions, Server, Service, ServiceOptions, WaitStrategy};
use ipcx_tests::{Place, Stream};
use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;
use std::time::Duration;

const SERVICE: &str = "service";
/// The tracer and its server, the victim and its server, and two more. The same as in `src/bin/victim`.
const PARTICIPANTS: u32 = 6;
/// The survivor's, and a victim's.
const CLIENTS: u64 = 2;
const DEPTH: u64 = 4;
/// What becomes of a request is known within this.
const LATE: Duration = Duration::from_secs(2);

/// The same as in `src/bin/victim`.
const SEED: u64 = 13;
const LARGEST: usize = 200;
const NUMBER: u64 = 1 << 20 | 8;
static STREAM: LazyLock<Stream> = LazyLock::new(|| Stream::new(SEED, LARGEST));

/// How the service is when the operation begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Nothing was asked but what the operation needs.
    New,
    /// Cells were used several times, and one is passed over: its request is held for long.
    Used,
    /// The survivor's server has taken what the victim asked.
    Taken,
    /// A server died with a request.
    Dead,
    /// A client died with a request that nobody took; there is no other place.
    Left,
}

use State::{Dead, Left, New, Taken, Used};

/// How many of the survivor's requests ended by a death, by a reply of the victim's, and by its closing.
type Ends = [u64; 3];

/// An operation of `src/bin/victim`.
struct Operation {
    name: &'static str,
    /// How many requests of the victim's may be executed before it, and after it.
    asks: [u64; 2],
    /// How requests of the survivor's end if it dies before it, and after it.
    ends: [Ends; 2],
    states: &'static [State],
}

const NONE: Ends = [0; 3];
const DEATH: Ends = [1, 0, 0];
const REPLY: Ends = [0, 1, 0];
const CLOSE: Ends = [0, 0, 1];

const fn operation(
    name: &'static str,
    asks: [u64; 2],
    ends: [Ends; 2],
    states: &'static [State],
) -> Operation {
    Operation { name, asks, ends, states }
}

const RECOVER: &str = "service_recover";

const OPERATIONS: &[Operation] = &[
    operation("service_attach", [0, 0], [NONE, NONE], &[New, Dead, Left]),
    operation("service_client", [0, 0], [NONE, NONE], &[New, Used, Left]),
    operation("service_leave", [1, 0], [NONE, NONE], &[New, Taken, Used]),
    operation("service_send", [0, 1], [NONE, NONE], &[New, Used, Dead]),
    operation("service_recv", [1, 1], [NONE, NONE], &[New, Used, Dead]),
    operation("service_look", [1, 1], [NONE, NONE], &[Taken, Dead]),
    operation("service_forget", [1, 0], [NONE, NONE], &[New, Taken]),
    operation("service_serve", [0, 0], [NONE, NONE], &[New, Used, Dead]),
    operation("service_take", [0, 0], [NONE, DEATH], &[New, Used, Dead]),
    operation("service_reply", [0, 0], [DEATH, REPLY], &[New, Used, Dead]),
    operation("service_close", [0, 0], [DEATH, CLOSE], &[New, Used]),
    operation(RECOVER, [0, 0], [NONE, NONE], &[New, Dead, Left]),
];

/// Every operation in each of its states.
pub(crate) fn scenarios() -> Vec<Scenario> {
    let each = |operation: &'static Operation| {
        operation.states.iter().map(move |state| Scenario {
            name: format!("{}/{state:?}", operation.name).to_lowercase(),
            operation: operation.name,
            target: SERVICE,
            threads: false,
            sleeps: false,
            recovers: Some(RECOVER),
            stage: Box::new(move |workshop| Box::new(ServiceStage::make(workshop, operation, *state))),
        })
    };
    OPERATIONS.iter().flat_map(each).collect()
}

fn options(place: &Place) -> ServiceOptions {
    let segment = SegmentOptions {
        directory: Some(place.path().to_owned()),
        max_participants: PARTICIPANTS,
        wait: WaitStrategy::Block,
        ..Default::default()
    };
    let most = LARGEST as u64;
    ServiceOptions { max_request: most, max_reply: most, max_clients: CLIENTS, depth: DEPTH, segment }
}

fn record(n: u64) -> Vec<u8> {
    let mut bytes = vec![0; STREAM.len(n)];
    STREAM.fill(n, &mut bytes);
    bytes
}

fn answer(request: &[u8], bit: u8) -> Vec<u8> {
    request.iter().map(|byte| byte ^ bit).collect()
}

struct ServiceStage<'a> {
    place: &'a Place,
    operation: &'static Operation,
    state: State,
    service: Service,
    client: Client,
    server: Server,
    /// The survivor's requests that have not ended.
    open: HashMap<u64, u64>,
    /// Every request that the survivor's server has taken.
    taken: HashSet<u64>,
    /// Those that it holds, with what was asked.
    held: Vec<(u64, Vec<u8>)>,
    /// How many of the victim's requests it took.
    found: u64,
    ends: Ends,
    /// How many of the victim's requests there may be, and how the survivor's may have ended.
    possible: HashSet<(u64, Ends)>,
    next: u64,
    begun: bool,
    dead_before: bool,
}

impl<'a> ServiceStage<'a> {
    fn make(workshop: &mut Workshop<'a>, operation: &'static Operation, state: State) -> ServiceStage<'a> {
        let place = workshop.place;
        let service = Service::create(SERVICE, &options(place)).expect("a new service");
        let (client, server) = (service.client().expect("a client"), service.server().expect("a server"));
        let mut stage = ServiceStage {
            place,
            operation,
            state,
            service,
            client,
            server,
            open: HashMap::new(),
            taken: HashSet::new(),
            held: Vec::new(),
            found: 0,
            ends: NONE,
            possible: HashSet::from([(0, NONE)]),
            next: 0,
            begun: false,
            dead_before: false,
        };
        stage.set(workshop);
        stage
    }

    fn set(&mut self, workshop: &mut Workshop<'a>) {
        match self.state {
            New | Taken => {}
            Used => {
                assert!(self.ask());
                self.take();
                for _ in 0..3 * DEPTH {
                    assert!(self.ask());
                    self.take();
                    let (id, data) = self.held.pop().expect("just taken");
                    self.server.reply(id, &answer(&data, 1)).expect("it is this server's");
                    self.receive();
                }
                assert_eq!(self.open.len(), 1, "one is held");
            }
            Dead => {
                assert!(self.ask());
                workshop.nursery.victim("service_reply", SERVICE).kill();
                self.possible = HashSet::from([(0, DEATH)]);
            }
            Left => {
                // In a slot that the next one does not come to.
                let before = Service::attach_with(SERVICE, &options(self.place)).expect("a slot");
                workshop.nursery.victim("service_recv", SERVICE).kill();
                drop(before);
                // Until it is buried, a server may take what it asked.
                self.possible = HashSet::from([(0, NONE), (1, NONE)]);
            }
        }
        // One for the victim, and one that it leaves.
        (0..2).for_each(|_| assert!(self.ask()));
    }

    /// False if there is no cell free.
    fn ask(&mut self) -> bool {
        self.next += 1;
        match self.client.try_send(&record(self.next)) {
            Ok(id) => {
                assert_eq!(self.open.insert(id, self.next), None, "an id of one request");
                true
            }
            Err(Error::WouldBlock(_)) => false,
            Err(error) => panic!("request {}: {error}", self.next),
        }
    }

    /// The survivor's server takes what there is.
    fn take(&mut self) {
        loop {
            let mut buffer = [0; LARGEST];
            let mut id = 0;
            let len = match self.server.recv_into(&mut id, &mut buffer, Deadline::NOW) {
                Ok(len) => len,
                Err(Error::WouldBlock(_)) => return,
                Err(error) => panic!("a request: {error}"),
            };
            let data = buffer[..len].to_vec();
            assert!(self.taken.insert(id), "request {id:#x} was executed twice");
            match self.open.get(&id) {
                Some(n) => assert_eq!(data, record(*n), "not what was asked"),
                None => {
                    assert_eq!(data, record(NUMBER), "a request that nobody sent");
                    self.found += 1;
                }
            }
            self.held.push((id, data));
        }
    }

    fn reply(&mut self) {
        for (id, data) in std::mem::take(&mut self.held) {
            self.server.reply(id, &answer(&data, 1)).expect("it is this server's");
        }
    }

    /// What has come for the survivor's client.
    fn receive(&mut self) {
        while self.receive_until(Deadline::NOW) {}
    }

    /// False if nothing has.
    fn receive_until(&mut self, deadline: Deadline) -> bool {
        let (mut id, mut buffer) = (0, [0; LARGEST]);
        let result = self.client.recv_into(&mut id, &mut buffer, deadline);
        if matches!(result, Err(Error::WouldBlock(_))) {
            return false;
        }
        let Some(n) = self.open.remove(&id) else {
            panic!("{result:?} for request {id:#x}, which is not open")
        };
        let by_survivor = self.taken.contains(&id);
        match result {
            Ok(len) if buffer[..len] == answer(&record(n), 1) => assert!(by_survivor),
            Ok(len) if buffer[..len] == answer(&record(n), 2) => self.ends[1] += 1,
            Err(Error::PeerDead(_)) => self.ends[0] += 1,
            Err(Error::Remote(_)) => self.ends[2] += 1,
            other => panic!("request {n}: {other:?}"),
        }
        true
    }

    /// What the survivor's server may do before the victim's operation.
    fn prepare(&mut self) {
        if self.operation.name == "service_recv" {
            self.take();
            self.reply();
        }
        if self.state == Taken {
            self.take();
        }
    }
}

impl Stage for ServiceStage<'_> {
    fn begun(&mut self, _victim: i64) {
        if !std::mem::replace(&mut self.begun, true) {
            self.prepare();
        }
    }

    fn others(&mut self, turn: u64) -> bool {
        for _ in 0..if turn & 2 == 0 { 1 } else { 2 * DEPTH } {
            self.ask();
            self.take();
            self.reply();
            self.receive();
        }
        if turn & 4 == 0 {
            drop(self.service.server().expect("a slot for one more"));
        }
        self.service.stats().expect("figures");
        true
    }

    fn returned(&self, code: i64) {
        assert_eq!(code, 0, "what a whole operation returns");
    }

    fn failed(&self, _code: i64) {}

    fn dead(&mut self, at: At, toll: Toll) {
        let both: &[usize] = match (at, toll) {
            (_, Toll::Nothing) => &[0],
            (At::End(0..), _) => &[1],
            (At::End(_), _) => &[0],
            (At::Inside, _) => &[0, 1],
        };
        let before = std::mem::take(&mut self.possible);
        if std::mem::replace(&mut self.dead_before, true) {
            // Who was recovering did nothing else; what a dead client asked may be withdrawn now.
            self.possible = before.iter().flat_map(|(asks, ends)| (0..=*asks).map(|n| (n, *ends))).collect();
            return;
        }
        let (operation, found) = (self.operation, self.found);
        let each = before.iter().flat_map(|(asks, ends)| {
            both.iter().map(move |which| {
                // What the survivor's server has taken, it has.
                let asks = (asks + operation.asks[*which]).max(found);
                (asks, std::array::from_fn(|i| ends[i] + operation.ends[*which][i]))
            })
        });
        self.possible = each.collect();
    }

    fn finish(mut self: Box<Self>, _workshop: &mut Workshop<'_>, _with_notice: bool) {
        // What nobody has taken is taken now, and every request ends.
        self.take();
        self.reply();
        while !self.open.is_empty() {
            self.receive_until(Deadline::within(LATE));
        }
        let all = (self.found, self.ends);
        assert!(self.possible.contains(&all), "{all:?} is none of {:?}", self.possible);
        assert!(matches!(self.client.try_recv(), Err(Error::WouldBlock(_))));

        // No place and no cell is lost, and nobody gets another's reply.
        let mut next = self.service.client().expect("the victim's place");
        assert!(matches!(self.service.client(), Err(Error::NoSpace(_))));
        for round in 0..3 {
            let sent: Vec<u64> =
                (0..DEPTH).map(|n| next.try_send(&record(n)).expect("a free cell")).collect();
            (0..DEPTH).for_each(|_| assert!(self.ask(), "a free cell in round {round}"));
            for _ in 0..2 * DEPTH {
                let request = self.server.try_recv().expect("a request");
                let data = answer(&request.to_vec(), 1);
                assert!(self.taken.insert(request.id()), "executed twice");
                request.reply(&data).expect("it is this server's");
            }
            assert!(matches!(self.server.try_recv(), Err(Error::WouldBlock(_))));
            for _ in 0..DEPTH {
                let reply = next.try_recv().expect("a reply");
                let n = sent.iter().position(|id| *id == reply.id).expect("its own") as u64;
                assert_eq!(reply.data, answer(&record(n), 1));
            }
            self.receive();
            assert!(self.open.is_empty() && matches!(next.try_recv(), Err(Error::WouldBlock(_))));
        }
        drop(next);

        // No slot is lost.
        let others: Vec<_> =
            std::iter::from_fn(|| Service::attach_with(SERVICE, &options(self.place)).ok()).collect();
        assert_eq!(others.len() as u32, PARTICIPANTS - 2);
        drop(others);
        let stats = self.service.stats().expect("figures");
        assert_eq!((stats.servers.len(), stats.clients.len()), (1, 1), "{stats:?}");
        let end = self.service.server().expect("a slot for a server");
        drop((end, self.client, self.server, self.service));
        self.place.unlink(SERVICE);
        assert_eq!(self.place.files(), [""; 0], "nothing else is left");
    }
}
