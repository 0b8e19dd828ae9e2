//! What editors, mail programs and web pages do to a text before it is sent here.

use zeroize::Zeroizing;

const UTF8_MARK: &[u8] = b"\xef\xbb\xbf";

/// The same text in UTF-8, where it came in UTF-16 (as PowerShell's `>` writes it). None: it did not.
pub(super) fn from_utf16(bytes: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let (mark, rest) = bytes.split_first_chunk::<2>()?;
    let unit = match mark {
        [0xff, 0xfe] => u16::from_le_bytes,
        [0xfe, 0xff] => u16::from_be_bytes,
        _ => return None,
    };
    // Three bytes for two at most: a buffer that grows would leave copies behind.
    let mut text = Zeroizing::new(Vec::with_capacity(bytes.len().saturating_mul(2)));
    let units = rest.as_chunks::<2>().0.iter().map(|pair| unit(*pair));
    for character in char::decode_utf16(units) {
        let character = character.unwrap_or(char::REPLACEMENT_CHARACTER);
        text.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
    }
    Some(text)
}

pub(super) fn without_mark(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(UTF8_MARK).unwrap_or(bytes)
}

/// The line without what indentation and replies put in front of it (`> `).
pub(super) fn unquoted(line: &[u8]) -> &[u8] {
    let start = line.iter().position(|byte| !matches!(byte, b'>' | b' ' | b'\t')).unwrap_or(line.len());
    line.get(start..).unwrap_or_default()
}

/// Appends a line of base64 without blanks, those that do not show included.
pub(super) fn put_squeezed(out: &mut Vec<u8>, line: &[u8]) {
    let line = unquoted(line);
    match std::str::from_utf8(line) {
        Ok(text) if !text.is_ascii() => {
            for character in text.chars().filter(|character| !is_blank(*character)) {
                out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
            }
        }
        _ => out.extend(line.iter().filter(|byte| !byte.is_ascii_whitespace())),
    }
}

/// White space, and the characters of no width that web pages put into long words.
fn is_blank(character: char) -> bool {
    character.is_whitespace()
        || matches!(character, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2060}' | '\u{feff}')
}
