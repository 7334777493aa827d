//! The hello worlds of all languages talk to each other, whoever is first.

use ipcx_tests::{Language, Peer, Place};

fn hello(language: Language, name: &str, place: &Place) -> Peer {
    Peer::run(format!("{language:?} {name}"), place, language.example(name))
}

#[test]
fn every_hello_is_heard_in_every_language() {
    for (i, from) in Language::ALL.into_iter().enumerate() {
        for (j, to) in Language::ALL.into_iter().enumerate() {
            let place = Place::new();
            let (mut sender, mut receiver);
            if (i + j) % 2 == 0 {
                sender = hello(from, "hello_send", &place);
                sender.succeed(); // and is gone before the receiver comes
                receiver = hello(to, "hello_recv", &place);
            } else {
                receiver = hello(to, "hello_recv", &place);
                sender = hello(from, "hello_send", &place);
                sender.succeed();
            }
            assert_eq!(receiver.line(), format!("hello from {from:?}"));
            receiver.succeed();
            assert_eq!(place.files(), [""; 0], "the receiver removes the name");
        }
    }
}
