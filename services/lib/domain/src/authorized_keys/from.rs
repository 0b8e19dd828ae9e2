//! The pattern list of a `from` option, matched as sshd matches it: addresses and networks first, then wildcards; one
//! pattern with `!` that matches refuses whatever else does.

use std::net::IpAddr;

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadPattern {
    #[error("a pattern is empty, or holds something else than letters, digits and . : - _ * ? / %")]
    Form,
    #[error("a network has bits behind its mask, or too long a mask; sshd refuses the whole list")]
    Network,
    #[error("every pattern refuses; name at least one that admits")]
    AdmitsNobody,
}

enum Pattern<'a> {
    Network(IpAddr, u8),
    Text(&'a str),
}

pub(super) fn check(list: &str) -> Result<(), BadPattern> {
    let mut admits = false;
    for item in list.split(',') {
        let pattern = item.strip_prefix('!').unwrap_or(item);
        admits |= pattern.len() == item.len();
        let plain = pattern.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".:-_*?/%".contains(&byte));
        if pattern.is_empty() || !plain {
            return Err(BadPattern::Form);
        }
        // `10.1` would be read as the address 10.0.0.1.
        let crippled = pattern.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
        match parse(pattern)? {
            Pattern::Text(_) if crippled || pattern.contains('/') => return Err(BadPattern::Network),
            _ => {}
        }
    }
    if admits { Ok(()) } else { Err(BadPattern::AdmitsNobody) }
}

/// Whether a client of this address, whose name is not known, is let in.
pub(super) fn contains(list: &str, address: IpAddr) -> bool {
    let address = address.to_canonical();
    let text = address.to_string();
    let mut admitted = false;
    for item in list.split(',') {
        let pattern = item.strip_prefix('!').unwrap_or(item);
        let matches = match parse(pattern) {
            Ok(Pattern::Network(network, mask)) => lies_in(address, network, mask),
            Ok(Pattern::Text(pattern)) => glob(&text, &pattern.to_ascii_lowercase()),
            Err(_) => return false,
        };
        if matches && pattern.len() != item.len() {
            return false;
        }
        admitted |= matches;
    }
    admitted
}

fn parse(pattern: &str) -> Result<Pattern<'_>, BadPattern> {
    let (address, mask) = match pattern.split_once('/') {
        Some((address, mask)) => (address, Some(mask)),
        None => (pattern, None),
    };
    let Ok(address) = address.parse::<IpAddr>() else { return Ok(Pattern::Text(pattern)) };
    let longest = if address.is_ipv4() { 32 } else { 128 };
    let mask = match mask {
        None => longest,
        Some(mask) => mask.parse().ok().filter(|mask| *mask <= longest).ok_or(BadPattern::Network)?,
    };
    if bits(address).checked_shl(u32::from(mask).saturating_add(128 - u32::from(longest))).unwrap_or(0) != 0 {
        return Err(BadPattern::Network);
    }
    Ok(Pattern::Network(address, mask))
}

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(u32::from(address)),
        IpAddr::V6(address) => u128::from(address),
    }
}

fn lies_in(address: IpAddr, network: IpAddr, mask: u8) -> bool {
    let longest: u8 = if network.is_ipv4() { 32 } else { 128 };
    let behind = u32::from(longest.saturating_sub(mask));
    let front = |address: IpAddr| bits(address).checked_shr(behind).unwrap_or(0);
    address.is_ipv4() == network.is_ipv4() && front(address) == front(network)
}

/// `*` and `?`, in a time that no pattern makes long.
fn glob(text: &str, pattern: &str) -> bool {
    let mut reached = vec![false; text.len().saturating_add(1)];
    if let Some(first) = reached.first_mut() {
        *first = true;
    }
    for wanted in pattern.bytes() {
        let before = reached.clone();
        let mut any = false;
        for (at, place) in reached.iter_mut().enumerate() {
            let here = before.get(at).copied().unwrap_or(false);
            any |= here;
            let previous = at.checked_sub(1).filter(|at| before.get(*at).copied().unwrap_or(false));
            let same = previous
                .and_then(|at| text.as_bytes().get(at))
                .is_some_and(|byte| wanted == b'?' || *byte == wanted);
            *place = if wanted == b'*' { any } else { same };
        }
    }
    reached.last().copied().unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admits(list: &str, address: &str) -> bool {
        contains(list, address.parse().unwrap())
    }

    #[test]
    fn addresses_networks_and_wildcards_match_as_in_sshd() {
        for (list, address, admitted) in [
            ("10.0.0.0/8", "10.1.2.3", true),
            ("10.0.0.0/8", "11.1.2.3", false),
            ("10.0.0.0/8,!10.1.0.0/16", "10.1.2.3", false),
            ("!10.1.0.0/16,10.0.0.0/8", "10.1.2.3", false),
            ("0.0.0.0/0", "192.0.2.1", true),
            ("::/0", "192.0.2.1", false),
            ("2001:db8::/32", "2001:db8::7", true),
            ("2001:db8::/33", "2001:db8:8000::7", false),
            ("192.0.2.1", "::ffff:192.0.2.1", true),
            ("192.0.2.*", "192.0.2.77", true),
            ("192.0.?.1", "192.0.2.1", true),
            ("192.0.?.1", "192.0.22.1", false),
            ("*", "2001:db8::7", true),
            ("*.example.org", "192.0.2.1", false),
            ("!*,192.0.2.1", "192.0.2.1", false),
            ("10.0.0.1/8,192.0.2.1", "192.0.2.1", false),
        ] {
            assert_eq!(admits(list, address), admitted, "{list} {address}");
        }
    }

    #[test]
    fn a_list_that_sshd_would_refuse_is_refused() {
        for good in ["*", "10.0.0.0/8", "!10.1.0.0/16,10.*", "a-b.example.org,::1", "fe80::/10"] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        for bad in ["", "a,,b", "!", "a b", "10.0.0.1, 10.0.0.2", "a\"b"] {
            assert_eq!(check(bad), Err(BadPattern::Form), "{bad:?}");
        }
        for bad in ["10.0.0.1/8", "10.0.0.0/33", "::1/64", "10.0.0.0/", "10.1", "10.0/8", "name/8"] {
            assert_eq!(check(bad), Err(BadPattern::Network), "{bad}");
        }
        assert_eq!(check("!10.0.0.0/8"), Err(BadPattern::AdmitsNobody));
    }

    #[test]
    fn many_stars_take_no_time() {
        assert!(!glob(&"1".repeat(45), &format!("{}x", "*1".repeat(400))));
    }
}
