//! What a public key's blob says of itself, for keys that no client of ours would make: only to judge them.

/// Algorithm and size, as `ssh-keygen -l` says them; 0 bits where the size is not known.
pub fn describe(name: &[u8], blob: &[u8]) -> (String, u32) {
    let algorithm =
        String::from_utf8_lossy(name).chars().filter(char::is_ascii_graphic).take(60).collect::<String>();
    let mut reader = Reader(blob);
    let _ = reader.string();
    let bits = match algorithm.as_str() {
        "ssh-rsa" => {
            let _exponent = reader.string();
            bit_length(reader.string())
        }
        "ssh-dss" => bit_length(reader.string()),
        "ssh-ed25519" | "ecdsa-sha2-nistp256" => 256,
        "ecdsa-sha2-nistp384" => 384,
        "ecdsa-sha2-nistp521" => 521,
        "sk-ssh-ed25519@openssh.com" | "sk-ecdsa-sha2-nistp256@openssh.com" => 256,
        _ => 0,
    };
    (algorithm, bits)
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn string(&mut self) -> &'a [u8] {
        let Some((length, rest)) = self.0.split_first_chunk::<4>() else { return b"" };
        let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
        let Some((text, rest)) = rest.split_at_checked(length) else { return b"" };
        self.0 = rest;
        text
    }
}

fn bit_length(number: &[u8]) -> u32 {
    let start = number.iter().position(|byte| *byte != 0).unwrap_or(number.len());
    let number = number.get(start..).unwrap_or_default();
    let whole = u32::try_from(number.len()).unwrap_or(0).saturating_mul(8);
    whole.saturating_sub(number.first().map_or(0, |byte| byte.leading_zeros()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blob(parts: &[&[u8]]) -> Vec<u8> {
        parts
            .iter()
            .flat_map(|part| [&u32::try_from(part.len()).unwrap().to_be_bytes()[..], part].concat())
            .collect()
    }

    #[test]
    fn a_size_is_that_of_the_number_and_a_lie_is_none() {
        let modulus = [vec![0, 0x80], vec![0; 127]].concat();
        assert_eq!(
            describe(b"ssh-rsa", &blob(&[b"ssh-rsa", &[1, 0, 1], &modulus])),
            ("ssh-rsa".into(), 1024)
        );
        assert_eq!(describe(b"ssh-dss", &blob(&[b"ssh-dss", &modulus])).1, 1024);
        assert_eq!(describe(b"ssh-rsa", &[0xff; 9]).1, 0);
        assert_eq!(describe(b"what\x1bever", b""), ("whatever".into(), 0));
    }
}
