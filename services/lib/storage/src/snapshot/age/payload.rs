//! The content, in pieces of 64 KiB, each authenticated with its place and whether it is the last.

use super::header::{self, FileKey, Identity, Recipient, cipher};
use super::{AgeError, derive, random};
use aws_lc_rs::aead::{Aad, LessSafeKey, NONCE_LEN, Nonce};
use std::io::{self, BufRead, BufReader, Read, Write};
use zeroize::Zeroizing;

const PIECE: usize = 64 * 1024;
const TAG: usize = 16;
const NONCE: usize = 16;

/// The key of the content and the place of the next piece.
struct Pieces {
    key: LessSafeKey,
    counter: u64,
}

impl Pieces {
    fn new(file_key: &FileKey, nonce: &[u8]) -> Result<Self, AgeError> {
        let key = derive(nonce, file_key.as_ref(), b"payload")?;
        Ok(Self { key: cipher(&key)?, counter: 0 })
    }

    fn nonce(&mut self, last: bool) -> Nonce {
        let mut bytes = [0u8; NONCE_LEN];
        if let Some((end, rest)) = bytes.split_last_mut() {
            *end = u8::from(last);
            if let Some(place) = rest.last_chunk_mut::<8>() {
                *place = self.counter.to_be_bytes();
            }
        }
        self.counter = self.counter.wrapping_add(1);
        Nonce::assume_unique_for_key(bytes)
    }
}

/// Seals what is written to it. Without `finish` the file has no end and opens for nobody.
pub struct Sealer<W: Write> {
    output: W,
    pieces: Pieces,
    held: Zeroizing<Vec<u8>>,
}

impl<W: Write> Sealer<W> {
    pub fn new(mut output: W, recipients: &[Recipient]) -> Result<Self, AgeError> {
        let (file_key, header) = header::seal(recipients)?;
        let nonce = random::<NONCE>()?;
        output.write_all(&header)?;
        output.write_all(nonce.as_ref())?;
        let pieces = Pieces::new(&file_key, nonce.as_ref())?;
        Ok(Self { output, pieces, held: Zeroizing::new(Vec::with_capacity(PIECE + TAG)) })
    }

    fn piece(&mut self, last: bool) -> io::Result<()> {
        let nonce = self.pieces.nonce(last);
        let mut bytes = std::mem::take(&mut *self.held);
        self.pieces
            .key
            .seal_in_place_append_tag(nonce, Aad::empty(), &mut bytes)
            .map_err(|_| io::Error::other(AgeError::Random))?;
        self.output.write_all(&bytes)?;
        bytes.clear();
        *self.held = bytes;
        Ok(())
    }

    /// Writes the last piece and answers what it was written to.
    pub fn finish(mut self) -> Result<W, AgeError> {
        self.piece(true)?;
        self.output.flush()?;
        Ok(self.output)
    }
}

impl<W: Write> Write for Sealer<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // A full piece is kept until it is known whether it is the last.
        if self.held.len() == PIECE && !bytes.is_empty() {
            self.piece(false)?;
        }
        let room = PIECE.saturating_sub(self.held.len());
        let taken = bytes.get(..room).unwrap_or(bytes);
        self.held.extend_from_slice(taken);
        Ok(taken.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Opens what it reads from.
pub struct Opener<R: Read> {
    input: BufReader<R>,
    pieces: Pieces,
    held: Zeroizing<Vec<u8>>,
    given: usize,
    ended: bool,
}

impl<R: Read> Opener<R> {
    pub fn new(input: R, identities: &[Identity]) -> Result<Self, AgeError> {
        let mut input = BufReader::with_capacity(PIECE, input);
        let file_key = header::open(&mut input, identities)?;
        let mut nonce = [0u8; NONCE];
        input.read_exact(&mut nonce).map_err(cut)?;
        let pieces = Pieces::new(&file_key, &nonce)?;
        Ok(Self { input, pieces, held: Zeroizing::new(Vec::new()), given: 0, ended: false })
    }

    fn next(&mut self) -> Result<(), AgeError> {
        let mut bytes = std::mem::take(&mut *self.held);
        bytes.clear();
        let limit = u64::try_from(PIECE + TAG).unwrap_or(u64::MAX);
        (&mut self.input).take(limit).read_to_end(&mut bytes)?;
        let last = self.input.fill_buf()?.is_empty();
        if bytes.len() < TAG {
            return Err(AgeError::Truncated);
        }
        let first = self.pieces.counter == 0;
        let nonce = self.pieces.nonce(last);
        let opened = self.pieces.key.open_in_place(nonce, Aad::empty(), &mut bytes);
        let length = opened.map_err(|_| AgeError::Tampered)?.len();
        if last && length == 0 && !first {
            return Err(AgeError::Tampered);
        }
        bytes.truncate(length);
        *self.held = bytes;
        self.given = 0;
        self.ended = last;
        Ok(())
    }
}

impl<R: Read> Read for Opener<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.given == self.held.len() {
            if self.ended {
                return Ok(0);
            }
            self.next().map_err(io::Error::other)?;
        }
        let left = self.held.get(self.given..).unwrap_or_default();
        let count = left.len().min(into.len());
        if let (Some(from), Some(to)) = (left.get(..count), into.get_mut(..count)) {
            to.copy_from_slice(from);
        }
        self.given = self.given.saturating_add(count);
        Ok(count)
    }
}

fn cut(error: io::Error) -> AgeError {
    if error.kind() == io::ErrorKind::UnexpectedEof { AgeError::Truncated } else { AgeError::Io(error) }
}

/// What reading from an `Opener` failed with.
pub fn age_error(error: io::Error) -> AgeError {
    match error.downcast::<AgeError>() {
        Ok(known) => known,
        Err(other) => AgeError::Io(other),
    }
}
