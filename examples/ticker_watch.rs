//! Watches the prices on a topic until the feed says that it is over, and sums up what it saw.
//!
//! ```text
//! ticker_watch TOPIC
//! ```
//!
//! A quote is 32 bytes: its number, a date, a price in cents, the number again. Numbers have no gaps but those that the subscriber
//! knows of: this panics if a quote is torn, or comes where another one was due.

use ipcx::{Result, Subscriber, Topic};

const QUOTE: usize = 32;

#[derive(Debug, Default)]
struct Seen {
    /// Number of the first quote that was published since the subscriber began.
    began: u64,
    received: u64,
    missed: u64,
    cents: u64,
    low: u32,
    high: u32,
}

impl Seen {
    fn add(&mut self, quote: &[u8; QUOTE], missed: u64) {
        let number_at = |at: usize| u64::from_ne_bytes(quote[at..][..8].try_into().expect("8 bytes"));
        let (number, again) = (number_at(0), number_at(24));
        let cents = u32::from_ne_bytes(quote[20..][..4].try_into().expect("4 bytes"));
        if self.received == 0 {
            (self.began, self.low, self.high) = (number - missed, cents, cents);
        }
        assert_eq!(number, again, "torn");
        assert_eq!(number, self.began + self.received + missed, "came after {self:?}, and {missed} missed");
        self.received += 1;
        self.missed = missed;
        self.cents += u64::from(cents);
        (self.low, self.high) = (self.low.min(cents), self.high.max(cents));
    }
}

fn watch(quotes: &mut Subscriber) -> Result<Seen> {
    let (mut seen, mut quote) = (Seen::default(), [0; QUOTE]);
    loop {
        let len = quotes.recv(&mut quote)?;
        if len == 0 {
            seen.missed = quotes.missed();
            return Ok(seen);
        }
        assert_eq!(len, QUOTE, "this is no quote");
        seen.add(&quote, quotes.missed());
    }
}

fn main() -> Result<()> {
    let topic = std::env::args().nth(1).expect("usage: ticker_watch TOPIC");
    let mut quotes = Topic::attach(&topic)?.subscriber()?;
    println!("watching");
    let Seen { received, missed, cents, low, high, .. } = watch(&mut quotes)?;
    println!("received {received} missed {missed} cents {cents} low {low} high {high}");
    Ok(())
}
