//! What a server lists in its SSH_MSG_KEXINIT (RFC 4253 section 7.1).
//!
//! Invariant: a name that comes out of here is an algorithm name of RFC 4251 section 6: printable ASCII, at most 64
//! characters, no comma, at most one at-sign. One bad byte, and nothing of the message is believed.

/// The message number of SSH_MSG_KEXINIT.
pub(crate) const MESSAGE: u8 = 20;

const COOKIE: usize = 16;
const MAX_NAME: usize = 64;
const MAX_NAMES: usize = 256;

/// The algorithms that a server offers, in its order and each once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AlgorithmOffer {
    /// With the markers that stand among them, such as `kex-strict-s-v00@openssh.com`.
    pub kex: Vec<String>,
    pub host_keys: Vec<String>,
    /// Those towards the client, then what is only offered towards the server. `macs` and `compression` likewise.
    pub ciphers: Vec<String>,
    pub macs: Vec<String>,
    pub compression: Vec<String>,
}

/// Why a message is no SSH_MSG_KEXINIT.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Malformed {
    #[error("a packet of an impossible size")]
    Packet,
    #[error("another message before the key exchange")]
    Message,
    #[error("a message that ends too early")]
    Truncated,
    #[error("a message that goes on after its end")]
    Trailing,
    #[error("a list of too many algorithms")]
    TooMany,
    #[error("something that is no algorithm name")]
    Name,
}

impl AlgorithmOffer {
    /// `payload` starts with the message number and ends before the padding.
    pub(crate) fn parse(payload: &[u8]) -> Result<Self, Malformed> {
        let mut rest = Reader(payload);
        if rest.byte()? != MESSAGE {
            return Err(Malformed::Message);
        }
        rest.take(COOKIE)?;
        let (kex, host_keys) = (rest.names()?, rest.names()?);
        // Of each pair the list towards the server comes first.
        let mut pair = || Ok((rest.names()?, rest.names()?));
        let [ciphers, macs, compression, _languages] = [pair()?, pair()?, pair()?, pair()?]
            .map(|(to_server, to_client)| once_each(to_client.into_iter().chain(to_server)));
        let _guessed_packet_follows = rest.byte()?;
        let _reserved = rest.number()?;
        if !rest.0.is_empty() {
            return Err(Malformed::Trailing);
        }
        Ok(Self { kex: once_each(kex), host_keys: once_each(host_keys), ciphers, macs, compression })
    }
}

/// What was not read yet.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, n: usize) -> Result<&'a [u8], Malformed> {
        let (head, tail) = self.0.split_at_checked(n).ok_or(Malformed::Truncated)?;
        self.0 = tail;
        Ok(head)
    }

    fn byte(&mut self) -> Result<u8, Malformed> {
        self.take(1)?.first().copied().ok_or(Malformed::Truncated)
    }

    fn number(&mut self) -> Result<u32, Malformed> {
        self.take(4)?.first_chunk().map(|bytes| u32::from_be_bytes(*bytes)).ok_or(Malformed::Truncated)
    }

    fn names(&mut self) -> Result<Vec<String>, Malformed> {
        let length = usize::try_from(self.number()?).map_err(|_| Malformed::Truncated)?;
        let list = self.take(length)?;
        if list.is_empty() {
            return Ok(Vec::new());
        }
        let names: Vec<String> =
            list.split(|&b| b == b',').take(MAX_NAMES + 1).map(name).collect::<Result<_, _>>()?;
        if names.len() > MAX_NAMES { Err(Malformed::TooMany) } else { Ok(names) }
    }
}

fn name(bytes: &[u8]) -> Result<String, Malformed> {
    let printable = bytes.iter().all(u8::is_ascii_graphic);
    let at_signs = bytes.iter().filter(|&&b| b == b'@').count();
    if bytes.is_empty() || bytes.len() > MAX_NAME || !printable || at_signs > 1 {
        return Err(Malformed::Name);
    }
    Ok(bytes.iter().map(|&b| char::from(b)).collect())
}

fn once_each(names: impl IntoIterator<Item = String>) -> Vec<String> {
    let mut seen = Vec::new();
    for name in names {
        if !seen.contains(&name) {
            seen.push(name);
        }
    }
    seen
}

#[cfg(test)]
mod tests {
    use super::*;

    const LISTS: [&str; 10] = [
        "mlkem768x25519-sha256,kex-strict-s-v00@openssh.com",
        "ssh-ed25519,rsa-sha2-512",
        "aes128-ctr,aes256-gcm@openssh.com",
        "aes256-gcm@openssh.com,aes256-ctr",
        "hmac-sha2-256",
        "hmac-sha2-256,hmac-sha2-256",
        "none",
        "none,zlib@openssh.com",
        "",
        "",
    ];

    fn message(lists: &[impl AsRef<[u8]>]) -> Vec<u8> {
        let mut message = vec![MESSAGE];
        message.extend([7; COOKIE]);
        for list in lists.iter().map(AsRef::as_ref) {
            message.extend(u32::try_from(list.len()).unwrap().to_be_bytes());
            message.extend(list);
        }
        message.extend([0; 5]);
        message
    }

    /// With `list` as the key exchange methods.
    fn with_kex(list: &[u8]) -> Result<AlgorithmOffer, Malformed> {
        let mut lists = LISTS.map(str::as_bytes);
        lists[0] = list;
        AlgorithmOffer::parse(&message(&lists))
    }

    #[test]
    fn lists_are_read_and_both_directions_merged() {
        let offer = AlgorithmOffer::parse(&message(&LISTS)).unwrap();
        assert_eq!(offer.kex, ["mlkem768x25519-sha256", "kex-strict-s-v00@openssh.com"]);
        assert_eq!(offer.host_keys, ["ssh-ed25519", "rsa-sha2-512"]);
        assert_eq!(offer.ciphers, ["aes256-gcm@openssh.com", "aes256-ctr", "aes128-ctr"]);
        assert_eq!(offer.macs, ["hmac-sha2-256"]);
        assert_eq!(offer.compression, ["none", "zlib@openssh.com"]);
    }

    #[test]
    fn every_truncation_and_every_addition_is_refused() {
        let whole = message(&LISTS);
        for end in 0..whole.len() {
            assert_eq!(AlgorithmOffer::parse(&whole[..end]), Err(Malformed::Truncated), "{end}");
        }
        let longer = [whole.as_slice(), &[0]].concat();
        assert_eq!(AlgorithmOffer::parse(&longer), Err(Malformed::Trailing));
    }

    #[test]
    fn no_changed_byte_gives_a_bad_name() {
        let whole = message(&LISTS);
        for at in 0..whole.len() {
            for value in 0..=u8::MAX {
                let mut changed = whole.clone();
                changed[at] = value;
                let Ok(offer) = AlgorithmOffer::parse(&changed) else { continue };
                let AlgorithmOffer { kex, host_keys, ciphers, macs, compression } = offer;
                for name in [kex, host_keys, ciphers, macs, compression].concat() {
                    assert!(!name.is_empty() && name.len() <= MAX_NAME, "{name:?}");
                    assert!(name.bytes().all(|b| b.is_ascii_graphic() && b != b','), "{name:?}");
                }
            }
        }
    }

    #[test]
    fn another_message_is_refused() {
        let mut whole = message(&LISTS);
        whole[0] = 21;
        assert_eq!(AlgorithmOffer::parse(&whole), Err(Malformed::Message));
    }

    #[test]
    fn only_algorithm_names_are_names() {
        for bad in ["a,,b", ",a", "a,", ",", "a b", "a\tb", "a\u{7f}", "caf\u{e9}", "a@b@c", "\0"] {
            assert_eq!(with_kex(bad.as_bytes()), Err(Malformed::Name), "{bad:?}");
        }
        assert_eq!(with_kex(b"\xff"), Err(Malformed::Name));
        assert_eq!(with_kex(&[b'a'; MAX_NAME + 1]), Err(Malformed::Name));
        assert_eq!(with_kex(&[b'a'; MAX_NAME]).unwrap().kex[0].len(), MAX_NAME);
        assert!(with_kex(b"").unwrap().kex.is_empty());
    }

    #[test]
    fn a_list_has_a_bounded_number_of_names() {
        let many = |n: usize| (0..n).map(|i| format!("x{i}")).collect::<Vec<_>>().join(",");
        assert_eq!(with_kex(many(MAX_NAMES).as_bytes()).unwrap().kex.len(), MAX_NAMES);
        assert_eq!(with_kex(many(MAX_NAMES + 1).as_bytes()), Err(Malformed::TooMany));
    }

    #[test]
    fn a_length_beyond_the_message_is_refused() {
        let mut whole = message(&LISTS);
        whole[1 + COOKIE..1 + COOKIE + 4].copy_from_slice(&u32::MAX.to_be_bytes());
        assert_eq!(AlgorithmOffer::parse(&whole), Err(Malformed::Truncated));
    }
}
