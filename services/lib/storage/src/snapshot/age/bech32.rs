//! Bech32 (BIP 173), in which age writes its keys.

const ALPHABET: &[u8; 32] = b"qpzry9x8gf2tvdw0s3jn54khce6mua7l";
const GENERATOR: [u32; 5] = [0x3b6a_57b2, 0x2650_8e6d, 0x1ea1_19fa, 0x3d42_33dd, 0x2a14_62b3];
const CHECKSUM: usize = 6;

/// The 32 bytes of a key with this prefix, in the prefix's case; None for anything else.
pub fn decode(text: &str, prefix: &str) -> Option<[u8; 32]> {
    let data = text.strip_prefix(prefix)?.strip_prefix('1')?;
    let upper = prefix.bytes().any(|byte| byte.is_ascii_uppercase());
    if data.bytes().any(|byte| if upper { byte.is_ascii_lowercase() } else { byte.is_ascii_uppercase() }) {
        return None;
    }
    let values: Vec<u8> = data
        .bytes()
        .map(|byte| byte.to_ascii_lowercase())
        .map(|symbol| ALPHABET.iter().position(|known| *known == symbol).and_then(|at| u8::try_from(at).ok()))
        .collect::<Option<_>>()?;
    let mut all = expanded(prefix);
    all.extend(&values);
    if polymod(&all) != 1 {
        return None;
    }
    regroup(values.get(..values.len().checked_sub(CHECKSUM)?)?)
}

fn expanded(prefix: &str) -> Vec<u8> {
    let prefix = prefix.to_ascii_lowercase();
    let high = prefix.bytes().map(|byte| byte >> 5);
    let low = prefix.bytes().map(|byte| byte & 31);
    high.chain([0]).chain(low).collect()
}

fn polymod(values: &[u8]) -> u32 {
    let mut check = 1u32;
    for value in values {
        let top = check >> 25;
        check = ((check & 0x01ff_ffff) << 5) ^ u32::from(*value);
        for (bit, generator) in GENERATOR.iter().enumerate() {
            if (top >> bit) & 1 == 1 {
                check ^= generator;
            }
        }
    }
    check
}

/// Groups of five bits into 32 bytes; what is left over must be zero bits, fewer than five.
fn regroup(values: &[u8]) -> Option<[u8; 32]> {
    let (mut bits, mut held, mut bytes) = (0u32, 0u32, Vec::with_capacity(32));
    for value in values {
        held = (held << 5) | u32::from(*value);
        bits += 5;
        if bits >= 8 {
            bits -= 8;
            bytes.push(u8::try_from((held >> bits) & 0xff).ok()?);
            held &= (1 << bits) - 1;
        }
    }
    (bits < 5 && held == 0).then_some(())?;
    bytes.try_into().ok()
}
