//! A server or a client for the tests of services. `tests/peers/service.c` and `service.py` do the same.
//!
//! ```text
//! service serve NAME LEDGER            serves until it is killed, or SIGTERM ends it
//! service ask NAME LEDGER FIRST COUNT  asks with the numbers FIRST to FIRST + COUNT, in two ways
//! ```
//!
//! A request is its number, in 8 bytes, and number % 900 bytes that count up from the number's lowest. The reply is the number and
//! those bytes inverted; every seventh request is refused instead. The ledger is a file with two bytes for each number: what
//! servers did (16 for each step of the language, C, Rust, Python; and 1 for each time it was carried out), and how it ended for the
//! client. A server that finds another request behind every fifth answers that one first, and every eleventh takes a millisecond.

use ipcx::{Client, Deadline, Error, Server, Service, ServiceOptions};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::time::Duration;

const LANGUAGE: u8 = 2 << 4;
const LARGEST: u64 = 908;
const AT_ONCE: u64 = 4;
/// A call that takes longer hangs.
const LIMIT: Duration = Duration::from_secs(30);

const ANSWERED: u8 = 1;
const REFUSED: u8 = 2;
const DIED: u8 = 3;
const CLOSED: u8 = 4;

fn request(number: u64) -> Vec<u8> {
    let mut data = number.to_le_bytes().to_vec();
    data.extend((0..number % 900).map(|at| (number + at) as u8));
    data
}

fn reply(number: u64) -> Vec<u8> {
    let mut data = request(number);
    data[8..].iter_mut().for_each(|byte| *byte = !*byte);
    data
}

fn number_of(data: &[u8]) -> u64 {
    u64::from_le_bytes(data[..8].try_into().expect("8 bytes"))
}

struct Ledger(File);

impl Ledger {
    fn carried_out(&self, number: u64) {
        let mut byte = [0];
        self.0.read_exact_at(&mut byte, number * 2).expect("a byte");
        self.0.write_all_at(&[((byte[0] & 15) + 1) | LANGUAGE], number * 2).expect("a byte");
    }

    fn ended(&self, number: u64, how: u8) {
        self.0.write_all_at(&[how], number * 2 + 1).expect("a byte");
    }
}

fn answer(server: &mut Server, id: u64, number: u64) {
    if number % 11 == 0 {
        std::thread::sleep(Duration::from_millis(1));
    }
    match number % 7 {
        0 => server.refuse(id, format!("refused {number}").as_bytes()).expect("its own"),
        _ => server.reply(id, &reply(number)).expect("its own"),
    }
}

fn serve(mut server: Server, ledger: &Ledger) {
    let mut buffer = vec![0; LARGEST as usize];
    let mut take = |server: &mut Server, deadline| {
        let mut id = 0;
        match server.recv_into(&mut id, &mut buffer, deadline) {
            Ok(len) => {
                let number = number_of(&buffer);
                assert_eq!(buffer[..len], request(number), "request {number}");
                ledger.carried_out(number);
                Some((id, number))
            }
            Err(Error::WouldBlock(_)) => None,
            Err(error) => panic!("{error}"),
        }
    };
    loop {
        let (id, number) = take(&mut server, Deadline::NEVER).expect("it waits");
        if number % 5 == 0 {
            if let Some((id, number)) = take(&mut server, Deadline::NOW) {
                answer(&mut server, id, number);
            }
        }
        answer(&mut server, id, number);
    }
}

fn end(ledger: &Ledger, number: u64, ended: Result<Vec<u8>, Error>) {
    let how = match ended {
        Ok(data) => {
            assert_eq!(data, reply(number), "the reply to {number}");
            ANSWERED
        }
        Err(Error::Remote(text)) => {
            assert_eq!((text.detail(), number % 7), (&*format!("refused {number}"), 0));
            REFUSED
        }
        Err(Error::PeerDead(_)) => DIED,
        Err(Error::Closed(_)) => CLOSED,
        Err(error) => panic!("{number}: {error}"),
    };
    ledger.ended(number, how);
}

/// Several requests at once.
fn ask_together(client: &mut Client, ledger: &Ledger, first: u64) {
    let sent: Vec<_> =
        (first..first + AT_ONCE).map(|n| (client.send(&request(n)).expect("room"), n)).collect();
    let mut buffer = vec![0; LARGEST as usize];
    for _ in &sent {
        let mut id = 0;
        let received = client.recv_into(&mut id, &mut buffer, Deadline::within(LIMIT));
        let (_, number) =
            sent.iter().find(|(of, _)| *of == id).unwrap_or_else(|| panic!("{received:?} of {id}"));
        end(ledger, *number, received.map(|len| buffer[..len].to_vec()));
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let file = File::options().read(true).write(true).open(&arguments[3]).expect("the ledger");
    let ledger = Ledger(file);
    let service = Service::attach_with(&arguments[2], &ServiceOptions::default()).expect("the service");
    if arguments[1] == "serve" {
        return serve(service.server().expect("room"), &ledger);
    }
    let number = |at: usize| arguments[at].parse::<u64>().expect("a number");
    let mut client = service.client().expect("room");
    for first in (number(4)..number(4) + number(5)).step_by(AT_ONCE as usize) {
        if first / AT_ONCE % 2 == 0 {
            ask_together(&mut client, &ledger, first);
            continue;
        }
        for n in first..first + AT_ONCE {
            end(&ledger, n, client.call_timeout(&request(n), LIMIT));
        }
    }
}
