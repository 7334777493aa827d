//! SIGKILL at random moments to clients and servers of a service, in every language: no reply is lost or another request's, no
//! request is carried out twice, nobody is left hanging, and no place is lost.
//!
//! Each request has a number of its own. A ledger has, for each, how often servers carried it out, which they say before they
//! answer, and how it ended for its client. So a request that was answered was carried out once; one that ended otherwise, at most
//! once. What is in requests and replies is checked by whoever receives them.
//!
//! `IPCX_KILLS` is a third of the number of kills (200), as there are three languages; `IPCX_SEED` repeats a run.

use ipcx::{SegmentOptions, Service, ServiceOptions};
use ipcx_tests::{Ending, Language, Peer, Place, Random};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::time::Duration;

const NAME: &str = "services";
const LARGEST: u64 = 908;
/// As many clients as the service has room for, but for the test's own.
const CLIENTS: u64 = 4;
/// Numbers of one client's turn.
const TURN: u64 = 1 << 15;
/// How a request ended.
const ENDINGS: [&str; 5] = ["open", "answered", "refused", "of a dead server", "without a server"];

fn kills() -> u64 {
    std::env::var("IPCX_KILLS").map_or(200, |text| text.parse().expect("IPCX_KILLS is a number"))
}

/// A service, its ledger, and how many turns clients had.
struct Setting {
    place: Place,
    service: Service,
    ledger: File,
    turns: u64,
}

impl Setting {
    fn new() -> Setting {
        let place = Place::new();
        let segment = SegmentOptions { directory: Some(place.path().to_owned()), ..Default::default() };
        let options = ServiceOptions {
            max_request: LARGEST,
            max_reply: LARGEST,
            max_clients: CLIENTS,
            depth: 4,
            segment,
        };
        let service = Service::create(NAME, &options).expect("a new service");
        let ledger = place.path().join("ledger");
        let ledger =
            File::options().read(true).write(true).create_new(true).open(ledger).expect("a new file");
        Setting { place, service, ledger, turns: 0 }
    }

    fn start(&mut self, language: Language, role: &str) -> Peer {
        let path = self.place.path().join("ledger");
        let ledger = path.to_str().expect("a path in ASCII");
        let (first, count) = (self.turns * TURN, TURN);
        let mut arguments = vec![role.to_owned(), NAME.to_owned(), ledger.to_owned()];
        if role == "ask" {
            self.turns += 1;
            self.ledger.set_len(self.turns * TURN * 2).expect("room in the ledger");
            arguments.extend([first.to_string(), count.to_string()]);
        }
        let mut command = language.program("service");
        command.args(&arguments);
        Peer::run(format!("{language:?} {arguments:?}"), &self.place, command)
    }

    /// Bytes of the ledger: what servers did with each request, and how it ended.
    fn ledger(&self) -> Vec<(u8, u8)> {
        let mut bytes = vec![0; (self.turns * TURN * 2) as usize];
        self.ledger.read_exact_at(&mut bytes, 0).expect("the ledger");
        bytes.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect()
    }
}

/// A process that is killed and started again.
struct Victim {
    language: Language,
    role: &'static str,
    peer: Peer,
}

#[test]
fn kills_of_clients_and_servers_in_every_language() {
    let mut random = Random::from_environment("services");
    let mut all = Setting::new();
    let mut victims: Vec<Victim> = ["serve", "ask"]
        .iter()
        .flat_map(|role| Language::ALL.map(|language| (*role, language)))
        .map(|(role, language)| Victim { language, role, peer: all.start(language, role) })
        .collect();
    let mut killed = [0_u64; 2];
    while killed.iter().sum::<u64>() < 3 * kills() {
        std::thread::sleep(Duration::from_micros(random.below(20_000)));
        let victim = random.below(victims.len() as u64) as usize;
        let Victim { language, role, ref mut peer } = victims[victim];
        // An interpreter needs some time to come to it.
        if language == Language::Python && random.below(4) > 0 {
            continue;
        }
        peer.kill();
        match peer.wait() {
            Ending::Exited(0) if role == "ask" => {} // Its turn was over before.
            ending => {
                assert_eq!(ending, Ending::Killed(libc::SIGKILL), "{language:?} {role} ended by itself");
                killed[usize::from(role == "ask")] += 1;
            }
        }
        victims[victim].peer = all.start(language, role);
    }
    drop(victims);
    println!("killed: {} servers, {} clients", killed[0], killed[1]);
    check(&all);
    check_that_all_places_are_free(&all.service);
}

fn check(all: &Setting) {
    let (mut ended, mut by) = ([0_u64; ENDINGS.len()], [0_u64; 4]);
    for (number, (done, how)) in all.ledger().into_iter().enumerate() {
        let (language, times) = (done >> 4, done & 15);
        assert!(times <= 1, "request {number} was carried out {times} times");
        assert!(
            times == 1 || !matches!(how, 1 | 2),
            "request {number} was {}, by nobody",
            ENDINGS[how as usize]
        );
        if done != 0 || how != 0 {
            ended[how as usize] += 1;
            by[language as usize] += 1;
        }
    }
    let said: Vec<_> = ENDINGS.iter().zip(ended).map(|(how, count)| format!("{count} {how}")).collect();
    println!("requests: {}; by C {}, by Rust {}, by Python {}", said.join(", "), by[1], by[2], by[3]);
    assert!(ended[1] > 0 && ended[2] > 0 && ended[3] > 0, "each ending was seen");
    assert!(by[1..].iter().all(|count| *count > 0), "each language served");
}

/// Whoever comes finds it as new: all clients' places, and every cell of each.
fn check_that_all_places_are_free(service: &Service) {
    let mut server = service.server().expect("a participant's place");
    let mut clients: Vec<_> = (0..CLIENTS).map(|_| service.client().expect("a client's place")).collect();
    for client in &mut clients {
        for turn in 0..8_u8 {
            let ids: Vec<_> = (0..4).map(|_| client.send(&[turn]).expect("a free cell")).collect();
            for _ in &ids {
                let request = server.try_recv().expect("what was sent");
                assert_eq!(request.to_vec(), [turn]);
                request.reply(b"yes").expect("its own");
            }
            for _ in &ids {
                assert_eq!(client.try_recv().expect("a reply").data, b"yes");
            }
        }
    }
}
