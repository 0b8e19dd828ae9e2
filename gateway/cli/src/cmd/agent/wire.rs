//! The messages of the agent protocol (draft-ietf-sshm-ssh-agent) that are understood here: keys, signatures, and
//! OpenSSH's `session-bind@openssh.com`. Everything else is answered with FAILURE. For both sides: `keywright agent` answers,
//! a test with the user's own agent asks.

use ssh_key::encoding::{self, Decode, Encode, Reader};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// As OpenSSH's own agent.
const MAX_MESSAGE: usize = 256 * 1024;

const FAILURE: u8 = 5;
const SUCCESS: u8 = 6;
const REQUEST_IDENTITIES: u8 = 11;
const IDENTITIES_ANSWER: u8 = 12;
const SIGN_REQUEST: u8 = 13;
const SIGN_RESPONSE: u8 = 14;
const EXTENSION: u8 = 27;
const SESSION_BIND: &str = "session-bind@openssh.com";

/// An RSA signature with SHA-256 is asked for, or one with SHA-512.
pub const RSA_SHA2_256: u32 = 2;
pub const RSA_SHA2_512: u32 = 4;

pub enum Request {
    Identities,
    Sign(Sign),
    Bind(Bind),
    /// Adding and removing keys, locking, other extensions.
    Other(u8),
}

pub struct Sign {
    /// In wire form.
    pub key: Vec<u8>,
    pub data: Vec<u8>,
    pub flags: u32,
}

/// What a client says of the session that its connection is for.
pub struct Bind {
    /// In wire form.
    pub host_key: Vec<u8>,
    pub session_id: Vec<u8>,
    pub signature: Vec<u8>,
    pub forwarding: bool,
}

impl Request {
    /// A message without its length; one with something left over is malformed.
    pub fn parse(message: &[u8]) -> encoding::Result<Self> {
        let mut rest = message;
        let request = match u8::decode(&mut rest)? {
            REQUEST_IDENTITIES => Self::Identities,
            SIGN_REQUEST => Self::Sign(Sign {
                key: Decode::decode(&mut rest)?,
                data: Decode::decode(&mut rest)?,
                flags: Decode::decode(&mut rest)?,
            }),
            EXTENSION if String::decode(&mut rest)? == SESSION_BIND => Self::Bind(Bind {
                host_key: Decode::decode(&mut rest)?,
                session_id: Decode::decode(&mut rest)?,
                signature: Decode::decode(&mut rest)?,
                forwarding: Decode::decode(&mut rest)?,
            }),
            other => return Ok(Self::Other(other)),
        };
        rest.finish(request)
    }

    fn encode(&self) -> encoding::Result<Vec<u8>> {
        let mut out = Vec::new();
        match self {
            Self::Identities => REQUEST_IDENTITIES.encode(&mut out)?,
            Self::Sign(sign) => {
                SIGN_REQUEST.encode(&mut out)?;
                sign.key.encode(&mut out)?;
                sign.data.encode(&mut out)?;
                sign.flags.encode(&mut out)?;
            }
            Self::Bind(bind) => {
                EXTENSION.encode(&mut out)?;
                SESSION_BIND.encode(&mut out)?;
                bind.host_key.encode(&mut out)?;
                bind.session_id.encode(&mut out)?;
                bind.signature.encode(&mut out)?;
                u8::from(bind.forwarding).encode(&mut out)?;
            }
            Self::Other(kind) => kind.encode(&mut out)?,
        }
        Ok(out)
    }
}

pub enum Answer {
    Failure,
    Success,
    /// Keys in wire form, each with a comment.
    Identities(Vec<(Vec<u8>, String)>),
    /// In wire form.
    Signature(Vec<u8>),
}

impl Answer {
    /// A message without its length. What is no answer to a request of ours is a failure.
    pub fn parse(message: &[u8]) -> encoding::Result<Self> {
        let mut rest = message;
        let answer = match u8::decode(&mut rest)? {
            SUCCESS => Self::Success,
            IDENTITIES_ANSWER => {
                let mut keys = Vec::new();
                for _ in 0..u32::decode(&mut rest)? {
                    keys.push((Decode::decode(&mut rest)?, Decode::decode(&mut rest)?));
                }
                Self::Identities(keys)
            }
            SIGN_RESPONSE => Self::Signature(Decode::decode(&mut rest)?),
            _ => return Ok(Self::Failure),
        };
        rest.finish(answer)
    }

    fn encode(&self) -> encoding::Result<Vec<u8>> {
        let mut out = Vec::new();
        match self {
            Self::Failure => FAILURE.encode(&mut out)?,
            Self::Success => SUCCESS.encode(&mut out)?,
            Self::Identities(keys) => {
                IDENTITIES_ANSWER.encode(&mut out)?;
                keys.len().encode(&mut out)?;
                for (key, comment) in keys {
                    key.encode(&mut out)?;
                    comment.encode(&mut out)?;
                }
            }
            Self::Signature(signature) => {
                SIGN_RESPONSE.encode(&mut out)?;
                signature.encode(&mut out)?;
            }
        }
        Ok(out)
    }
}

/// The next message; none where the client hung up or does not speak the protocol.
pub async fn receive(from: &mut (impl AsyncRead + Unpin)) -> Option<Vec<u8>> {
    let length = usize::try_from(from.read_u32().await.ok()?).ok()?;
    if !(1..=MAX_MESSAGE).contains(&length) {
        return None;
    }
    let mut message = vec![0; length];
    from.read_exact(&mut message).await.ok()?;
    Some(message)
}

pub async fn send(to: &mut (impl AsyncWrite + Unpin), answer: &Answer) -> std::io::Result<()> {
    write(to, answer.encode()).await
}

pub async fn ask(to: &mut (impl AsyncWrite + Unpin), request: &Request) -> std::io::Result<()> {
    write(to, request.encode()).await
}

async fn write(
    to: &mut (impl AsyncWrite + Unpin),
    message: encoding::Result<Vec<u8>>,
) -> std::io::Result<()> {
    let message = message.map_err(std::io::Error::other)?;
    let length = u32::try_from(message.len()).map_err(std::io::Error::other)?;
    to.write_all(&[&length.to_be_bytes(), message.as_slice()].concat()).await?;
    to.flush().await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bind() -> Vec<u8> {
        let mut message = vec![EXTENSION];
        SESSION_BIND.encode(&mut message).unwrap();
        for part in [b"key".as_slice(), b"session", b"signature"] {
            part.encode(&mut message).unwrap();
        }
        message.push(1);
        message
    }

    #[test]
    fn a_session_bind_is_read_and_every_cut_of_it_refused() {
        let message = bind();
        let Ok(Request::Bind(read)) = Request::parse(&message) else { panic!("not read") };
        assert_eq!((read.session_id.as_slice(), read.forwarding), (b"session".as_slice(), true));
        for cut in 0..message.len() {
            assert!(Request::parse(&message[..cut]).is_err(), "{cut}");
        }
        let longer = [message.as_slice(), &[0]].concat();
        assert!(Request::parse(&longer).is_err());
    }

    #[test]
    fn what_is_asked_is_what_is_read() {
        let Ok(read @ Request::Bind(_)) = Request::parse(&bind()) else { panic!("not read") };
        assert_eq!(read.encode().unwrap(), bind());
        let sign = Sign { key: b"key".to_vec(), data: b"data".to_vec(), flags: RSA_SHA2_512 };
        let Ok(Request::Sign(read)) = Request::parse(&Request::Sign(sign).encode().unwrap()) else {
            panic!("not read")
        };
        assert_eq!((read.key.as_slice(), read.data.as_slice(), read.flags), (&b"key"[..], &b"data"[..], 4));
        assert_eq!(Request::Identities.encode().unwrap(), [REQUEST_IDENTITIES]);
    }

    #[test]
    fn answers_are_read_and_every_cut_of_them_refused() {
        let keys = vec![(b"one".to_vec(), "first".to_owned()), (b"two".to_vec(), String::new())];
        let message = Answer::Identities(keys.clone()).encode().unwrap();
        assert!(matches!(Answer::parse(&message), Ok(Answer::Identities(read)) if read == keys));
        for cut in 0..message.len() {
            assert!(Answer::parse(&message[..cut]).is_err(), "{cut}");
        }
        let signed = Answer::Signature(b"signature".to_vec()).encode().unwrap();
        assert!(matches!(Answer::parse(&signed), Ok(Answer::Signature(read)) if read == b"signature"));
        for refused in [&[FAILURE][..], &[28], &[0]] {
            assert!(matches!(Answer::parse(refused), Ok(Answer::Failure)));
        }
        assert!(Answer::parse(&[IDENTITIES_ANSWER, 255, 255, 255, 255]).is_err());
    }

    #[test]
    fn what_else_an_agent_can_be_asked_for_is_not_read() {
        for kind in [0, 1, 9, 17, 18, 19, 20, 22, 23, 25, 26, 255] {
            assert!(matches!(Request::parse(&[kind, 1, 2, 3]), Ok(Request::Other(read)) if read == kind));
        }
        let mut query = vec![EXTENSION];
        "query".encode(&mut query).unwrap();
        assert!(matches!(Request::parse(&query), Ok(Request::Other(EXTENSION))));
        assert!(Request::parse(&[]).is_err());
    }

    #[test]
    fn a_length_that_lies_allocates_nothing() {
        let mut message = vec![SIGN_REQUEST];
        message.extend(u32::MAX.to_be_bytes());
        assert!(Request::parse(&message).is_err());
    }

    #[tokio::test]
    async fn messages_are_framed_and_bounded() {
        let mut wire = Vec::new();
        send(&mut wire, &Answer::Identities(vec![(b"key".to_vec(), "me".into())])).await.unwrap();
        assert_eq!(wire, b"\0\0\0\x12\x0c\0\0\0\x01\0\0\0\x03key\0\0\0\x02me");
        assert_eq!(receive(&mut wire.as_slice()).await.unwrap(), wire[4..]);
        for bad in [b"\0\0\0\0".as_slice(), b"\0\x04\0\x01", b"\xff\xff\xff\xff", b"\0\0\0\x05abc", b"\0\0"] {
            assert!(receive(&mut &*bad).await.is_none());
        }
    }
}
