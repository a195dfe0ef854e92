//! What is asked: each request names another key, some much more often than others, at moments that nobody has agreed on.

use std::time::Duration;

use serde_json::{Value, json};

use super::keys;

/// The route of a verification.
pub(crate) const VERIFY: &str = "/v2/keys.verifyKey";

/// Keys drawn in advance, so that a request costs the generator a few nanoseconds: more than a second of requests at full speed, and 1 MiB.
const DRAWS: usize = 1 << 18;

/// A kind of request.
#[derive(Clone, Copy)]
pub(crate) enum Kind {
    Verify,
    Limit,
    VerifyV1,
}

impl Kind {
    /// What stands in each right answer.
    pub(crate) fn marker(self) -> &'static [u8] {
        match self {
            Self::Verify => br#""code":"VALID""#,
            Self::Limit => br#""success":true"#,
            Self::VerifyV1 => br#""valid":true"#,
        }
    }

    /// Head and body, naming the key with number 0.
    fn render(self, root_key: &str) -> Vec<u8> {
        let key = keys::plain(0);
        let (path, body): (&str, Value) = match self {
            Self::Verify => (VERIFY, json!({"key": key})),
            Self::Limit => {
                let limit =
                    json!({"namespace": "requests", "limit": 1_000_000_000, "duration": 60_000, "identifier": key});
                ("/v2/ratelimit.limit", limit)
            }
            Self::VerifyV1 => ("/v1/keys.verifyKey", json!({"key": key})),
        };
        let body = body.to_string();
        let caller = match self {
            Self::Verify | Self::Limit => format!("authorization: Bearer {root_key}\r\n"),
            Self::VerifyV1 => String::new(), // v1 has none
        };
        let length = body.len();
        format!(
            "POST {path} HTTP/1.1\r\nhost: localhost\r\n{caller}content-type: application/json\r\n\
             content-length: {length}\r\n\r\n{body}"
        )
        .into_bytes()
    }
}

/// Requests of one kind for keys by Zipf.
pub(crate) struct Workload {
    pub(crate) kind: Kind,
    request: Vec<u8>,
    /// Where the number of the key begins in it.
    digits: usize,
    numbers: Vec<u32>,
    drawn: usize,
}

impl Workload {
    pub(crate) fn new(kind: Kind, root_key: &str, keys: usize) -> Self {
        let request = kind.render(root_key);
        let prefix = keys::PREFIX.as_bytes();
        let key = request.windows(prefix.len()).position(|window| window == prefix).unwrap_or_default();
        Self { kind, request, digits: key + prefix.len(), numbers: zipf(keys, DRAWS), drawn: 0 }
    }

    /// The next request, whole.
    pub(crate) fn next(&mut self) -> &[u8] {
        let mut number = self.numbers[self.drawn];
        self.drawn = (self.drawn + 1) % self.numbers.len();
        for digit in self.request[self.digits..self.digits + keys::DIGITS].iter_mut().rev() {
            *digit = b'0' + u8::try_from(number % 10).unwrap_or_default();
            number /= 10;
        }
        &self.request
    }
}

/// Numbers below `keys`; the rank `r` comes with a frequency of 1/r. Ranks are spread over the numbers, so that neighbours in the index and
/// in memory aren't all popular.
fn zipf(keys: usize, draws: usize) -> Vec<u32> {
    let mut sums = Vec::with_capacity(keys);
    let mut total = 0.0;
    for rank in 1..=u32::try_from(keys).unwrap_or(u32::MAX) {
        total += 1.0 / f64::from(rank);
        sums.push(total);
    }
    let mut random = Random::new(1);
    let draw = |_| {
        let at = random.unit() * total;
        let rank = sums.partition_point(|sum| *sum < at).min(keys - 1);
        u32::try_from((rank * 7_368_787) % keys).unwrap_or_default()
    };
    (0..draws).map(draw).collect()
}

/// The same numbers in each run.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// In (0, 1).
    pub(crate) fn unit(&mut self) -> f64 {
        // xorshift64*; its upper half is even enough for arrivals and ranks.
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let upper = u32::try_from(self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32).unwrap_or_default();
        (f64::from(upper) + 0.5) / 4_294_967_296.0
    }

    /// From one arrival to the next when arrivals know nothing of each other (a Poisson process).
    pub(crate) fn gap(&mut self, per_second: f64) -> Duration {
        Duration::from_secs_f64(-self.unit().ln() / per_second)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_request_is_whole_and_names_a_key() {
        let mut workload = Workload::new(Kind::Verify, "a-root-key", 100);
        let (mut seen, numbers) = (Vec::new(), workload.numbers.clone());
        for number in &numbers[..50] {
            let request = String::from_utf8(workload.next().to_vec()).unwrap();
            let (head, body) = request.split_once("\r\n\r\n").unwrap();
            assert_eq!(body, json!({"key": keys::plain(*number as usize)}).to_string());
            assert!(head.contains(&format!("content-length: {}", body.len())) && head.contains("Bearer a-root-key"));
            seen.push(request);
        }
        seen.dedup();
        assert!(seen.len() > 25, "requests differ");
    }

    #[test]
    fn v1_has_no_caller() {
        let request = String::from_utf8(Workload::new(Kind::VerifyV1, "a-root-key", 1).next().to_vec()).unwrap();
        assert!(!request.contains("a-root-key"), "{request}");
    }

    #[test]
    fn the_first_rank_has_its_share_and_every_number_can_come() {
        let (keys, draws) = (100, 200_000);
        let mut counts = vec![0_u32; keys];
        for number in zipf(keys, draws) {
            counts[number as usize] += 1;
        }
        let expected = 200_000.0 / (1..=100).map(|rank| 1.0 / f64::from(rank)).sum::<f64>();
        assert!((f64::from(counts[0]) / expected - 1.0).abs() < 0.05, "{} and not {expected}", counts[0]);
        assert!(counts.iter().all(|count| *count > 0));
    }

    #[test]
    fn gaps_have_the_mean_and_the_spread_of_an_exponential_distribution() {
        let mut random = Random::new(7);
        let gaps: Vec<f64> = (0..100_000).map(|_| random.gap(2_000.0).as_secs_f64()).collect();
        let mean = gaps.iter().sum::<f64>() / 100_000.0;
        let spread = (gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / 100_000.0).sqrt();
        assert!((mean * 2_000.0 - 1.0).abs() < 0.02 && (spread / mean - 1.0).abs() < 0.02, "{mean} {spread}");
    }
}
