//! The messages of the agent protocol (draft-ietf-sshm-ssh-agent) that are understood here: keys, signatures, and
//! OpenSSH's `session-bind@openssh.com`. Everything else is answered with FAILURE.

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
    let message = answer.encode().map_err(std::io::Error::other)?;
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
