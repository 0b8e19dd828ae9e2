//! PEM blocks in text that people paste: prose around them, any line ends, lost newlines.

use super::error::KeyError;
use super::text::{put_squeezed, unquoted};
use zeroize::Zeroizing;

const BEGIN: &[u8] = b"-----BEGIN ";
const END: &[u8] = b"-----END ";
const DASHES: &[u8] = b"-----";
/// More than any honest file has.
const MAX_BLOCKS: usize = 8;

/// One block, from its BEGIN to its END line.
pub(super) struct Block<'a> {
    pub(super) label: &'a str,
    body: &'a [u8],
}

/// The blocks of a text; a block without an end is `Truncated`.
pub(super) fn blocks(text: &[u8]) -> Result<Vec<Block<'_>>, KeyError> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some((_, after)) = split_at_mark(rest, BEGIN) {
        let (label, after) = split_at_mark(after, DASHES).ok_or(KeyError::Truncated)?;
        let (body, after) = split_at_mark(after, END).ok_or(KeyError::Truncated)?;
        let (end_label, after) = split_at_mark(after, DASHES).ok_or(KeyError::Truncated)?;
        let label = std::str::from_utf8(label).map_err(|_| KeyError::Unparsable)?.trim();
        if end_label.trim_ascii() != label.as_bytes() || found.len() >= MAX_BLOCKS {
            return Err(KeyError::Unparsable);
        }
        found.push(Block { label, body });
        rest = after;
    }
    if found.is_empty() && split_at_mark(text, END).is_some() {
        return Err(KeyError::Truncated);
    }
    Ok(found)
}

impl<'a> Block<'a> {
    /// The value of a header such as `DEK-Info`.
    pub(super) fn header(&self, name: &str) -> Option<&'a str> {
        lines(self.body).find_map(|line| {
            let text = std::str::from_utf8(unquoted(line)).ok()?;
            let (key, value) = text.split_once(':')?;
            key.trim().eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    /// The bytes; blanks do not count, header lines are passed over.
    pub(super) fn decode(&self) -> Result<Zeroizing<Vec<u8>>, KeyError> {
        let mut encoded = Zeroizing::new(Vec::with_capacity(self.body.len()));
        for line in lines(self.body).filter(|line| !line.contains(&b':')) {
            put_squeezed(&mut encoded, line);
        }
        decode_base64(&encoded)
    }
}

/// With or without its padding.
pub(super) fn decode_base64(encoded: &[u8]) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    let end = encoded.iter().rposition(|byte| *byte != b'=').map_or(0, |last| last.saturating_add(1));
    let digits = encoded.get(..end).unwrap_or_default();
    match data_encoding::BASE64_NOPAD.decode(digits) {
        Ok(bytes) if bytes.is_empty() => Err(KeyError::Truncated),
        Ok(bytes) => Ok(Zeroizing::new(bytes)),
        Err(error) if error.kind == data_encoding::DecodeKind::Symbol => Err(KeyError::Unparsable),
        // A wrong length or bits left over: a part is missing.
        Err(_) => Err(KeyError::Truncated),
    }
}

/// Lines with any line end; empty ones are passed over.
pub(super) fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|byte| matches!(byte, b'\n' | b'\r')).filter(|line| !line.trim_ascii().is_empty())
}

/// What stands before the first `mark`, and what stands after it.
pub(super) fn split_at_mark<'a>(text: &'a [u8], mark: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let at = text.windows(mark.len()).position(|window| window == mark)?;
    let (before, from) = text.split_at_checked(at)?;
    Some((before, from.get(mark.len()..)?))
}
