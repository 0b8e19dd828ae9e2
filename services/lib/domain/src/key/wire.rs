//! The data types of RFC 4251 section 5. Nothing is allocated from a length that a stranger wrote.

use super::error::KeyError;

/// Reads from the front of a slice; what does not fit is `Truncated`.
pub(super) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(super) fn take(&mut self, count: usize) -> Result<&'a [u8], KeyError> {
        let (head, rest) = self.0.split_at_checked(count).ok_or(KeyError::Truncated)?;
        self.0 = rest;
        Ok(head)
    }

    pub(super) fn byte(&mut self) -> Result<u8, KeyError> {
        self.take(1)?.first().copied().ok_or(KeyError::Truncated)
    }

    pub(super) fn u32(&mut self) -> Result<u32, KeyError> {
        let (bytes, rest) = self.0.split_first_chunk::<4>().ok_or(KeyError::Truncated)?;
        self.0 = rest;
        Ok(u32::from_be_bytes(*bytes))
    }

    pub(super) fn string(&mut self) -> Result<&'a [u8], KeyError> {
        let length = usize::try_from(self.u32()?).map_err(|_| KeyError::Truncated)?;
        self.take(length)
    }

    pub(super) fn text(&mut self) -> Result<&'a str, KeyError> {
        std::str::from_utf8(self.string()?).map_err(|_| KeyError::Unparsable)
    }

    /// The magnitude of a non-negative mpint, without leading zeros.
    pub(super) fn unsigned(&mut self) -> Result<&'a [u8], KeyError> {
        let bytes = self.string()?;
        if bytes.first().is_some_and(|top| top & 0x80 != 0) {
            return Err(KeyError::Unparsable);
        }
        Ok(strip_zeros(bytes))
    }

    pub(super) const fn rest(&self) -> &'a [u8] {
        self.0
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

pub(super) fn strip_zeros(mut bytes: &[u8]) -> &[u8] {
    while let Some((0, rest)) = bytes.split_first() {
        bytes = rest;
    }
    bytes
}

/// The number of bits of an unsigned big-endian number.
pub(super) fn bit_length(bytes: &[u8]) -> u32 {
    let bytes = strip_zeros(bytes);
    let whole = u32::try_from(bytes.len()).unwrap_or(u32::MAX / 8).saturating_mul(8);
    whole.saturating_sub(bytes.first().map_or(0, |top| top.leading_zeros()))
}

pub(super) fn is_odd(number: &[u8]) -> bool {
    number.last().is_some_and(|low| low & 1 == 1)
}

pub(super) fn put_u32(out: &mut Vec<u8>, value: u32) {
    out.extend_from_slice(&value.to_be_bytes());
}

/// Strings here are far below 4 GiB: they come from bounded input.
pub(super) fn put_string(out: &mut Vec<u8>, bytes: &[u8]) {
    put_u32(out, u32::try_from(bytes.len()).unwrap_or(u32::MAX));
    out.extend_from_slice(bytes);
}

pub(super) fn put_unsigned(out: &mut Vec<u8>, magnitude: &[u8]) {
    let bytes = strip_zeros(magnitude);
    let pad = bytes.first().is_some_and(|top| top & 0x80 != 0);
    put_u32(out, u32::try_from(bytes.len()).unwrap_or(u32::MAX - 1).saturating_add(u32::from(pad)));
    if pad {
        out.push(0);
    }
    out.extend_from_slice(bytes);
}
