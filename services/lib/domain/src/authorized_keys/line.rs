//! Lines as sshd reads them, beside their bytes as they stand.

use super::options::Options;

/// A file as its lines. Nothing is normalised: `to_bytes` gives back what was parsed.
pub struct Document<'a> {
    lines: Vec<Line<'a>>,
}

/// One line with its line end.
pub struct Line<'a> {
    raw: &'a [u8],
    content: Content<'a>,
}

/// What sshd makes of a line.
pub enum Content<'a> {
    Blank,
    Comment,
    Key(KeyLine<'a>),
    /// sshd ignores it.
    Unknown,
}

/// A line that names a key, of any type.
pub struct KeyLine<'a> {
    options: Options<'a>,
    name: &'a [u8],
    encoded: &'a [u8],
    blob: Vec<u8>,
    comment: &'a [u8],
}

impl<'a> Document<'a> {
    pub fn parse(file: &'a [u8]) -> Self {
        Self { lines: file.split_inclusive(|byte| *byte == b'\n').map(Line::parse).collect() }
    }

    pub fn lines(&self) -> &[Line<'a>] {
        &self.lines
    }

    pub fn keys(&self) -> impl Iterator<Item = &KeyLine<'a>> {
        self.lines.iter().filter_map(Line::key)
    }

    pub fn to_bytes(&self) -> Vec<u8> {
        self.lines.iter().flat_map(|line| line.raw.iter().copied()).collect()
    }
}

impl<'a> Line<'a> {
    fn parse(raw: &'a [u8]) -> Self {
        let text = raw.strip_suffix(b"\n").unwrap_or(raw);
        // sshd holds the line as a C string.
        let text = text.split(|byte| *byte == 0).next().unwrap_or_default();
        let text = skip_blanks(text);
        let content = match text.first() {
            None => Content::Blank,
            Some(b'\r') if text.len() == 1 => Content::Blank,
            Some(b'#') => Content::Comment,
            Some(_) => match KeyLine::parse(text) {
                Some(key) => Content::Key(key),
                None => Content::Unknown,
            },
        };
        Self { raw, content }
    }

    /// The bytes, with the line end.
    pub const fn raw(&self) -> &'a [u8] {
        self.raw
    }

    pub const fn content(&self) -> &Content<'a> {
        &self.content
    }

    pub const fn key(&self) -> Option<&KeyLine<'a>> {
        match &self.content {
            Content::Key(key) => Some(key),
            _ => None,
        }
    }

    /// `\n`, `\r\n`, or nothing on a last line without one.
    pub fn line_end(&self) -> &'static [u8] {
        match self.raw {
            [.., b'\r', b'\n'] => b"\r\n",
            [.., b'\n'] => b"\n",
            _ => b"",
        }
    }

    /// The bytes without the line end.
    pub fn text(&self) -> &'a [u8] {
        self.raw.get(..self.raw.len().saturating_sub(self.line_end().len())).unwrap_or_default()
    }
}

impl<'a> KeyLine<'a> {
    /// As sshd does it: first without options, then behind them.
    fn parse(text: &'a [u8]) -> Option<Self> {
        if let Some((name, encoded, blob, comment)) = read_key(text) {
            return Some(Self { options: Options::parse(b""), name, encoded, blob, comment });
        }
        let (options, rest) = Options::split_off(text)?;
        let (name, encoded, blob, comment) = read_key(skip_blanks(rest))?;
        Some(Self { options: Options::parse(options), name, encoded, blob, comment })
    }

    pub const fn options(&self) -> &Options<'a> {
        &self.options
    }

    /// The algorithm's name and the base64, as they stand.
    pub const fn key_text(&self) -> (&'a [u8], &'a [u8]) {
        (self.name, self.encoded)
    }

    /// The key in the SSH wire form.
    pub fn blob(&self) -> &[u8] {
        &self.blob
    }

    pub const fn comment(&self) -> &'a [u8] {
        self.comment
    }
}

type Key<'a> = (&'a [u8], &'a [u8], Vec<u8>, &'a [u8]);

fn read_key(text: &[u8]) -> Option<Key<'_>> {
    let (name, rest) = word(text);
    let (encoded, rest) = word(skip_blanks(rest));
    let encoded = encoded.strip_suffix(b"\r").unwrap_or(encoded);
    let blob = decode(encoded)?;
    let (length, inner) = blob.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
    if name.is_empty() || inner.get(..length)? != name {
        return None;
    }
    let comment = skip_blanks(rest);
    Some((name, encoded, blob, comment.strip_suffix(b"\r").unwrap_or(comment)))
}

/// More lenient than any server: what one of them may read as our key is our key.
fn decode(encoded: &[u8]) -> Option<Vec<u8>> {
    let end = encoded.iter().rposition(|byte| *byte != b'=').map_or(0, |last| last.saturating_add(1));
    let mut digits = encoded.get(..end)?.to_vec();
    // A lone last digit carries no byte.
    if digits.len().checked_rem(4) == Some(1) {
        digits.pop();
    }
    // The bits behind the last byte may be anything.
    let spare = match digits.len().checked_rem(4) {
        Some(2) => 0x0f,
        Some(3) => 0x03,
        _ => 0,
    };
    if let Some(last) = digits.last_mut()
        && spare != 0
    {
        *last = clear_low_bits(*last, spare)?;
    }
    data_encoding::BASE64_NOPAD.decode(&digits).ok()
}

fn clear_low_bits(digit: u8, spare: usize) -> Option<u8> {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let value = ALPHABET.iter().position(|known| *known == digit)?;
    ALPHABET.get(value & !spare).copied()
}

const fn is_blank(byte: u8) -> bool {
    byte == b' ' || byte == b'\t'
}

pub(super) fn skip_blanks(mut text: &[u8]) -> &[u8] {
    while let Some((first, rest)) = text.split_first()
        && is_blank(*first)
    {
        text = rest;
    }
    text
}

/// The first word and what follows it.
fn word(text: &[u8]) -> (&[u8], &[u8]) {
    let end = text.iter().position(|byte| is_blank(*byte)).unwrap_or(text.len());
    text.split_at_checked(end).unwrap_or((text, b""))
}
